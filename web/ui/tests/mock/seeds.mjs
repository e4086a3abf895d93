// Jobs that are there when the mock farm starts: one of each kind.

import { attempt } from "./farm.mjs";

const MINUTE_MS = 60_000;

export function seed(farm, many_frames) {
  done(farm);
  failed(farm);
  cancelled(farm);
  if (many_frames > 0) many(farm, many_frames);
}

function begun(farm, order, age_ms) {
  const job = farm.addJob(order, { age_ms });
  job.state = "active";
  job.started_at_ms = job.created_at_ms + 4_000;
  farm.expand(job, true);
  return job;
}

function done(farm) {
  const job = begun(farm, { name: "bouncing disc", frames: "1-24" }, 50 * MINUTE_MS);
  for (const one of job.tasks.filter((each) => each.kind === "frame")) {
    Object.assign(one, { node: 1 + (one.index % 3), epoch: 1, render_ms: 2_000 + 900 * Math.sin(one.index / 4) + 400 * (one.index % 3) });
    farm.finish(job, one, true);
  }
}

function failed(farm) {
  const job = begun(farm, { name: "kitchen, volumetrics", frames: "1-12", video: false }, 20 * MINUTE_MS);
  for (const one of job.tasks) {
    Object.assign(one, { node: 1 + (one.index % 3), epoch: 1, render_ms: 4_100 });
    if (one.index !== 6) farm.finish(job, one, true);
  }
  const failure = { kind: "crashed", message: "Blender was killed by signal 9; most often the machine had too little memory" };
  job.tasks[6].attempts = [1, 2, 3].map((epoch) => {
    const began_ms = job.started_at_ms + epoch * 20_000;
    return attempt(job.tasks[6], epoch, 1 + (epoch % 3), began_ms, { outcome: "failed", ended_at_ms: began_ms + 9_000, failure });
  });
  Object.assign(job.tasks[6], {
    state: "failed", failed_attempts: 3, epoch: 3, render_ms: null,
    failure: { kind: "crashed", message: "Blender was killed by signal 9 while rendering frame 7; most often the machine had too little memory" },
  });
  Object.assign(job, {
    state: "failed", finished_at_ms: job.started_at_ms + 3 * MINUTE_MS,
    failure: { kind: "crashed", message: "frame 7 failed 3 times; the last time Blender was killed by signal 9" },
  });
}

function cancelled(farm) {
  const job = begun(farm, { name: "lookdev test with a name that goes on for rather longer than the column is wide", frames: "1-48" }, 3_000 * MINUTE_MS);
  for (const one of job.tasks.slice(0, 9)) {
    Object.assign(one, { node: 2, epoch: 1, render_ms: 900 });
    farm.finish(job, one, true);
  }
  farm.cancel(job);
  job.finished_at_ms = job.started_at_ms + MINUTE_MS;
}

function many(farm, frames) {
  const job = begun(farm, { name: "feature, reel 3", frames: `1-${frames}` }, 90 * MINUTE_MS);
  for (const one of job.tasks.slice(0, Math.floor(frames * 0.4))) {
    Object.assign(one, { state: "done", node: 1 + (one.index % 3), epoch: 1, render_ms: 3_000 + 2_000 * Math.sin(one.index / 300) ** 2 });
  }
}
