// Which leased tasks are rendered. A node takes one lease more than it has slots, so that it never
// runs dry: a lease alone does not say that somebody renders.

import { shadeOf, type Shade } from "./format";
import { taskKey, type Model } from "./model";
import type { JobSummary, Task, TaskProgress } from "./types";

/** Whether this comes from a running attempt: a list of a node's leases has no epoch, and maybe a fraction. */
export function isHeard(progress: TaskProgress): boolean {
  return progress.epoch > 0 || progress.fraction !== null;
}

function isRendering(task: Task, progress: TaskProgress | undefined): boolean {
  if (task.state !== "leased" || progress === undefined || !isHeard(progress)) return false;
  return progress.epoch === 0 || progress.epoch === task.epoch;
}

export function taskShade(model: Model, job: string, task: Task): Shade {
  return shadeOf(task.state, isRendering(task, model.progress.get(taskKey(job, task.index))));
}

/** How many frames of the job are rendered right now; never more than are leased. */
export function renderingFrames(model: Model, job: JobSummary): number {
  if (job.state !== "active" || job.frame_counts.leased === 0) return 0;
  const tasks = model.details.get(job.id)?.tasks;
  let rendering = 0;
  for (const progress of model.progress.values()) {
    if (progress.job !== job.id || !isHeard(progress)) continue;
    // The tasks of a job that is not open are not known; its progress is heard all the same.
    const task = tasks?.get(progress.task);
    if (task === undefined || (task.kind === "frame" && isRendering(task, progress))) rendering += 1;
  }
  return Math.min(rendering, job.frame_counts.leased);
}
