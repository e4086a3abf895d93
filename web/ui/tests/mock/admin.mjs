// What admins do at the mock farm.

import { randomUUID } from "node:crypto";
import { accountView, newSecret } from "./accounts.mjs";
import { bodyJson, json, none, problem } from "./http.mjs";

/** Whether it was an admin's route. */
export async function adminRoutes(accounts, farm, caller, request, response, url) {
  const [, , area, id, more] = url.pathname.split("/");
  const mine = ["users", "invitations", "tickets", "settings", "audit", "admin"].includes(area);
  const removes_node = area === "nodes" && request.method === "DELETE";
  if (!mine && !removes_node) return false;
  if (caller.user.role !== "admin") return problem(response, 403, "not-allowed", "that is for admins"), true;
  if (removes_node && farm.leader === Number(id)) {
    problem(response, 409, "conflict", `node ${id} leads the farm now; stop it, and remove it when another leads`);
  } else if (removes_node) {
    farm.removeNode(Number(id));
    accounts.note(caller.user.name, "node_removed", id, "");
    none(response);
  } else if (area === "users") {
    await users(accounts, id, request, response);
  } else if (area === "invitations") {
    await kept(accounts.invitations, "invitations", id, request, response, async () => {
      const asked = await bodyJson(request);
      const secret = newSecret("jbi_");
      const made = {
        id: randomUUID(), role: asked.role, email: asked.email ?? null, created_at_ms: Date.now(),
        expires_at_ms: Date.now() + asked.ttl_seconds * 1000, reusable: asked.reusable, used_by: [],
      };
      accounts.invitations.set(made.id, { ...made, secret });
      return { ...made, invitation: secret, link: `http://${request.headers.host}/#/register?invitation=${secret}` };
    });
  } else if (area === "tickets") {
    await kept(accounts.tickets, "tickets", id, request, response, async () => {
      const asked = await bodyJson(request);
      const made = {
        id: newSecret("").slice(0, 16), created_at_ms: Date.now(), created_by: { kind: "user", id: caller.user.id, name: caller.user.name }, expires_at_ms: Date.now() + 900_000,
        reusable: asked.reusable ?? false, voter: asked.voter ?? true, runner: asked.runner ?? true, spent_by: null,
      };
      accounts.tickets.set(made.id, made);
      return { ticket: `jigga1${"k7q2m".repeat(24)}`, expires_at_ms: made.expires_at_ms };
    });
  } else if (area === "settings") {
    if (request.method === "PATCH") Object.assign(accounts.settings, await bodyJson(request));
    json(response, 200, accounts.settings);
  } else if (area === "audit") {
    audit(accounts, url, response);
  } else if (id === "runners") {
    json(response, 200, { runners: farm.runners() });
  } else {
    await kept(accounts.registration_tokens, "registration_tokens", more, request, response, async () => {
      const asked = await bodyJson(request);
      const made = {
        id: randomUUID(), name: asked.name, created_at_ms: Date.now(), expires_at_ms: Date.now() + asked.ttl_seconds * 1000,
        reusable: asked.reusable, used: 0,
      };
      accounts.registration_tokens.set(made.id, made);
      return { ...made, token: newSecret("jbg_") };
    });
  }
  return true;
}

/** Lists, makes and drops things of one kind. */
async function kept(map, name, id, request, response, make) {
  if (request.method === "GET") return json(response, 200, { [name]: [...map.values()].map(({ secret: _, ...one }) => one) });
  if (request.method === "POST") return json(response, 201, await make());
  map.delete(id);
  return none(response);
}

async function users(accounts, id, request, response) {
  if (request.method === "GET") return json(response, 200, { users: [...accounts.users.values()].map(accountView) });
  if (request.method === "POST") {
    const asked = await bodyJson(request);
    if (accounts.byEmail(asked.email)) return problem(response, 409, "conflict", `there is an account of ${asked.email} already`);
    return json(response, 201, accountView(accounts.addUser(asked)));
  }
  const user = accounts.users.get(id);
  if (!user) return problem(response, 404, "not-found", "there is no such user");
  const admins = [...accounts.users.values()].filter((one) => one.role === "admin" && !one.disabled);
  const change = request.method === "PATCH" ? await bodyJson(request) : { disabled: true };
  if (admins.length === 1 && admins[0] === user && (change.disabled || (change.role && change.role !== "admin"))) {
    return problem(response, 409, "conflict", `${user.name} is the farm's last admin; make another user an admin first`);
  }
  if (request.method === "DELETE") {
    accounts.users.delete(id);
    return none(response);
  }
  Object.assign(user, change);
  return json(response, 200, accountView(user));
}

function audit(accounts, url, response) {
  const asked = (name) => url.searchParams.get(name) ?? "";
  const before = Number(url.searchParams.get("before") ?? Infinity);
  const entries = accounts.audit.toReversed().filter((entry) =>
    entry.number < before && (asked("actor") === "" || entry.actor.id === asked("actor")) &&
    (asked("action") === "" || entry.action === asked("action")) && (asked("subject") === "" || entry.subject === asked("subject")));
  const page = entries.slice(0, Number(url.searchParams.get("limit") ?? 100));
  json(response, 200, { entries: page, ...(page.length < entries.length ? { next_before: page.at(-1).number } : {}) });
}
