// Which jobs the list shows, in which order. The node filters and sorts the pages that are read;
// the same rules here keep the list right while jobs change.

import type { JobState, JobSummary } from "./types";

/** In the order in which a job goes through them. */
export const JOB_STATES: readonly JobState[] = ["awaiting_scene", "active", "done", "failed", "cancelled"];

export const SORTS = ["-created", "created", "name", "state", "finished"] as const;
export type Sort = (typeof SORTS)[number];
export const DEFAULT_SORT: Sort = "-created";

export const SORT_WORDS: Record<Sort, string> = {
  "-created": "newest first",
  created: "oldest first",
  name: "name",
  state: "state",
  finished: "last finished",
};

export function isSort(text: string): text is Sort {
  return (SORTS as readonly string[]).includes(text);
}

export function isJobState(text: string): text is JobState {
  return (JOB_STATES as readonly string[]).includes(text);
}

/** What the list is asked to show. */
export interface Wanted {
  filter: string;
  /** Blank for all. */
  state: JobState | "";
  /** A user's id; blank for everybody's. */
  owner: string;
  sort: Sort;
}

/** Whether a job never got its scene and was given up: what a refused upload leaves. Lists leave it out. */
export function cameToNothing(job: JobSummary): boolean {
  return job.state === "cancelled" && Object.values(job.counts).every((count) => count === 0);
}

function newest(a: JobSummary, b: JobSummary): number {
  // Ids are UUIDv7, so that they settle a tie.
  return b.created_at_ms - a.created_at_ms || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);
}

function oldest(a: JobSummary, b: JobSummary): number {
  return newest(b, a);
}

/** What is not over comes first, then what ended last. */
function compareEnds(a: number | null, b: number | null): number {
  if (a === null || b === null) return Number(b === null) - Number(a === null);
  return b - a;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** The list's order, the same as the node's; total, so that "after this job" has one meaning. */
export function compareJobs(sort: Sort): (a: JobSummary, b: JobSummary) => number {
  switch (sort) {
    case "-created":
      return newest;
    case "created":
      return oldest;
    case "name":
      return (a, b) => compareText(a.name.toLowerCase(), b.name.toLowerCase()) || oldest(a, b);
    case "state":
      return (a, b) => JOB_STATES.indexOf(a.state) - JOB_STATES.indexOf(b.state) || oldest(a, b);
    case "finished":
      return (a, b) => compareEnds(a.finished_at_ms, b.finished_at_ms) || oldest(a, b);
  }
}

/** Whether the name has the filter in it, and state and owner are the wanted ones. */
export function isWanted(job: JobSummary, wanted: Wanted): boolean {
  if (wanted.state !== "" && job.state !== wanted.state) return false;
  if (wanted.owner !== "" && job.owner.id !== wanted.owner) return false;
  return job.name.toLowerCase().includes(wanted.filter.trim().toLowerCase());
}

/**
 * The wanted ones among the jobs that are known, in order. `end`: the last job of the pages that
 * were read, where more follow: what sorts behind it would stand there with gaps before it.
 */
export function listed(jobs: Iterable<JobSummary>, wanted: Wanted, end: JobSummary | null): JobSummary[] {
  const compare = compareJobs(wanted.sort);
  return [...jobs]
    .filter((job) => !cameToNothing(job) && isWanted(job, wanted))
    .filter((job) => end === null || job.id === end.id || compare(job, end) <= 0)
    .sort(compare);
}

export function stateCounts(jobs: readonly JobSummary[]): Record<JobState, number> {
  const counts: Record<JobState, number> = { awaiting_scene: 0, active: 0, done: 0, failed: 0, cancelled: 0 };
  for (const job of jobs) counts[job.state] += 1;
  return counts;
}
