// A farm that only pretends: three nodes, a log of changes, frames that finish after a while.
// It follows docs/api.md closely enough to build the page against; it is never part of a build.

import { randomUUID } from "node:crypto";
import { framePng, video } from "./picture.mjs";

const OWNER = { id: "018f0000-0000-7000-8000-000000000001", email: "ada@example.org", name: "ada" };
const KEEP_EVENTS = 2000;

export class Farm {
  index = 100;
  term = 4;
  leader = 1;
  jobs = new Map();
  files = new Map();
  events = [];
  listeners = new Set();
  slots = 1;

  constructor({ frame_ms = 1500, origin = "http://localhost:8080" } = {}) {
    this.frame_ms = frame_ms;
    this.nodes = [
      node(1, "attic", origin, { blender_version: "4.5.3", ffmpeg: "5.1.6", devices: [{ kind: "CUDA", name: "NVIDIA RTX 4070" }] }),
      node(2, "cellar", "http://localhost:8081", { blender_version: "4.5.3", ffmpeg: null, devices: [{ kind: "CPU", name: "AMD Ryzen 7 5800X" }] }),
      node(3, "studio-mac", "http://localhost:8082", { blender_version: "3.4.1", ffmpeg: "5.1.6", devices: [{ kind: "CPU", name: "Apple M2" }] }),
    ];
    this.tick = setInterval(() => this.#step(), 200);
  }

  stop() {
    clearInterval(this.tick);
  }

  say(changes) {
    this.#log(changes);
  }

  removeNode(id) {
    this.nodes = this.nodes.filter((one) => one.id !== id);
  }

  runners() {
    const http = node(4, "render-box", null, { blender_version: "4.5.3", ffmpeg: null, devices: [] });
    return [
      ...this.nodesSeen(1).map((one) => ({
        ...one, reach: "mesh", state: one.working_on.length > 0 ? "working" : "idle", last_heard_at_ms: Date.now(), registered_with: null,
      })),
      { ...http, peer_id: null, vote: "none", reach: "http", state: "away", last_heard_at_ms: Date.now() - 600_000, registered_with: "t" },
    ];
  }

  nodesSeen(this_node) {
    return this.nodes.map((one) => ({
      ...one,
      is_this_node: one.id === this_node,
      is_leader: one.id === this.leader,
      working_on: [...this.jobs.values()].flatMap((job) => job.tasks.filter((task) => task.state === "leased" && task.node === one.id)
        .map((task) => ({ job: job.id, task: task.index, frame: task.frame, fraction: fraction(task) }))),
    }));
  }

  farm(this_node) {
    return {
      id: "farm", name: "home", fingerprint: "7Q4K-ZP2M-H6TD-W9XA", this_node, leader: this.leader, term: this.term,
      voters: [1, 2, 3], standbys: [], applied_index: this.index, last_log_index: this.index, projected_index: this.index,
    };
  }

  addJob({ id, name, frames, video: wants_video, owner }, seed = {}) {
    const job = {
      id: id ?? randomUUID(), name, owner: owner ?? OWNER, state: "awaiting_scene", created_at_ms: Date.now() - (seed.age_ms ?? 0),
      started_at_ms: null, finished_at_ms: null, frames: frames ?? null, failure: null, video: wants_video ?? true,
      waiting_for: null, scene: null, scene_facts: null, video_file: null, tasks: [],
    };
    this.jobs.set(job.id, job);
    this.#log([{ job: summary(job) }]);
    return job;
  }

  addScene(job, name, size_bytes) {
    job.scene = this.#file(job, null, "scene", name, "application/x-blender", Buffer.alloc(0), size_bytes);
    job.state = "active";
    job.started_at_ms = Date.now();
    this.#log([{ file: job.scene }, { job: summary(job) }]);
    // The inspection: which frames there are is known a moment later.
    setTimeout(() => this.expand(job), 600);
    return job.scene;
  }

  expand(job, quiet = false) {
    if (job.state !== "active") return;
    job.frames ??= "1-24";
    job.scene_facts = { blender_version: "4.5.3", engine: "CYCLES", width_px: 1920, height_px: 1080, fps: 24 };
    const [first, last] = job.frames.split("-").map(Number);
    for (let frame = first; frame <= (last ?? first); frame += 1) job.tasks.push(task(job.tasks.length, "frame", frame));
    if (job.video) job.tasks.push({ ...task(job.tasks.length, "encode", null), state: "waiting" });
    if (!quiet) this.#log([{ job: summary(job) }, ...job.tasks.map((one) => taskChange(job, one))]);
  }

  cancel(job) {
    for (const one of job.tasks) if (["waiting", "pending", "leased"].includes(one.state)) one.state = "cancelled";
    job.state = "cancelled";
    job.finished_at_ms = Date.now();
    this.#log([{ job: summary(job) }, ...job.tasks.map((one) => taskChange(job, one))]);
  }

  elect(leader) {
    this.leader = leader;
    this.term += 1;
    this.#tell({ event: "leader", data: { leader, term: this.term } });
  }

  listen(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Past events after an index, or null when they are no longer here. */
  after(index) {
    const first = this.events[0]?.id ?? this.index + 1;
    return index + 1 < first && index < this.index ? null : this.events.filter((event) => event.id > index);
  }

  #log(changes) {
    this.index += 1;
    const event = { event: "change", id: this.index, data: { index: this.index, changes } };
    this.events.push(event);
    if (this.events.length > KEEP_EVENTS) this.events.shift();
    this.#tell(event);
  }

  #tell(event) {
    for (const listener of this.listeners) listener(event);
  }

  #file(job, task_index, kind, name, media_type, bytes, size_bytes = bytes.length) {
    const id = randomUUID();
    this.files.set(id, { bytes, media_type, name });
    return {
      id, job: job.id, task: task_index, kind, name, media_type, size_bytes, content: "ab".repeat(32), holders: [1, 2],
      created_at_ms: Date.now(), url: `/api/jobs/${job.id}/files/${id}/download`,
    };
  }

  #step() {
    // The newest first, so that a huge job does not keep a new one waiting.
    const active = [...this.jobs.values()].filter((job) => job.state === "active").reverse();
    for (const job of active) {
      for (const one of job.tasks) if (one.state === "leased" && Date.now() >= one.ends_at_ms) this.finish(job, one);
    }
    for (const job of active) for (const id of [1, 2, 3]) this.#lease(job, id);
    const running = active.flatMap((job) => job.tasks.filter((one) => one.state === "leased").map((one) => ({
      job: job.id, task: one.index, epoch: one.epoch, node: one.node, fraction: fraction(one), text: "Sample 32/64",
    })));
    if (running.length > 0) this.#tell({ event: "progress", data: { tasks: running } });
  }

  #lease(job, id) {
    const held = [...this.jobs.values()].flatMap((one) => one.tasks).filter((one) => one.state === "leased" && one.node === id);
    const next = job.tasks.find((one) => one.state === "pending" && one.kind === "frame");
    if (held.length >= this.slots || !next) return;
    const took_ms = this.frame_ms * (0.6 + 0.4 * id * Math.random());
    next.attempts.push(attempt(next, next.epoch + 1, id, Date.now()));
    Object.assign(next, { state: "leased", node: id, epoch: next.epoch + 1, begins_at_ms: Date.now(), ends_at_ms: Date.now() + took_ms });
    this.#log([taskChange(job, next), { job: summary(job) }]);
  }

  finish(job, one, quiet = false) {
    const changes = [];
    one.render_ms ??= Math.round((one.ends_at_ms ?? 0) - (one.begins_at_ms ?? 0));
    one.state = "done";
    Object.assign(one.attempts.at(-1) ?? {}, { outcome: "committed", ended_at_ms: Date.now(), render_ms: one.render_ms });
    if (one.kind === "frame") {
      const name = `${String(one.frame).padStart(4, "0")}.png`;
      const file = this.#file(job, one.index, "frame", name, "image/png", framePng(one.frame, job.tasks.length));
      one.file = file.id;
      changes.push({ file });
    }
    const frames = job.tasks.filter((other) => other.kind === "frame");
    const encode = job.tasks.find((other) => other.kind === "encode");
    if (frames.every((frame) => frame.state === "done")) {
      if (encode?.state === "waiting") this.#encode(job, encode, frames);
      else {
        job.state = "done";
        job.finished_at_ms = Date.now();
      }
    }
    if (!quiet) this.#log([taskChange(job, one), ...changes, { job: summary(job) }]);
  }

  async #encode(job, encode, frames) {
    job.waiting_for = "a runner with ffmpeg";
    encode.state = "pending";
    const bytes = await video(frames.map((frame) => this.files.get(frame.file).bytes));
    job.video_file = this.#file(job, encode.index, "video", `${job.name}.mp4`, "video/mp4", bytes);
    Object.assign(encode, { state: "done", node: 1, file: job.video_file.id });
    Object.assign(job, { state: "done", finished_at_ms: Date.now(), waiting_for: null });
    this.#log([taskChange(job, encode), { file: job.video_file }, { job: summary(job) }]);
  }
}

export function summary(job) {
  const { tasks, scene, scene_facts, video_file, ...rest } = job;
  return { ...rest, counts: counts(tasks), frame_counts: counts(tasks.filter((one) => one.kind === "frame")) };
}

export function whole(job) {
  return { ...job, ...summary(job), tasks: job.tasks.map(taskView) };
}

/** A task as the API has it: without its attempts, and when the lease will have been enough. */
function taskView({ attempts, begins_at_ms, ends_at_ms, ...view }) {
  return view;
}

function taskChange(job, task) {
  return { task: { job: job.id, ...taskView(task) } };
}

function counts(tasks) {
  const sums = { waiting: 0, pending: 0, leased: 0, done: 0, failed: 0, cancelled: 0 };
  for (const one of tasks) sums[one.state] += 1;
  return sums;
}

function fraction(one) {
  return Math.min(0.99, (Date.now() - one.begins_at_ms) / (one.ends_at_ms - one.begins_at_ms));
}

function task(index, kind, frame) {
  return {
    index, kind, frame, state: "pending", node: null, epoch: 0, failed_attempts: 0, file: null, render_ms: null, failure: null, log_file: null,
    attempts: [],
  };
}

export function attempt(of, epoch, node_id, leased_at_ms, end = {}) {
  return {
    task: of.index, frame: of.frame, epoch, node: node_id, leased_at_ms, ended_at_ms: null, outcome: "running", render_ms: null,
    failure: null, reason: null, log_file: null, ...end,
  };
}

function node(id, name, web_address, runner) {
  return {
    id, name, peer_id: `12D3KooW${name}`, web_address, version: "0.1.0", roles: { voter: true, runner: true }, vote: "voter",
    is_leader: false, is_this_node: id === 1, connected: true, joined_at_ms: Date.now() - 86_400_000,
    runner: { why_not: null, slots: 1, cpu_threads: 16, memory_bytes: 34_359_738_368, ...runner }, working_on: [],
  };
}
