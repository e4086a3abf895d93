// `npm run mock`: the built page (dist/) over a farm that pretends, with the headers of a node.
// PORT, MOCK_FRAME_MS, MOCK_MANY (frames of one large job), MOCK_EMPTY (no jobs at all), MOCK_ROLE
// (of the one account that is there), MOCK_NO_ACCOUNT (a new farm), MOCK_PAGE_SIZE (jobs a page).
// A second node of the same farm answers at the second address that it prints.

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { Accounts } from "./accounts.mjs";
import { adminRoutes } from "./admin.mjs";
import { doors, ownAccount } from "./auth.mjs";
import { Farm } from "./farm.mjs";
import { json, problem } from "./http.mjs";
import * as jobs from "./jobs.mjs";
import { seed } from "./seeds.mjs";
import { tus } from "./tus.mjs";

const EMAIL = process.env.JIGGABLEND_E2E_EMAIL ?? "ada@example.org";
const PASSWORD = process.env.JIGGABLEND_E2E_PASSWORD ?? "render-me";
const ROLE = process.env.MOCK_ROLE ?? "admin";
const DIST = fileURLToPath(new URL("../../dist", import.meta.url));
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; " +
  "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const PAGE_SIZE = Number(process.env.MOCK_PAGE_SIZE ?? 50);

const farm = new Farm({ frame_ms: Number(process.env.MOCK_FRAME_MS ?? 1500) });
if (!process.env.MOCK_EMPTY) seed(farm, Number(process.env.MOCK_MANY ?? 0));
const accounts = new Accounts({ email: EMAIL, password: PASSWORD, role: ROLE, empty: Boolean(process.env.MOCK_NO_ACCOUNT) });
/** How quick uploads are read (0: as quick as they come), and how many of their ends fail. */
const slow = { bytes_per_s: 0, failing_ends: 0 };
/** Two nodes of one farm: what is said to one is known to the other. */
const nodes = [1, 2].map((id) => ({ id, streams: new Set(), sockets: new Set(), cut_until_ms: 0 }));

for (const node of nodes) {
  const server = createServer((request, response) => {
    answer(node, request, response).catch((error) => {
      console.error(error);
      if (!response.headersSent) problem(response, 500, "internal", String(error));
    });
  });
  server.on("connection", (socket) => {
    node.sockets.add(socket);
    socket.on("close", () => node.sockets.delete(socket));
  });
  await new Promise((listening) => server.listen(node.id === 1 ? Number(process.env.PORT ?? 0) : 0, "127.0.0.1", listening));
  const origin = `http://localhost:${server.address().port}`;
  farm.nodes[node.id - 1].web_address = origin;
  console.log(origin);
}

async function answer(node, request, response) {
  const url = new URL(request.url, "http://localhost");
  const route = `${request.method} ${url.pathname}`;
  if (url.pathname.startsWith("/mock/")) return control(url, response);
  if (Date.now() < node.cut_until_ms) return request.socket.destroy();
  if (!url.pathname.startsWith("/api/")) return page(url, response);
  if (await doors(accounts, request, response, url)) return undefined;
  const caller = accounts.caller(request);
  if (!caller) return problem(response, 401, "not-signed-in", "sign in first");
  if (await ownAccount(accounts, caller, request, response, url)) return undefined;
  if (await adminRoutes(accounts, farm, caller, request, response, url)) return undefined;
  if (route === "GET /api/farm") return json(response, 200, farm.farm(node.id));
  if (route === "GET /api/nodes") return json(response, 200, { nodes: farm.nodesSeen(node.id) });
  if (route === "GET /api/events") return stream(node, request, url, response);
  if (route === "GET /api/jobs") return jobs.list(farm, caller, url, response, PAGE_SIZE);
  if (route === "POST /api/jobs") return jobs.submit(farm, caller, request, response);
  if (url.pathname.startsWith("/api/jobs/") && (await tus(farm, request, response, url, slow))) return undefined;
  return jobs.job(farm, accounts, request, url, response);
}

function stream(node, request, url, response) {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  const send = (event) => response.write(
    `event: ${event.event}\n${event.id === undefined ? "" : `id: ${event.id}\n`}data: ${JSON.stringify(event.data)}\n\n`,
  );
  send({ event: "leader", data: { leader: farm.leader, term: farm.term } });
  const missed = farm.after(Number(request.headers["last-event-id"] ?? url.searchParams.get("after") ?? farm.index));
  if (missed === null) send({ event: "reset", data: { index: farm.index } });
  else missed.forEach(send);
  const leave = farm.listen(send);
  node.streams.add(response);
  response.on("close", () => {
    leave();
    node.streams.delete(response);
  });
}

/** What happens to a farm: `/mock/elect?node=2`, `/mock/cut?ms=5000` (node 1's port), `/mock/slow?bytes_per_s=`. */
function control(url, response) {
  const number = (name) => Number(url.searchParams.get(name));
  if (url.pathname === "/mock/elect") farm.elect(number("node") || null);
  if (url.pathname === "/mock/slow") slow.bytes_per_s = number("bytes_per_s");
  if (url.pathname === "/mock/fail_ends") slow.failing_ends = number("times");
  if (url.pathname === "/mock/cut") {
    nodes[0].cut_until_ms = Date.now() + number("ms");
    for (const socket of nodes[0].sockets) if (socket !== response.socket) socket.destroy();
  }
  // A change that no version of this page knows.
  if (url.pathname === "/mock/novelty") farm.say([{ weather: { sky: "blue" } }]);
  if (url.pathname === "/mock/file") {
    const file = farm.files.get(url.searchParams.get("id"));
    return json(response, 200, { sha256: createHash("sha256").update(file.bytes).digest("hex") });
  }
  return json(response, 200, {});
}

async function page(url, response) {
  const path = normalize(url.pathname === "/" ? "/index.html" : url.pathname);
  response.setHeader("content-security-policy", CSP);
  response.setHeader("x-content-type-options", "nosniff");
  try {
    const bytes = await readFile(join(DIST, path));
    response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" }).end(bytes);
  } catch {
    response.writeHead(404).end();
  }
}
