// Who one is, and how one signs in.

export type Role = "admin" | "member" | "viewer";

export interface User {
  id: string;
  name: string;
  email: string | null;
  role: Role;
  kind: "user" | "operator";
}

/** Null where there is no limit. */
export interface Quota {
  bytes: number | null;
  /** Jobs that are not over. */
  jobs: number | null;
  frames_in_flight: number | null;
}

export interface Usage {
  bytes: number;
  jobs: number;
  frames_in_flight: number;
}

/** An account at a provider that signs this one in. */
export interface Identity {
  /** As in the addresses, like a provider's id. */
  provider: string;
  name: string;
  subject: string;
}

export interface Me {
  user: User;
  /** Whether there is a password to sign in with. */
  has_password: boolean;
  identities: Identity[];
  /** Null but for API tokens. */
  scopes: Scope[] | null;
  quota: Quota;
  usage: Usage;
}

export interface Provider {
  /** What stands in the addresses: `google`, `discord`, or a configured one's id. */
  id: string;
  name: string;
  kind: "oidc" | "discord";
}

export interface Providers {
  local: boolean;
  registration: "open" | "invitation" | "closed";
  /** No account yet: the first one is the farm's admin. */
  first_account: boolean;
  providers: Provider[];
}

export interface Session {
  id: string;
  created_at_ms: number;
  expires_at_ms: number;
  from: string | null;
  agent: string;
  is_this_one: boolean;
}

export type Scope = "read" | "jobs" | "admin" | "metrics";

export interface ApiToken {
  id: string;
  name: string;
  scopes: Scope[];
  created_at_ms: number;
  expires_at_ms: number | null;
}

export interface NewToken extends ApiToken {
  /** `jbt_…`, told once. */
  token: string;
}

/** Someone to share a job with. No e-mail address: that one is not everybody's business. */
export interface Person {
  id: string;
  name: string;
}

export type ShareAccess = "view" | "manage";

export interface Share {
  user: Person;
  access: ShareAccess;
}
