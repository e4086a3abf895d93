import type { Actor, AuditEntry } from "./types";

export const AUDIT_PAGE = 100;

/** Who did it, for people. */
export function actorName(actor: Actor): string {
  const name = actor.name ?? `a former user (${actor.id.slice(0, 8)})`;
  return actor.kind === "operator" ? `operator of ${name}` : name;
}

/** A page behind those that are there; entries that were read before are not shown twice. */
export function moreEntries(have: readonly AuditEntry[], page: readonly AuditEntry[]): AuditEntry[] {
  const last = have.at(-1)?.number ?? Infinity;
  return [...have, ...page.filter((entry) => entry.number < last)];
}
