// Quotas and what is used of them, in words; and quotas as people write them.

import { bytes } from "./format";
import type { Quota, Usage } from "./types";

export interface UsageLine {
  name: string;
  words: string;
  /** How full, 0 to 1; null where there is no limit. */
  fraction: number | null;
}

export function usageLines(quota: Quota, usage: Usage): UsageLine[] {
  const count = (value: number): string => value.toLocaleString("en");
  return [
    line("Storage", usage.bytes, quota.bytes, bytes),
    line("Jobs under way", usage.jobs, quota.jobs, count),
    line("Frames at once", usage.frames_in_flight, quota.frames_in_flight, count),
  ];
}

function line(name: string, used: number, limit: number | null, write: (value: number) => string): UsageLine {
  if (limit === null) return { name, words: `${write(used)}, no limit`, fraction: null };
  return { name, words: `${write(used)} of ${write(limit)}`, fraction: limit === 0 ? 1 : Math.min(1, used / limit) };
}

const GIB = 2 ** 30;

/** The fields of a form: bytes in GiB; blank is no limit. */
export interface QuotaText {
  gib: string;
  jobs: string;
  frames: string;
}

export function quotaText(quota: Quota): QuotaText {
  return {
    gib: quota.bytes === null ? "" : String(Number((quota.bytes / GIB).toFixed(3))),
    jobs: quota.jobs === null ? "" : String(quota.jobs),
    frames: quota.frames_in_flight === null ? "" : String(quota.frames_in_flight),
  };
}

/** What the fields mean. Throws in words for a person. */
export function readQuota(text: QuotaText): Quota {
  const gib = number("storage", text.gib);
  return {
    bytes: gib === null ? null : Math.round(gib * GIB),
    jobs: whole("jobs", text.jobs),
    frames_in_flight: whole("frames at once", text.frames),
  };
}

function number(what: string, text: string): number | null {
  // A field of type number binds as a number.
  const trimmed = String(text ?? "").trim();
  if (trimmed === "") return null;
  const value = Number(trimmed);
  if (!Number.isFinite(value) || value < 0) throw new Error(`the limit for ${what} must be a number, or blank for none`);
  return value;
}

function whole(what: string, text: string): number | null {
  const value = number(what, text);
  if (value !== null && !Number.isSafeInteger(value)) throw new Error(`the limit for ${what} must be a whole number`);
  return value;
}
