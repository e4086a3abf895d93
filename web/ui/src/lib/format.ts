// Numbers and states in words.

import type { Counts, JobState, JobSummary, TaskState } from "./types";

/** `820 ms`, `4.2 s`, `3 min 5 s`, `2 h 4 min`, `3 d 1 h`. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 9950) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return pair(seconds, 60, "min", "s");
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) return pair(minutes, 60, "h", "min");
  return pair(Math.round(minutes / 60), 24, "d", "h");
}

function pair(total: number, size: number, big: string, small: string): string {
  const rest = total % size;
  return rest === 0 ? `${Math.floor(total / size)} ${big}` : `${Math.floor(total / size)} ${big} ${rest} ${small}`;
}

/** `just now`, `5 min ago`, `3 h ago`, else the date. A clock that runs behind shows no future. */
export function ago(at_ms: number, now_ms: number): string {
  const minutes = Math.floor((now_ms - at_ms) / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ago`;
  return new Date(at_ms).toISOString().slice(0, 10);
}

/** `2026-11-24 13:05:09`, in the reader's own time. */
export function dateTime(at_ms: number): string {
  const at = new Date(at_ms);
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ` +
    `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** `900 B`, `12.5 KiB`, `3.2 GiB`. */
export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let value = count;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** `1 frame`, `2 frames`. */
export function plural(count: number, one: string, many: string = `${one}s`): string {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

export const JOB_STATE_WORDS: Record<JobState, string> = {
  awaiting_scene: "waiting for its scene file",
  active: "rendering",
  done: "done",
  failed: "failed",
  cancelled: "cancelled",
};

/** What a person sees of a task's state: six shapes. */
export type Shade = "done" | "rendering" | "queued" | "waiting" | "failed" | "cancelled";

/** `rendering`: whether an attempt at a leased task was heard of; else it waits for a slot of its node. */
export function shadeOf(state: TaskState, rendering: boolean): Shade {
  switch (state) {
    case "leased":
      return rendering ? "rendering" : "queued";
    case "waiting":
    case "pending":
      return "waiting";
    default:
      return state;
  }
}

export const SHADES: readonly Shade[] = ["done", "rendering", "queued", "waiting", "failed", "cancelled"];

/** `rendering` of the leased ones are rendered; the others wait for a slot of their node. */
export function shadeCounts(counts: Counts, rendering: number): Record<Shade, number> {
  return {
    done: counts.done,
    rendering,
    queued: counts.leased - rendering,
    waiting: counts.waiting + counts.pending,
    failed: counts.failed,
    cancelled: counts.cancelled,
  };
}

export function total(counts: Counts): number {
  return Object.values(counts).reduce((sum, count) => sum + count, 0);
}

/** `18 of 24 frames done, 2 rendering, 1 queued, 3 waiting`; parts that are nought are left out. */
export function countsInWords(counts: Counts, rendering: number): string {
  const shades = shadeCounts(counts, rendering);
  const rest = SHADES.filter((shade) => shade !== "done" && shades[shade] > 0);
  const head = `${shades.done.toLocaleString("en")} of ${plural(total(counts), "frame")} done`;
  return [head, ...rest.map((shade) => `${shades[shade].toLocaleString("en")} ${shade}`)].join(", ");
}

/** A job's state in a word or two; an active job that only encodes says so. */
export function jobStateWords(job: JobSummary, rendering: number): string {
  if (job.state !== "active") return JOB_STATE_WORDS[job.state];
  const shades = shadeCounts(job.frame_counts, rendering);
  if (total(job.frame_counts) === 0) return "reading the scene";
  if (shades.rendering > 0) return "rendering";
  if (shades.queued > 0) return "queued";
  const frames_over = shades.waiting === 0;
  if (frames_over) return "making the video";
  return "waiting";
}

/** Only web addresses become links: a node's address is another machine's word. */
export function safeWebAddress(address: string | null): string | null {
  if (address === null) return null;
  try {
    const url = new URL(address);
    return url.protocol === "http:" || url.protocol === "https:" ? url.origin : null;
  } catch {
    return null;
  }
}
