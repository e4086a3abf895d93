// `npm run mock`: the built page (dist/) over a farm that pretends, with the headers of a node.
// PORT, MOCK_FRAME_MS, MOCK_MANY (frames of one large job), MOCK_EMPTY (no jobs at all).

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { Farm, summary, whole } from "./farm.mjs";
import { seed } from "./seeds.mjs";

const EMAIL = process.env.JIGGABLEND_E2E_EMAIL ?? "ada@example.org";
const PASSWORD = process.env.JIGGABLEND_E2E_PASSWORD ?? "render-me";
const ROLE = process.env.MOCK_ROLE ?? "admin";
const DIST = fileURLToPath(new URL("../../dist", import.meta.url));
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; " +
  "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
const USER = { id: "018f0000-0000-7000-8000-000000000001", email: EMAIL, role: ROLE, kind: "user" };

const farm = new Farm({ frame_ms: Number(process.env.MOCK_FRAME_MS ?? 1500) });
if (!process.env.MOCK_EMPTY) seed(farm, Number(process.env.MOCK_MANY ?? 0));
const streams = new Set();
let cut_until_ms = 0;

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error);
    if (!response.headersSent) problem(response, 500, "internal", String(error));
  });
});
server.listen(Number(process.env.PORT ?? 0), "127.0.0.1", () => {
  console.log(`http://localhost:${server.address().port}`);
});

async function answer(request, response) {
  const url = new URL(request.url, "http://localhost");
  const route = `${request.method} ${url.pathname}`;
  if (url.pathname.startsWith("/mock/")) return control(url, response);
  if (Date.now() < cut_until_ms) return request.socket.destroy();
  if (!url.pathname.startsWith("/api/")) return page(url, response);
  if (route === "GET /api/auth/providers") return json(response, 200, { local: true, registration: "closed" });
  if (route === "POST /api/auth/login") return login(request, response);
  if (!/\bsession=on\b/.test(request.headers.cookie ?? "")) return problem(response, 401, "not-signed-in", "sign in first");
  if (route === "GET /api/auth/me") return json(response, 200, { user: USER });
  if (route === "POST /api/auth/logout") {
    response.setHeader("set-cookie", "session=; Path=/; Max-Age=0");
    return response.writeHead(204).end();
  }
  if (route === "GET /api/farm") return json(response, 200, farm.farm());
  if (route === "GET /api/nodes") return json(response, 200, { nodes: farm.nodesSeen() });
  if (route === "POST /api/tickets") return json(response, 201, { ticket: `jigga1${"k7q2m".repeat(24)}`, expires_at_ms: Date.now() + 900_000 });
  if (route === "GET /api/events") return stream(request, url, response);
  if (route === "GET /api/jobs") {
    return json(response, 200, { jobs: [...farm.jobs.values()].map(summary).sort((a, b) => b.created_at_ms - a.created_at_ms) });
  }
  if (route === "POST /api/jobs") return submit(JSON.parse(await body(request)), response);
  return job(request, url, response);
}

async function job(request, url, response) {
  const [, , , id, , file_id] = url.pathname.split("/");
  const found = farm.jobs.get(id);
  if (!found) return problem(response, 404, "no-such-job", `there is no job ${id}; see the job list`);
  if (url.pathname.endsWith("/upload")) return upload(request, response, found);
  if (url.pathname.endsWith("/download")) return download(request, url, response, file_id);
  if (request.method === "GET") return json(response, 200, whole(found));
  if (request.method === "DELETE") {
    if (["done", "failed", "cancelled"].includes(found.state)) return problem(response, 409, "job-is-over", `the job ${id} is over`);
    farm.cancel(found);
    return json(response, 200, whole(found));
  }
  return problem(response, 404, "no-such-route", "there is no such route");
}

async function login(request, response) {
  const asked = JSON.parse(await body(request));
  if (asked.email !== EMAIL || asked.password !== PASSWORD) {
    return problem(response, 401, "wrong-credentials", "signing in: the e-mail address or the password is wrong");
  }
  response.setHeader("set-cookie", "session=on; Path=/; HttpOnly; SameSite=Lax");
  return json(response, 200, { user: USER });
}

function submit(order, response) {
  const range = /^(\d+)-(\d+)$/.exec(order.frames ?? "1-2");
  if (order.frames && range && Number(range[1]) > Number(range[2])) {
    return problem(response, 422, "bad-frames", `the range ${order.frames} is reversed`);
  }
  return json(response, 201, whole(farm.addJob(order)));
}

async function upload(request, response, found) {
  const bytes = await body(request);
  const head = bytes.subarray(0, 400).toString("latin1");
  const name = /filename="([^"]*)"/.exec(head)?.[1] ?? "scene.blend";
  const size = bytes.length - head.indexOf("\r\n\r\n") - 4;
  if (size < 64) return problem(response, 422, "truncated-blend", `${name} ends in the middle; save it again in Blender and upload that`);
  return json(response, 201, farm.addScene(found, name, size));
}

function download(request, url, response, file_id) {
  const file = farm.files.get(file_id);
  if (!file) return problem(response, 404, "no-such-file", "there is no such file");
  response.setHeader("content-type", file.media_type);
  response.setHeader("x-content-type-options", "nosniff");
  response.setHeader("accept-ranges", "bytes");
  const inline = url.searchParams.get("inline") === "1";
  response.setHeader("content-disposition", `${inline ? "inline" : "attachment"}; filename="${file.name.replace(/[^\w.-]/g, "_")}"`);
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  if (!range) return response.writeHead(200, { "content-length": file.bytes.length }).end(file.bytes);
  const first = Number(range[1]);
  const last = Math.min(range[2] === "" ? Infinity : Number(range[2]), file.bytes.length - 1);
  response.writeHead(206, { "content-range": `bytes ${first}-${last}/${file.bytes.length}`, "content-length": last - first + 1 });
  return response.end(file.bytes.subarray(first, last + 1));
}

function stream(request, url, response) {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  const send = (event) => response.write(
    `event: ${event.event}\n${event.id === undefined ? "" : `id: ${event.id}\n`}data: ${JSON.stringify(event.data)}\n\n`,
  );
  send({ event: "leader", data: { leader: farm.leader, term: farm.term } });
  const missed = farm.after(Number(request.headers["last-event-id"] ?? url.searchParams.get("after") ?? farm.index));
  if (missed === null) send({ event: "reset", data: { index: farm.index } });
  else missed.forEach(send);
  const leave = farm.listen(send);
  streams.add(response);
  response.on("close", () => {
    leave();
    streams.delete(response);
  });
}

/** What happens to a farm: `/mock/elect?node=2`, `/mock/cut?ms=5000`. */
function control(url, response) {
  if (url.pathname === "/mock/elect") farm.elect(Number(url.searchParams.get("node")) || null);
  if (url.pathname === "/mock/cut") {
    cut_until_ms = Date.now() + Number(url.searchParams.get("ms"));
    for (const one of streams) one.destroy();
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

async function body(request) {
  const parts = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}

function json(response, status, value) {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
}

function problem(response, status, name, detail) {
  response.writeHead(status, { "content-type": "application/problem+json" })
    .end(JSON.stringify({ type: `urn:jiggablend:problem:${name}`, title: name, status, detail }));
}
