// What the stream of events says.

import type { FarmNode } from "./farm";
import type { JobSummary, StoredFile, Task } from "./jobs";

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
  /** A job that one may see no longer. */
  job_gone?: string;
  task?: Task & { job: string };
  file?: StoredFile;
  node?: FarmNode;
}
