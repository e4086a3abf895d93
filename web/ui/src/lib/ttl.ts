// How long a token, a ticket or an invitation is good for.

export const HOUR_S = 3_600;
export const DAY_S = 24 * HOUR_S;

export interface Ttl {
  label: string;
  /** Null: until it is revoked. */
  seconds: number | null;
}

export const TOKEN_TTLS: readonly Ttl[] = [
  { label: "7 days", seconds: 7 * DAY_S },
  { label: "30 days", seconds: 30 * DAY_S },
  { label: "90 days", seconds: 90 * DAY_S },
  { label: "1 year", seconds: 365 * DAY_S },
  { label: "until revoked", seconds: null },
];

export const REGISTRATION_TTLS: readonly { label: string; seconds: number }[] = [
  { label: "1 hour", seconds: HOUR_S },
  { label: "1 day", seconds: DAY_S },
  { label: "30 days", seconds: 30 * DAY_S },
  { label: "1 year", seconds: 365 * DAY_S },
];

export const INVITATION_TTLS: readonly { label: string; seconds: number }[] = [
  { label: "1 day", seconds: DAY_S },
  { label: "7 days", seconds: 7 * DAY_S },
  { label: "30 days", seconds: 30 * DAY_S },
];

/** `expires in 3 d 1 h`, `has expired`, `until revoked`. */
export function expiryWords(expires_at_ms: number | null, now_ms: number, duration: (ms: number) => string): string {
  if (expires_at_ms === null) return "until revoked";
  return expires_at_ms <= now_ms ? "has expired" : `expires in ${duration(expires_at_ms - now_ms)}`;
}
