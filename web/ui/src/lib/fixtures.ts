// Whole objects of the API for tests; each test says only what it is about.

import type { Counts, Farm, FarmNode, Job, JobSummary, StoredFile, Task } from "./types";

export const NONE: Counts = { waiting: 0, pending: 0, leased: 0, done: 0, failed: 0, cancelled: 0 };

export function aJob(id: string, with_: Partial<JobSummary> = {}): JobSummary {
  return {
    id, name: `job ${id}`, owner: { id: "u1", name: "ada" }, state: "active",
    created_at_ms: 1_000, started_at_ms: 2_000, finished_at_ms: null, frames: "1-3", counts: NONE,
    frame_counts: NONE, failure: null, video: false, waiting_for: null, ...with_,
  };
}

export function aTask(index: number, with_: Partial<Task> = {}): Task {
  return {
    index, kind: "frame", frame: index + 1, state: "pending", node: null, epoch: 0, failed_attempts: 0,
    file: null, render_ms: null, failure: null, log_file: null, ...with_,
  };
}

export function aWholeJob(id: string, tasks: Task[], with_: Partial<Job> = {}): Job {
  return { ...aJob(id), scene: null, scene_facts: null, video_file: null, tasks, ...with_ };
}

export function aFile(job: string, with_: Partial<StoredFile> = {}): StoredFile {
  return {
    id: "f1", job, task: null, kind: "video", name: "out.mp4", media_type: "video/mp4", size_bytes: 10,
    content: "00", holders: [1], created_at_ms: 1, url: `/api/jobs/${job}/files/f1/download`, ...with_,
  };
}

export function aNode(id: number, with_: Partial<FarmNode> = {}): FarmNode {
  return {
    id, name: `node-${id}`, peer_id: `peer${id}`, web_address: `http://localhost:808${id}`, version: "0.1.0",
    roles: { voter: true, runner: true }, vote: "voter", is_leader: false, is_this_node: false, connected: true,
    joined_at_ms: 1,
    runner: {
      blender_version: "3.4.1", why_not: null, devices: [], ffmpeg: null, slots: 1, cpu_threads: 2, memory_bytes: 1024,
    },
    working_on: [], ...with_,
  };
}

export function aFarm(with_: Partial<Farm> = {}): Farm {
  return {
    id: "farm", name: "home", fingerprint: "AAAA", this_node: 1, leader: 1, term: 2, voters: [1, 2, 3], standbys: [],
    applied_index: 50, last_log_index: 50, projected_index: 50, ...with_,
  };
}
