import type { Role, Scope } from "./types";

export const ROLES: readonly Role[] = ["admin", "member", "viewer"];

export const ROLE_WORDS: Record<Role, string> = {
  admin: "sees and manages all of the farm",
  member: "renders, and sees what is theirs or shared with them",
  viewer: "sees what is shared with them, and changes nothing",
};

export const SCOPES: readonly Scope[] = ["read", "jobs", "admin", "metrics"];

export const SCOPE_WORDS: Record<Scope, string> = {
  read: "see what you see",
  jobs: "make, change and cancel your jobs",
  admin: "manage the farm",
  metrics: "read /metrics",
};

/** What a token of such an account can be for: a right that one has not, a token has not either. */
export function scopesFor(role: Role): Scope[] {
  return SCOPES.filter((scope) => role === "admin" || scope === "read" || (scope === "jobs" && role === "member"));
}
