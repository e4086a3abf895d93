// Uploads by tus 1.0: creation, HEAD, PATCH, termination. https://tus.io/protocols/resumable-upload

import { randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { problem } from "./http.mjs";

const uploads = new Map();
const BLEND_BYTES = 64;

/** Whether it was one of its routes. `slow.bytes_per_s`: how quick the node reads. */
export async function tus(farm, request, response, url, slow) {
  const [, , , job_id, area, upload_id] = url.pathname.split("/");
  if (area !== "upload" && area !== "uploads") return false;
  response.setHeader("tus-resumable", "1.0.0");
  const job = farm.jobs.get(job_id);
  if (!job) return problem(response, 404, "unknown-job", `there is no job ${job_id}`), true;
  if (area === "upload") {
    if (job.state !== "awaiting_scene") return problem(response, 409, "scene-is-there", "the job has its scene already"), true;
    const id = randomUUID();
    const metadata = request.headers["upload-metadata"] ?? "";
    uploads.set(id, { job, parts: [], offset: 0, length: Number(request.headers["upload-length"]), metadata });
    response.writeHead(201, { location: `/api/jobs/${job_id}/uploads/${id}` }).end();
    return true;
  }
  const upload = uploads.get(upload_id);
  if (!upload) return response.writeHead(404).end(), true;
  if (request.method === "HEAD") {
    response.writeHead(200, {
      "upload-offset": upload.offset, "upload-length": upload.length, "cache-control": "no-store",
    }).end();
  } else if (request.method === "DELETE") {
    uploads.delete(upload_id);
    response.writeHead(204).end();
  } else {
    await patch(farm, request, response, upload_id, upload, slow);
  }
  return true;
}

async function patch(farm, request, response, id, upload, slow) {
  if (Number(request.headers["upload-offset"]) !== upload.offset) {
    return problem(response, 409, "conflict", `the upload goes on at byte ${upload.offset}`);
  }
  try {
    for await (const part of request) {
      upload.parts.push(part);
      upload.offset += part.length;
      if (slow.bytes_per_s > 0) await pause((part.length * 1000) / slow.bytes_per_s);
    }
  } catch {
    // It broke off; what arrived is kept.
    return undefined;
  }
  if (upload.offset < upload.length) return response.writeHead(204, { "upload-offset": upload.offset }).end();
  if (upload.done) return response.writeHead(204, { "upload-offset": upload.offset }).end();
  if (slow.failing_ends > 0) {
    slow.failing_ends -= 1;
    return problem(response, 503, "too-few-copies", "the scene has too few copies; try again in a moment");
  }
  const bytes = Buffer.concat(upload.parts);
  const name = Buffer.from(/filename ([\w+/=]+)/.exec(upload.metadata)?.[1] ?? "", "base64").toString();
  if (bytes.length < BLEND_BYTES || bytes.subarray(0, 7).toString("latin1") !== "BLENDER") {
    uploads.delete(id);
    return problem(response, 422, "truncated-blend", `${name} ends in the middle; save it again in Blender and upload that`);
  }
  upload.done = true;
  const checked = farm.addScene(upload.job, name, bytes.length);
  // What arrived, for a test to compare with what was sent.
  farm.files.get(checked.id).bytes = bytes;
  return response.writeHead(204, { "upload-offset": upload.offset }).end();
}
