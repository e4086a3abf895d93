// The farm and its nodes.

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
  /** Null for a runner that speaks only HTTP. */
  peer_id: string | null;
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
