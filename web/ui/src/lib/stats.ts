// What a job's measured frame times tell.

import type { FarmNode, Task } from "./types";

/** Fewer measured frames than this say nothing about the rest. */
const MIN_MEASURED = 3;

export interface Eta {
  left_ms: number;
  /** How many frames were measured. */
  measured: number;
  /** How many frames render at once. */
  at_once: number;
}

/**
 * How long the frames that are left take, if they take what the measured ones took on average.
 * Null where that would be a guess: too few measured, or nothing rendering now.
 * A node holds one lease more than it has slots, so slots bound what renders at once.
 */
export function eta(
  tasks: Iterable<Task>,
  nodes: ReadonlyMap<number, FarmNode>,
  fractionOf: (task: Task) => number,
): Eta | null {
  let measured = 0;
  let sum_ms = 0;
  let frames_left = 0;
  const leased = new Map<number, number>();
  for (const task of tasks) {
    if (task.kind !== "frame") continue;
    if (task.state === "done" && task.render_ms !== null) {
      measured += 1;
      sum_ms += task.render_ms;
    } else if (task.state === "leased") {
      frames_left += 1 - fractionOf(task);
      if (task.node !== null) leased.set(task.node, (leased.get(task.node) ?? 0) + 1);
    } else if (task.state === "pending" || task.state === "waiting") {
      frames_left += 1;
    }
  }
  let at_once = 0;
  for (const [node, count] of leased) at_once += Math.min(count, nodes.get(node)?.runner.slots ?? 1);
  if (measured < MIN_MEASURED || at_once === 0) return null;
  return { left_ms: (sum_ms / measured) * (frames_left / at_once), measured, at_once };
}

export interface Bar {
  /** The frames that the bar stands for: one, or some neighbours where there are too many. */
  first: number;
  last: number;
  /** The longest of them. */
  render_ms: number;
}

export interface Times {
  bars: Bar[];
  median_ms: number;
  longest: { frame: number; render_ms: number };
}

/** Render times over the frames, in at most `max_bars` bars; null before the first one. */
export function times(frames: readonly Task[], max_bars: number): Times | null {
  const measured = frames.filter((task) => task.render_ms !== null && task.frame !== null);
  if (measured.length === 0) return null;
  const sorted = measured.map((task) => task.render_ms as number).sort((a, b) => a - b);
  const median_ms = sorted[Math.floor(sorted.length / 2)] ?? 0;
  const per_bar = Math.ceil(frames.length / max_bars);
  const bars: Bar[] = [];
  let longest = { frame: 0, render_ms: -1 };
  for (let at = 0; at < frames.length; at += per_bar) {
    const group = frames.slice(at, at + per_bar);
    let render_ms = 0;
    for (const task of group) {
      render_ms = Math.max(render_ms, task.render_ms ?? 0);
      if ((task.render_ms ?? -1) > longest.render_ms) {
        longest = { frame: task.frame ?? 0, render_ms: task.render_ms ?? 0 };
      }
    }
    bars.push({ first: group[0]?.frame ?? 0, last: group.at(-1)?.frame ?? 0, render_ms });
  }
  return { bars, median_ms, longest };
}

export interface NodeShare {
  node: number;
  frames: number;
  mean_ms: number;
}

/** Which node rendered how many frames, most first. */
export function shares(frames: readonly Task[]): NodeShare[] {
  const sums = new Map<number, { frames: number; sum_ms: number; measured: number }>();
  for (const task of frames) {
    if (task.state !== "done" || task.node === null) continue;
    const sum = sums.get(task.node) ?? { frames: 0, sum_ms: 0, measured: 0 };
    sum.frames += 1;
    if (task.render_ms !== null) {
      sum.sum_ms += task.render_ms;
      sum.measured += 1;
    }
    sums.set(task.node, sum);
  }
  return [...sums]
    .map(([node, sum]) => ({ node, frames: sum.frames, mean_ms: sum.measured === 0 ? 0 : sum.sum_ms / sum.measured }))
    .sort((a, b) => b.frames - a.frames || a.node - b.node);
}
