// Accounts of the mock farm: who may sign in, how, and what each has.

import { randomBytes, randomUUID } from "node:crypto";

const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;
const NO_QUOTA = { bytes: null, jobs: null, frames_in_flight: null };

export class Accounts {
  users = new Map();
  sessions = new Map();
  tokens = new Map();
  invitations = new Map();
  registration_tokens = new Map();
  tickets = new Map();
  webhooks = new Map();
  deliveries = [];
  shares = new Map();
  devices = new Map([["WDJB-MJHT", null]]);
  audit = [];
  settings = {
    farm_name: "home", registration: "invitation", default_role: "member",
    default_quota: { bytes: 50 * 2 ** 30, jobs: 10, frames_in_flight: null }, public_url: null, webhooks_to_private_addresses: false,
  };
  providers = [
    { id: "google", name: "Google", kind: "oidc" },
    { id: "discord", name: "Discord", kind: "discord" },
  ];

  constructor({ email, password, role, empty }) {
    if (empty) return;
    this.addUser({ id: "018f0000-0000-7000-8000-000000000001", email, password, name: "ada", role, identities: [{ provider: "discord", name: "Discord", subject: "80351110224678912" }] });
    this.addUser({ email: "bea@example.org", password: "a few words more", name: "Bea", role: "member" });
    this.addUser({ email: "carl@example.org", password: "a few words more", name: "Carl", role: "viewer", disabled: true });
    const ada = this.byEmail(email);
    this.beginSession(ada, "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0", "192.168.1.20");
    for (let at = 0; at < 230; at += 1) {
      this.note(at % 3 === 0 ? "Bea" : "ada", at % 2 === 0 ? "job_created" : "session_created", randomUUID(), "", Date.now() - (230 - at) * MINUTE_MS);
    }
  }

  addUser({ id = randomUUID(), email, password = null, name, role = "member", disabled = false, identities = [] }) {
    const user = {
      id, email, password, name: name || email.split("@")[0], role, disabled, identities, quota: null,
      usage: { bytes: 12.5 * 2 ** 30, jobs: 2, frames_in_flight: 3 }, created_at_ms: Date.now() - 40 * DAY_MS,
    };
    this.users.set(id, user);
    return user;
  }

  byEmail(email) {
    return [...this.users.values()].find((user) => user.email?.toLowerCase() === String(email).toLowerCase());
  }

  beginSession(user, agent, from) {
    const secret = randomBytes(16).toString("hex");
    this.sessions.set(secret, {
      id: secret.slice(0, 16), user: user.id, created_at_ms: Date.now(), expires_at_ms: Date.now() + 7 * DAY_MS, from, agent,
    });
    return secret;
  }

  /** Who sends this request, and with which session. */
  caller(request) {
    const secret = /\bsession=([0-9a-f]{32})\b/.exec(request.headers.cookie ?? "")?.[1];
    const session = this.sessions.get(secret);
    const user = session && this.users.get(session.user);
    return user && !user.disabled ? { user, session } : null;
  }

  /** Whether an account may be made, and as what; else why not. */
  mayRegister(invitation) {
    if (this.users.size === 0 && this.settings.registration !== "closed") return { role: "admin" };
    if (this.settings.registration === "open") return { role: this.settings.default_role };
    const found = [...this.invitations.values()].find((one) => one.secret === invitation);
    if (this.settings.registration === "invitation" && found && (found.reusable || found.used_by.length === 0)) {
      return { role: found.role, invitation: found };
    }
    return { why: "this farm takes accounts by invitation only, and this invitation is not a good one; ask an admin" };
  }

  note(actor, action, subject, detail, at_ms = Date.now()) {
    this.audit.push({ number: this.audit.length, at_ms, actor: { kind: "user", id: `id-of-${actor}`, name: actor }, from: "192.168.1.20", action, subject, detail });
  }

  quotaOf(user) {
    return user.quota ?? this.settings.default_quota ?? NO_QUOTA;
  }
}

export function userView({ id, name, email, role }) {
  return { id, name, email, role, kind: "user" };
}

export function accountView(user) {
  const { password, ...rest } = user;
  return { ...rest, has_password: password !== null };
}

export function newSecret(prefix) {
  return `${prefix}${randomBytes(24).toString("hex")}`;
}
