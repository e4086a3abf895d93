// Signing in and one's own account.

import { call, create, path, query } from "./http";
import type {
  ApiToken, Delivery, Me, NewToken, NewWebhook, Providers, Scope, Session, Webhook, WebhookEvent, WebhookShape,
} from "./types";

export interface Registration {
  email: string;
  password: string;
  name?: string;
  invitation?: string;
}

export interface TokenOrder {
  name: string;
  scopes: Scope[];
  ttl_seconds?: number;
}

export interface WebhookOrder {
  name: string;
  url: string;
  shape: WebhookShape;
  events: WebhookEvent[];
  all_jobs: boolean;
}

export interface WebhookChange extends WebhookOrder {
  enabled: boolean;
}

export const account = {
  providers: () => call<Providers>("GET", "/api/auth/providers"),
  me: () => call<Me>("GET", "/api/auth/me"),
  login: (email: string, password: string) => call<Me>("POST", "/api/auth/login", { email, password }),
  register: (wish: Registration) => call<Me>("POST", "/api/auth/register", wish),
  logout: () => call<void>("POST", "/api/auth/logout"),
  unlink: (provider: string) => call<void>("DELETE", path`/api/auth/identities/${provider}`),
  /** `current` is left out by an account that has no password yet. */
  changePassword: (current: string | null, next: string) =>
    call<void>("POST", "/api/auth/password", { ...(current === null ? {} : { current }), new: next }),
  answerDevice: (user_code: string, approve: boolean) =>
    call<void>("POST", "/api/auth/device/approve", { user_code, approve }),

  sessions: () => call<{ sessions: Session[] }>("GET", "/api/auth/sessions"),
  endSession: (id: string) => call<void>("DELETE", path`/api/auth/sessions/${id}`),
  endOtherSessions: () => call<void>("DELETE", "/api/auth/sessions"),

  tokens: () => call<{ tokens: ApiToken[] }>("GET", "/api/tokens"),
  makeToken: (order: TokenOrder) => create<NewToken>("/api/tokens", order),
  revokeToken: (id: string) => call<void>("DELETE", path`/api/tokens/${id}`),

  webhooks: () => call<{ webhooks: Webhook[] }>("GET", "/api/webhooks"),
  makeWebhook: (order: WebhookOrder) => create<NewWebhook>("/api/webhooks", order),
  changeWebhook: (id: string, order: WebhookChange) => call<Webhook>("PATCH", path`/api/webhooks/${id}`, order),
  deleteWebhook: (id: string) => call<void>("DELETE", path`/api/webhooks/${id}`),
  testWebhook: (id: string) => call<Delivery>("POST", path`/api/webhooks/${id}/test`),
  deliveries: (id: string) => call<{ deliveries: Delivery[] }>("GET", path`/api/webhooks/${id}/deliveries`),
};

/** Where signing in at a provider begins: a plain link, since it leaves the page. */
export function loginUrl(provider: string, return_to: string, invitation: string | null): string {
  return path`/api/auth/${provider}/login` + query({ return_to, invitation });
}

/** Where linking an account at a provider to the signed-in one begins. */
export function linkUrl(provider: string, return_to: string): string {
  return path`/api/auth/${provider}/link` + query({ return_to });
}
