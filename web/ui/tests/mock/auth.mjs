// Signing in, and one's own account.

import { randomUUID } from "node:crypto";
import { accountView, newSecret, userView } from "./accounts.mjs";
import { bodyJson, json, none, problem } from "./http.mjs";

/** Routes that need no sign-in. Whether it was one of them. */
export async function doors(accounts, request, response, url) {
  const route = `${request.method} ${url.pathname}`;
  if (route === "GET /api/auth/providers") {
    json(response, 200, {
      local: true, registration: accounts.settings.registration, first_account: accounts.users.size === 0, providers: accounts.providers,
    });
  } else if (route === "POST /api/auth/login") {
    const asked = await bodyJson(request);
    const user = accounts.byEmail(asked.email);
    if (!user || user.password !== asked.password) {
      problem(response, 401, "wrong-credentials", "signing in: the e-mail address or the password is wrong");
    } else if (user.disabled) {
      problem(response, 403, "account-disabled", "this account is disabled; ask an admin");
    } else {
      letIn(accounts, request, response, 200, user);
    }
  } else if (route === "POST /api/auth/register") {
    await register(accounts, request, response);
  } else if (/^GET \/api\/auth\/\w+\/login$/.test(route)) {
    provider(accounts, request, response, url);
  } else {
    return false;
  }
  return true;
}

async function register(accounts, request, response) {
  const asked = await bodyJson(request);
  const may = accounts.mayRegister(asked.invitation);
  if (may.why) return problem(response, 403, "registration-refused", may.why);
  if (accounts.byEmail(asked.email)) return problem(response, 409, "conflict", `there is an account of ${asked.email}; sign in`);
  const user = accounts.addUser({ ...asked, role: may.role });
  may.invitation?.used_by.push(user.id);
  return letIn(accounts, request, response, 201, user);
}

function letIn(accounts, request, response, status, user) {
  const secret = accounts.beginSession(user, request.headers["user-agent"] ?? "", "127.0.0.1");
  response.setHeader("set-cookie", `session=${secret}; Path=/; HttpOnly; SameSite=Lax`);
  json(response, status, meView(accounts, user));
}

function meView(accounts, user) {
  const { identities, has_password, usage } = accountView(user);
  return { user: userView(user), identities, has_password, scopes: null, quota: accounts.quotaOf(user), usage };
}

/** A provider that lets everybody in at once; one that is called `refuses` sends them back. */
function provider(accounts, request, response, url) {
  const [, , , id] = url.pathname.split("/");
  if (id === "discord") return response.writeHead(303, { location: "/?error=sign-in-refused" }).end();
  const may = accounts.mayRegister(url.searchParams.get("invitation"));
  const known = [...accounts.users.values()].find((user) => user.identities.some((identity) => identity.provider === id));
  if (!known && may.why) return response.writeHead(303, { location: "/?error=registration-refused" }).end();
  const user = known ?? accounts.addUser({
    email: "dora@example.org", name: "Dora", role: may.role, identities: [{ provider: id, name: "Google", subject: "1098" }],
  });
  may.invitation?.used_by.push(user.id);
  const secret = accounts.beginSession(user, request.headers["user-agent"] ?? "", "127.0.0.1");
  response.writeHead(303, {
    "set-cookie": `session=${secret}; Path=/; HttpOnly; SameSite=Lax`, location: url.searchParams.get("return_to") ?? "/",
  }).end();
}

/** What one does with one's own account. Whether it was that. */
export async function ownAccount(accounts, caller, request, response, url) {
  const { user, session } = caller;
  const route = `${request.method} ${url.pathname}`;
  const [, , area, id, act] = url.pathname.split("/");
  if (route === "GET /api/auth/me") {
    json(response, 200, meView(accounts, user));
  } else if (route === "POST /api/auth/logout") {
    drop(accounts.sessions, (one) => one === session);
    response.setHeader("set-cookie", "session=; Path=/; Max-Age=0");
    none(response);
  } else if (route === "POST /api/auth/password") {
    const asked = await bodyJson(request);
    if (user.password !== null && asked.current !== user.password) {
      problem(response, 403, "wrong-password", "the current password is wrong; nothing was changed");
    } else {
      user.password = asked.new;
      drop(accounts.sessions, (one) => one.user === user.id && one !== session);
      none(response);
    }
  } else if (route === "POST /api/auth/device/approve") {
    const { user_code, approve } = await bodyJson(request);
    if (accounts.devices.get(user_code) !== null) {
      problem(response, 404, "not-found", "no command line waits with that code; start jiggablend login again");
    } else {
      accounts.devices.set(user_code, approve ? user.id : "refused");
      none(response);
    }
  } else if (/^GET \/api\/auth\/\w+\/link$/.test(route)) {
    if (id === "discord") return response.writeHead(303, { location: "/?error=identity-taken" }).end(), true;
    if (!user.identities.some((one) => one.provider === id)) user.identities.push({ provider: id, name: "Google", subject: "1098" });
    response.writeHead(303, { location: url.searchParams.get("return_to") ?? "/" }).end();
  } else if (request.method === "DELETE" && url.pathname.startsWith("/api/auth/identities/")) {
    user.identities = user.identities.filter((one) => one.provider !== act);
    none(response);
  } else if (route === "GET /api/auth/sessions") {
    const own = [...accounts.sessions.values()].filter((one) => one.user === user.id);
    json(response, 200, {
      sessions: own.map(({ user: _, ...one }) => ({ ...one, is_this_one: one.id === session.id })),
    });
  } else if (request.method === "DELETE" && url.pathname.startsWith("/api/auth/sessions")) {
    drop(accounts.sessions, (one) => one.user === user.id && (act === undefined ? one !== session : one.id === act));
    none(response);
  } else if (area === "tokens") {
    await tokens(accounts, user, id, request, response);
  } else if (area === "webhooks") {
    await webhooks(accounts, user, id, act, request, response);
  } else if (url.pathname === "/api/users/names") {
    const needle = (url.searchParams.get("q") ?? "").toLowerCase();
    const found = [...accounts.users.values()].filter((one) => !one.disabled && one.name.toLowerCase().includes(needle) || one.email === needle);
    json(response, 200, { users: found.map(({ id: user_id, name }) => ({ id: user_id, name })) });
  } else {
    return false;
  }
  return true;
}

async function tokens(accounts, user, id, request, response) {
  if (request.method === "DELETE") {
    accounts.tokens.delete(id);
    return none(response);
  }
  const own = [...accounts.tokens.values()].filter((one) => one.user === user.id);
  if (request.method === "GET") return json(response, 200, { tokens: own.map(({ user: _, ...one }) => one) });
  const asked = await bodyJson(request);
  const made = {
    id: randomUUID(), name: asked.name, scopes: asked.scopes, created_at_ms: Date.now(),
    expires_at_ms: asked.ttl_seconds ? Date.now() + asked.ttl_seconds * 1000 : null,
  };
  accounts.tokens.set(made.id, { ...made, user: user.id });
  return json(response, 201, { ...made, token: newSecret("jbt_") });
}

async function webhooks(accounts, user, id, act, request, response) {
  const found = accounts.webhooks.get(id);
  if (id === undefined && request.method === "GET") {
    const own = [...accounts.webhooks.values()].filter((one) => one.user === user.id);
    return json(response, 200, { webhooks: own.map(({ user: _, ...one }) => one) });
  }
  if (id === undefined) {
    const asked = await bodyJson(request);
    if ("enabled" in asked) return problem(response, 422, "invalid-request", "unknown field `enabled`: a new webhook always is");
    const made = { id: randomUUID(), ...asked, enabled: true, created_at_ms: Date.now(), failures: 0 };
    if (/127\.0\.0\.1|localhost/.test(made.url)) return problem(response, 422, "invalid-request", `url is ${made.url}: an address of the farm's own network; an admin can allow those in the settings`);
    accounts.webhooks.set(made.id, { ...made, user: user.id });
    return json(response, 201, { ...made, secret: newSecret("whsec_") });
  }
  if (!found) return problem(response, 404, "not-found", "there is no such webhook");
  if (act === "test") {
    const waiting = {
      id: accounts.deliveries.length + 1, event: "test", job: null, node: null, created_at_ms: Date.now(), attempts: 0,
      state: "waiting", status: null, error: null, next_attempt_at_ms: Date.now(), ended_at_ms: null,
    };
    const delivered = { attempts: 1, state: "delivered", status: 204, next_attempt_at_ms: null, ended_at_ms: Date.now() };
    accounts.deliveries.unshift({ webhook: id, delivery: { ...waiting, ...delivered } });
    return json(response, 202, waiting);
  }
  if (act === "deliveries") {
    return json(response, 200, { deliveries: accounts.deliveries.filter((one) => one.webhook === id).map((one) => one.delivery) });
  }
  if (request.method === "DELETE") {
    accounts.webhooks.delete(id);
    return none(response);
  }
  Object.assign(found, await bodyJson(request));
  const { user: _, ...view } = found;
  return json(response, 200, view);
}

function drop(map, which) {
  for (const [key, value] of map) if (which(value)) map.delete(key);
}
