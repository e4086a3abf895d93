// What only admins see.

import type { Identity, Quota, Role, Usage } from "./accounts";
import type { FarmNode } from "./farm";

export interface Account {
  id: string;
  name: string;
  email: string | null;
  role: Role;
  disabled: boolean;
  has_password: boolean;
  identities: Identity[];
  /** The account's own; null: the farm's default. */
  quota: Quota | null;
  usage: Usage;
  created_at_ms: number;
}

export interface Invitation {
  id: string;
  role: Role;
  email: string | null;
  created_at_ms: number;
  expires_at_ms: number;
  reusable: boolean;
  used_by: string[];
}

export interface NewInvitation extends Invitation {
  /** `jbi_…`, told once. */
  invitation: string;
  /** The page's address with the invitation in it. */
  link: string;
}

/** Who did something. */
export interface Actor {
  kind: "user" | "operator" | "node" | "farm";
  id: string;
  /** Null for a user who is there no longer. */
  name: string | null;
}

/** A node that renders: a member of the mesh, or one that speaks only HTTP. */
export interface Runner extends FarmNode {
  reach: "mesh" | "http";
  /** `unable`: it has no Blender and no ffmpeg. */
  state: "working" | "idle" | "unable" | "away";
  last_heard_at_ms: number | null;
  /** The registration token that let it in. */
  registered_with: string | null;
}

export interface RegistrationToken {
  id: string;
  name: string;
  created_at_ms: number;
  expires_at_ms: number | null;
  reusable: boolean;
  used: number;
}

export interface NewRegistrationToken extends RegistrationToken {
  /** Told once. */
  token: string;
}

export interface TicketSeen {
  /** The first 16 hex digits of the ticket's hash. */
  id: string;
  created_at_ms: number;
  created_by: Actor;
  expires_at_ms: number;
  reusable: boolean;
  voter: boolean;
  runner: boolean;
  /** The node that came with it, where it lets in one. */
  spent_by: number | null;
}

export interface Settings {
  farm_name: string;
  registration: "open" | "invitation" | "closed";
  default_role: Role;
  default_quota: Quota;
  public_url: string | null;
  webhooks_to_private_addresses: boolean;
}

export interface AuditEntry {
  number: number;
  at_ms: number;
  actor: Actor;
  from: string | null;
  action: string;
  subject: string;
  detail: string;
}
