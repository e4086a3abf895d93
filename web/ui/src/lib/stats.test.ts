import { describe, expect, it } from "vitest";
import { aNode, aTask } from "./fixtures";
import { eta, shares, times } from "./stats";

const done = (index: number, render_ms: number, node = 1) => aTask(index, { state: "done", render_ms, node });
const NODES = new Map([[1, aNode(1)], [2, aNode(2)]]);

describe("the time left", () => {
  it("comes from measured frames and from what renders at once", () => {
    const tasks = [done(0, 1000), done(1, 2000), done(2, 3000), aTask(3, { state: "leased", node: 1 }), aTask(4, { state: "leased", node: 2 }), aTask(5), aTask(6)];
    expect(eta(tasks, NODES, () => 0.5)).toEqual({ left_ms: (2000 * 3) / 2, measured: 3, at_once: 2 });
  });

  it("does not count a lease that waits for its node's slot as rendering", () => {
    const tasks = [done(0, 1000), done(1, 1000), done(2, 1000), aTask(3, { state: "leased", node: 1 }), aTask(4, { state: "leased", node: 1 })];
    expect(eta(tasks, NODES, () => 0)?.at_once).toBe(1);
  });

  it("is not told while it would be a guess", () => {
    const running = aTask(9, { state: "leased", node: 1 });
    expect(eta([done(0, 1000), done(1, 1000), running], NODES, () => 0)).toBeNull();
    expect(eta([done(0, 1000), done(1, 1000), done(2, 1000), aTask(3)], NODES, () => 0)).toBeNull();
  });
});

describe("the plot", () => {
  it("has a bar for each frame, a hole where none is measured", () => {
    const plot = times([done(0, 100), aTask(1), done(2, 300)], 10);
    expect(plot?.bars.map((bar) => bar.render_ms)).toEqual([100, 0, 300]);
    expect(plot?.longest).toEqual({ frame: 3, render_ms: 300 });
  });

  it("joins neighbours where there are too many, and keeps the longest", () => {
    const frames = Array.from({ length: 10_000 }, (_, index) => done(index, index === 4321 ? 9000 : 100));
    const plot = times(frames, 200);
    expect(plot?.bars).toHaveLength(200);
    expect(plot?.bars.find((bar) => bar.render_ms === 9000)).toMatchObject({ first: 4301, last: 4350 });
    expect(plot?.median_ms).toBe(100);
  });

  it("is not there before the first frame", () => expect(times([aTask(0)], 10)).toBeNull());

  it("tells who rendered how many", () => {
    expect(shares([done(0, 100, 2), done(1, 300, 2), done(2, 50, 1), aTask(3)])).toEqual([
      { node: 2, frames: 2, mean_ms: 200 },
      { node: 1, frames: 1, mean_ms: 50 },
    ]);
  });
});
