// The shapes of docs/api.md, word for word. Times are milliseconds since the Unix epoch.

export type JobState = "awaiting_scene" | "active" | "done" | "failed" | "cancelled";
export type TaskState = "waiting" | "pending" | "leased" | "done" | "failed" | "cancelled";
export type Counts = Record<TaskState, number>;

export interface User {
  id: string;
  email: string | null;
  role: "admin" | "member" | "viewer";
  kind: "user" | "operator";
}

export interface Providers {
  local: boolean;
  registration: string;
}

export interface Failure {
  kind: string;
  message: string;
}

export interface JobSummary {
  id: string;
  name: string;
  owner: { id: string; email: string | null; name: string };
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

export interface Farm {
  id: string;
  name: string;
  fingerprint: string;
  this_node: number;
  leader: number | null;
  term: number;
  voters: number[];
  standbys: number[];
  applied_index: number;
  last_log_index: number;
  projected_index: number;
}

export interface WorkingOn {
  job: string;
  task: number;
  frame: number | null;
  fraction: number | null;
}

export interface FarmNode {
  id: number;
  name: string;
  peer_id: string;
  web_address: string | null;
  version: string;
  roles: { voter: boolean; runner: boolean };
  vote: "voter" | "standby" | "none";
  is_leader: boolean;
  is_this_node: boolean;
  connected: boolean;
  joined_at_ms: number;
  runner: {
    blender_version: string | null;
    why_not: string | null;
    devices: { kind: string; name: string }[];
    ffmpeg: string | null;
    slots: number;
    cpu_threads: number;
    memory_bytes: number;
  };
  working_on: WorkingOn[];
}

export interface Ticket {
  ticket: string;
  expires_at_ms: number;
}

export interface TaskProgress {
  job: string;
  task: number;
  epoch: number;
  node: number;
  /** How much of the frame is rendered, 0 to 1, where Blender says it. */
  fraction: number | null;
  text: string;
}

/** One thing that a log entry changed: a full object, so that applying it twice does no harm. */
export interface Change {
  job?: JobSummary;
  task?: Task & { job: string };
  file?: StoredFile;
  node?: FarmNode;
}

/** RFC 9457. */
export interface ProblemBody {
  type: string;
  title: string;
  status: number;
  detail: string;
}
