// What only admins may call.

import { call, create, path, query } from "./http";
import type {
  Account, AuditEntry, Invitation, NewInvitation, NewRegistrationToken, Quota, RegistrationToken, Role, Runner,
  Settings, TicketSeen,
} from "./types";

export interface AccountOrder {
  email: string;
  name?: string;
  password?: string;
  role: Role;
}

export type AccountChange = Partial<{ name: string; role: Role; disabled: boolean; quota: Quota | null; password: string }>;

export interface InvitationOrder {
  role: Role;
  email?: string;
  ttl_seconds: number;
  reusable: boolean;
}

export interface RegistrationTokenOrder {
  name: string;
  ttl_seconds: number;
  reusable: boolean;
}

export interface AuditAsked {
  before?: number;
  actor?: string;
  action?: string;
  subject?: string;
}

export const admin = {
  users: () => call<{ users: Account[] }>("GET", "/api/users"),
  makeUser: (order: AccountOrder) => create<Account>("/api/users", order),
  changeUser: (id: string, change: AccountChange) => call<Account>("PATCH", path`/api/users/${id}`, change),
  deleteUser: (id: string) => call<void>("DELETE", path`/api/users/${id}`),

  invitations: () => call<{ invitations: Invitation[] }>("GET", "/api/invitations"),
  invite: (order: InvitationOrder) => create<NewInvitation>("/api/invitations", order),
  revokeInvitation: (id: string) => call<void>("DELETE", path`/api/invitations/${id}`),

  runners: () => call<{ runners: Runner[] }>("GET", "/api/admin/runners"),
  registrationTokens: () =>
    call<{ registration_tokens: RegistrationToken[] }>("GET", "/api/admin/registration-tokens"),
  makeRegistrationToken: (order: RegistrationTokenOrder) =>
    create<NewRegistrationToken>("/api/admin/registration-tokens", order),
  revokeRegistrationToken: (id: string) => call<void>("DELETE", path`/api/admin/registration-tokens/${id}`),

  tickets: () => call<{ tickets: TicketSeen[] }>("GET", "/api/tickets"),
  revokeTicket: (id: string) => call<void>("DELETE", path`/api/tickets/${id}`),

  settings: () => call<Settings>("GET", "/api/settings"),
  changeSettings: (change: Partial<Settings>) => call<Settings>("PATCH", "/api/settings", change),

  audit: (asked: AuditAsked, limit: number) =>
    call<{ entries: AuditEntry[] }>("GET", `/api/audit${query({ ...asked, limit })}`),
};
