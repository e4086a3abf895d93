// What only admins may call.

import { call, create, path, query } from "./http";
import type {
  Account, AuditEntry, Invitation, NewInvitation, NewRegistrationToken, Quota, RegistrationToken, Role, Runner,
  Settings, TicketSeen,
} from "./types";

export interface AccountOrder {
  email: string;
  name?: string;
  password: string;
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

const USERS_PAGE = 1_000;
/** The most accounts that are shown: ten pages. */
const MAX_USERS = 10 * USERS_PAGE;

interface UsersPage {
  users: Account[];
  next_after?: string;
}

/** All accounts, or the first ten thousand; `next_after` is there where more follow. */
async function readUsers(): Promise<UsersPage> {
  const users: Account[] = [];
  let after: string | undefined;
  do {
    const page = await call<UsersPage>("GET", `/api/users${query({ limit: USERS_PAGE, after })}`);
    users.push(...page.users);
    after = page.next_after;
  } while (after !== undefined && users.length < MAX_USERS);
  return { users, next_after: after };
}

export const admin = {
  users: readUsers,
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
    call<{ entries: AuditEntry[]; next_before?: number }>("GET", `/api/audit${query({ ...asked, limit })}`),
};
