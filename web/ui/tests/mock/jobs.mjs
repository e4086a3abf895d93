// Jobs of the mock farm over HTTP: the list, files, previews, logs, shares.

import { bodyJson, json, none, problem } from "./http.mjs";
import { summary, whole } from "./farm.mjs";

const ORDER = ["awaiting_scene", "active", "done", "failed", "cancelled"];
/** Blender prints nothing while it starts. */
const QUIET_MS = 1_500;
/** As the node compares; `list` puts the oldest first among equals. */
const COMPARE = {
  "-created": (a, b) => b.created_at_ms - a.created_at_ms,
  created: (a, b) => a.created_at_ms - b.created_at_ms,
  name: (a, b) => a.name.toLowerCase().localeCompare(b.name.toLowerCase()),
  state: (a, b) => ORDER.indexOf(a.state) - ORDER.indexOf(b.state),
  finished: (a, b) => (b.finished_at_ms ?? Number.MAX_SAFE_INTEGER) - (a.finished_at_ms ?? Number.MAX_SAFE_INTEGER),
};

export function list(farm, caller, url, response, page_size) {
  const asked = (name) => url.searchParams.get(name) ?? "";
  const state = asked("state");
  if (state !== "" && !ORDER.includes(state)) return problem(response, 422, "invalid-request", `state is '${state}', which is none of a job's`);
  const owner = asked("owner") === "me" ? caller.user.id : asked("owner") === "all" ? "" : asked("owner");
  const part = asked("q").trim().toLowerCase();
  const found = [...farm.jobs.values()].map(summary)
    .filter((job) => (state === "" || job.state === state) && (owner === "" || job.owner.id === owner))
    .filter((job) => job.name.toLowerCase().includes(part))
    .sort(COMPARE.created)
    .sort(COMPARE[asked("sort") || "-created"]);
  // A page goes on behind the last job of the one before.
  const first = found.findIndex((job) => job.id === asked("cursor")) + 1;
  const jobs = found.slice(first, first + page_size);
  const next = first + page_size < found.length ? jobs.at(-1).id : undefined;
  return json(response, 200, { jobs, next_cursor: next, next_before: next });
}

export async function submit(farm, caller, request, response) {
  const order = await bodyJson(request);
  const range = /^(\d+)-(\d+)$/.exec(order.frames ?? "1-2");
  if (order.frames && range && Number(range[1]) > Number(range[2])) {
    return problem(response, 422, "bad-frames", `the range ${order.frames} is reversed`);
  }
  const { id, name } = caller.user;
  return json(response, 201, whole(farm.addJob({ ...order, owner: { id, name } })));
}

export async function job(farm, accounts, request, url, response) {
  const [, , , id, area, sub, act] = url.pathname.split("/");
  const found = farm.jobs.get(id);
  if (!found) return problem(response, 404, "unknown-job", `there is no job ${id}; see the job list`);
  if (act === "download") return download(farm, request, url, response, sub);
  if (act === "preview") return download(farm, request, new URL("?inline=1", url), response, sub);
  if (area === "archive") return archive(farm, found, url, response);
  if (area === "shares") return shares(accounts, found, sub, request, response);
  if (area === "tasks" && act === "attempts") return json(response, 200, { attempts: found.tasks[Number(sub)].attempts });
  if (area === "tasks" && act === "log") return log(found, found.tasks[Number(sub)], url, response);
  if (area === "files") return json(response, 200, { files: [...farm.files.values()].filter((file) => file.job === id) });
  if (request.method === "GET") return json(response, 200, whole(found));
  if (request.method === "DELETE") {
    if (["done", "failed", "cancelled"].includes(found.state)) return problem(response, 409, "job-is-over", `the job ${id} is over`);
    farm.cancel(found);
    return json(response, 200, whole(found));
  }
  return problem(response, 404, "not-found", "there is no such route");
}

function download(farm, request, url, response, file_id) {
  const file = farm.files.get(file_id);
  if (!file) return problem(response, 404, "unknown-file", "there is no such file");
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

/** A tar with the frames; the zip is only called one, which is enough to see it arrive. */
function archive(farm, found, url, response) {
  const format = url.searchParams.get("format") ?? "zip";
  response.setHeader("content-disposition", `attachment; filename="${found.name.replace(/[^\w.-]/g, "_")}.${format}"`);
  response.writeHead(200, { "content-type": format === "zip" ? "application/zip" : "application/x-tar" });
  for (const one of found.tasks) {
    const file = farm.files.get(one.file);
    if (one.kind !== "frame" || !file) continue;
    const head = Buffer.alloc(512);
    head.write(file.name);
    head.write(file.bytes.length.toString(8).padStart(11, "0"), 124);
    response.write(Buffer.concat([head, file.bytes, Buffer.alloc((512 - (file.bytes.length % 512)) % 512)]));
  }
  response.end(Buffer.alloc(1024));
}

async function shares(accounts, found, user_id, request, response) {
  const of = accounts.shares.get(found.id) ?? new Map();
  accounts.shares.set(found.id, of);
  if (request.method === "GET") return json(response, 200, { shares: [...of.values()] });
  if (request.method === "DELETE") {
    of.delete(user_id);
    return none(response);
  }
  const user = accounts.users.get(user_id);
  if (!user) return problem(response, 404, "not-found", "there is no such user");
  const { access } = await bodyJson(request);
  of.set(user_id, { user: { id: user_id, name: user.name }, access });
  return json(response, 200, { shares: [...of.values()] });
}

function log(found, one, url, response) {
  const epoch = Number(url.searchParams.get("attempt") ?? one.epoch);
  const running = one.state === "leased" && one.epoch === epoch;
  if (running && Date.now() - one.begins_at_ms < QUIET_MS) return problem(response, 404, "no-log", "nothing was printed yet");
  const lines = Array.from({ length: 260 }, (_, at) => `Fra:${one.frame} Mem:${120 + at}.0M | Sample ${at + 1}/260`);
  lines.unshift(`Blender 4.5.3, attempt ${epoch} at ${found.name}`);
  if (one.failure) lines.push(`Error: ${one.failure.message}`);
  if (one.state === "done") lines.push("Saved: the frame");
  const tail = Number(url.searchParams.get("tail") ?? Infinity);
  response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
  if (url.searchParams.get("follow") !== "1" || !running) return response.end(`${lines.slice(-tail).join("\n")}\n`);
  response.write(`${lines.slice(-tail).slice(0, 20).join("\n")}\n`);
  let at = 0;
  const timer = setInterval(() => {
    at += 1;
    response.write(`followed line ${at}\n`);
    if (one.state === "leased" && one.epoch === epoch) return;
    clearInterval(timer);
    response.end("Saved: the frame\n");
  }, 150);
  response.on("close", () => clearInterval(timer));
}
