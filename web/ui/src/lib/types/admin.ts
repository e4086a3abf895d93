// What only admins see.

import type { Identity, Quota, Role, Usage } from "./accounts";

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
  created_at_ms?: number;
  expires_at_ms: number;
  reusable: boolean;
  used_by: string[];
}

export interface NewInvitation extends Invitation {
  /** `jbi_…`, told once. */
  secret: string;
  link: string | null;
}

/** A runner that speaks only HTTP. */
export interface HttpRunner {
  node: number;
  name: string;
  version: string;
  connected: boolean;
  registered_at_ms: number;
  blender_version: string | null;
  slots: number;
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
  created_by: string;
  expires_at_ms: number;
  reusable: boolean;
  voter: boolean;
  runner: boolean;
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
  actor: { id: string; name: string };
  from: string | null;
  action: string;
  subject: string;
  detail: string;
}
