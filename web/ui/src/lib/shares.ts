import type { Person, Share, ShareAccess } from "./types";

export const ACCESS_WORDS: Record<ShareAccess, string> = { view: "see it", manage: "see and manage it" };

/** The people whom a job is not shared with yet; its owner has it anyway. */
export function canBeAdded(found: readonly Person[], owner: string, shares: readonly Share[]): Person[] {
  const has = new Set([owner, ...shares.map((share) => share.user.id)]);
  return found.filter((person) => !has.has(person.id));
}
