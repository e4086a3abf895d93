import type { AuditEntry } from "./types";

export const AUDIT_PAGE = 100;

/** A page behind those that are there; entries that were read before are not shown twice. */
export function moreEntries(have: readonly AuditEntry[], page: readonly AuditEntry[]): AuditEntry[] {
  const last = have.at(-1)?.number ?? Infinity;
  return [...have, ...page.filter((entry) => entry.number < last)];
}
