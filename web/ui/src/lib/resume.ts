// Going on with an upload that was cut short: which one, and whether this is its file.

import { path, send } from "./http";

export const TUS_VERSION = "1.0.0";

/** An upload, and of which file it is: what this browser remembers, and what the address says. */
export interface Begun {
  id: string;
  name: string;
  size_bytes: number;
  last_modified_ms: number;
}

/** What a node knows of an upload. */
export interface Seen {
  offset_bytes: number;
  length_bytes: number;
}

export type SceneFile = Pick<File, "name" | "size" | "lastModified">;

/**
 * Whether the rest of this file belongs behind what the node has. Were it another file, the scene
 * would be half of one and half of the other: where it is not certain, the answer is no.
 */
export function goesOn(file: SceneFile, seen: Seen, begun: Begun): boolean {
  return seen.length_bytes === file.size && begun.size_bytes === file.size && begun.name === file.name &&
    begun.last_modified_ms === file.lastModified;
}

export function uploadPath(job: string, upload: string): string {
  return path`/api/jobs/${job}/uploads/${upload}`;
}

/** The upload's id in its address. */
export function uploadId(url: string): string | null {
  const last = /\/uploads\/([^/?#]+)$/.exec(url)?.[1];
  return last === undefined ? null : decodeURIComponent(last);
}

/** Asks the node how far an upload is; null where it knows none of that name. */
export async function seenUpload(job: string, upload: string): Promise<Seen | null> {
  const answer = await send("HEAD", uploadPath(job, upload), undefined, { headers: { "tus-resumable": TUS_VERSION } });
  const offset_bytes = Number(answer.headers.get("upload-offset") ?? NaN);
  const length_bytes = Number(answer.headers.get("upload-length") ?? NaN);
  if (!answer.ok || !Number.isSafeInteger(offset_bytes) || !Number.isSafeInteger(length_bytes)) return null;
  return { offset_bytes, length_bytes };
}

/** Gives the room of an upload back that nobody goes on with. */
export async function dropUpload(job: string, upload: string): Promise<void> {
  await send("DELETE", uploadPath(job, upload), undefined, { headers: { "tus-resumable": TUS_VERSION } });
}

const KEY = "jiggablend.upload.";

/** What this browser remembers of a job's upload. A browser without storage remembers nothing. */
export function recall(job: string): Begun | null {
  try {
    const parsed = JSON.parse(localStorage.getItem(KEY + job) ?? "null") as Partial<Begun> | null;
    if (typeof parsed?.id !== "string" || typeof parsed.name !== "string") return null;
    return {
      id: parsed.id, name: parsed.name, size_bytes: Number(parsed.size_bytes), last_modified_ms: Number(parsed.last_modified_ms),
    };
  } catch {
    return null;
  }
}

export function remember(job: string, begun: Begun | null): void {
  try {
    if (begun === null) localStorage.removeItem(KEY + job);
    else localStorage.setItem(KEY + job, JSON.stringify(begun));
  } catch {
    // Full, or switched off: then a reload begins anew.
  }
}
