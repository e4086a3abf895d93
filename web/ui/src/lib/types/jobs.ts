// Jobs, their tasks and files.

export type JobState = "awaiting_scene" | "active" | "done" | "failed" | "cancelled";
export type TaskState = "waiting" | "pending" | "leased" | "done" | "failed" | "cancelled";
export type Counts = Record<TaskState, number>;

export interface Failure {
  kind: string;
  message: string;
}

export interface JobSummary {
  id: string;
  name: string;
  owner: { id: string; name: string };
  state: JobState;
  created_at_ms: number;
  started_at_ms: number | null;
  finished_at_ms: number | null;
  frames: string | null;
  /** Every task: frames and the video's encode. */
  counts: Counts;
  frame_counts: Counts;
  failure: Failure | null;
  /** Whether a video was asked for. */
  video: boolean;
  waiting_for: string | null;
}

export interface SceneFacts {
  blender_version: string;
  engine: string;
  width_px: number;
  height_px: number;
  fps: number;
}

export interface Task {
  index: number;
  kind: "frame" | "encode";
  frame: number | null;
  state: TaskState;
  /** The node that has the lease or made the output. */
  node: number | null;
  epoch: number;
  failed_attempts: number;
  file: string | null;
  render_ms: number | null;
  failure: Failure | null;
  log_file: string | null;
}

export interface StoredFile {
  id: string;
  job: string;
  task: number | null;
  kind: "scene" | "frame" | "video" | "log";
  name: string;
  media_type: string;
  size_bytes: number;
  content: string;
  holders: number[];
  created_at_ms: number;
  url: string;
}

export interface Job extends JobSummary {
  scene: StoredFile | null;
  scene_facts: SceneFacts | null;
  video_file: StoredFile | null;
  tasks: Task[];
}

/** One lease of a task, and how it ended. */
export interface Attempt {
  task: number;
  frame: number | null;
  epoch: number;
  node: number;
  leased_at_ms: number;
  ended_at_ms: number | null;
  outcome: "running" | "committed" | "failed" | "lease_ended" | "cancelled";
  render_ms: number | null;
  failure: Failure | null;
  /** Why the lease ended without an outcome. */
  reason: string | null;
  log_file: string | null;
}
