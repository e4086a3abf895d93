import type { Role, Scope } from "./types";

export const ROLES: readonly Role[] = ["admin", "member", "viewer"];

export const ROLE_WORDS: Record<Role, string> = {
  admin: "sees and manages all of the farm",
  member: "renders, and sees what is theirs or shared with them",
  viewer: "sees what is shared with them, and changes nothing",
};

export const SCOPES: readonly Scope[] = ["read", "jobs", "admin", "metrics"];

export function scopeWords(scope: Scope, role: Role): string {
  switch (scope) {
    case "read":
      return "see what you see";
    case "jobs":
      return "make, change and cancel jobs";
    case "admin":
      return role === "admin" ? "manage the farm, and change your account" : "change your account";
    case "metrics":
      return "read /metrics, and nothing else";
  }
}

/** What a token of such an account can be for: a right that one has not, a token has not either. */
export function scopesFor(role: Role): Scope[] {
  return SCOPES.filter((scope) => (scope !== "metrics" || role === "admin") && (scope !== "jobs" || role !== "viewer"));
}
