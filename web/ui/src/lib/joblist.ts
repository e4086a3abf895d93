// Which jobs the list shows, in which order.

import type { JobState, JobSummary } from "./types";

export const JOB_STATES: readonly JobState[] = ["active", "awaiting_scene", "done", "failed", "cancelled"];

/** Whether a job never got its scene and was given up: what a refused upload leaves. Lists leave it out. */
export function cameToNothing(job: JobSummary): boolean {
  return job.state === "cancelled" && Object.values(job.counts).every((count) => count === 0);
}

/** Newest first; ids are UUIDv7, so that they settle a tie. */
export function newestFirst(jobs: Iterable<JobSummary>): JobSummary[] {
  return [...jobs].sort((a, b) => b.created_at_ms - a.created_at_ms || (a.id < b.id ? 1 : -1));
}

/** The jobs whose name or owner has every word of the filter, in one of the states (none: all). */
export function matching(jobs: readonly JobSummary[], filter: string, states: readonly string[]): JobSummary[] {
  const needles = filter.toLowerCase().split(/\s+/).filter((needle) => needle !== "");
  return jobs.filter((job) => {
    const text = `${job.name} ${job.owner.name} ${job.owner.email ?? ""}`.toLowerCase();
    return (states.length === 0 || states.includes(job.state)) && needles.every((needle) => text.includes(needle));
  });
}

export function stateCounts(jobs: readonly JobSummary[]): Record<JobState, number> {
  const counts: Record<JobState, number> = { awaiting_scene: 0, active: 0, done: 0, failed: 0, cancelled: 0 };
  for (const job of jobs) counts[job.state] += 1;
  return counts;
}
