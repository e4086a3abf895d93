// A frame's tile in one sentence.

import { duration, type Shade } from "./format";
import type { Task } from "./types";

/** `Frame 12, rendering, 40 %, on node-2`, `Frame 13, queued on node-2`; `where` names the task's node. */
export function tileWords(task: Task, shade: Shade, fraction: number | null, where: string | null): string {
  if (shade === "queued" && where !== null) return `Frame ${task.frame}, queued on ${where}`;
  const parts = [`Frame ${task.frame}`, shade];
  if (shade === "rendering" && fraction !== null) parts.push(`${Math.round(fraction * 100)} %`);
  if (where !== null) parts.push(`on ${where}`);
  if (task.render_ms !== null) parts.push(`in ${duration(task.render_ms)}`);
  return parts.join(", ");
}

/** Whether the task's node says something: it has the frame, had it last, or made it. */
export function hasPlace(task: Task): boolean {
  return task.node !== null && ["leased", "done", "failed"].includes(task.state);
}
