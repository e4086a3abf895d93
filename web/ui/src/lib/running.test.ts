import { describe, expect, it } from "vitest";
import { aFarm, aJob, aNode, aTask, aWholeJob, NONE } from "./fixtures";
import { EMPTY, reduce, type Message, type Model } from "./model";
import { renderingFrames, taskShade } from "./running";
import type { FarmNode } from "./types";

const JOB = aJob("a", { frame_counts: { ...NONE, leased: 2 } });
const TASKS = [0, 1].map((index) => aTask(index, { state: "leased", epoch: 3, node: 2 }));

function listed(nodes: FarmNode[] = [aNode(1), aNode(2)]): Model {
  return reduce(EMPTY, [{ kind: "snapshot", farm: aFarm(), nodes, jobs: [JOB], cursor: null }]);
}

function opened(before: Model): Model {
  return reduce(before, [{ kind: "job_asked", id: "a" }, { kind: "job_read", job: { ...aWholeJob("a", TASKS), ...JOB } }]);
}

function heard(epoch: number): Message {
  return { kind: "progress", tasks: [{ job: "a", task: 0, epoch, node: 2, fraction: null, text: "" }] };
}

function shades(model: Model): string[] {
  return TASKS.map((task) => taskShade(model, "a", task));
}

describe("a leased frame", () => {
  it("is queued until its attempt is heard of", () => {
    expect(shades(opened(listed()))).toEqual(["queued", "queued"]);
    const model = reduce(opened(listed()), [heard(3)]);
    expect(shades(model)).toEqual(["rendering", "queued"]);
    expect(renderingFrames(model, JOB)).toBe(1);
  });

  it("is not rendered for what an attempt before it said", () => {
    const model = opened(reduce(listed(), [heard(2)]));
    expect(shades(model)).toEqual(["queued", "queued"]);
    expect(renderingFrames(model, JOB)).toBe(0);
  });

  it("is rendered where its node's list has a fraction, and queued where it has none", () => {
    const working_on = [0.25, null].map((fraction, task) => ({ job: "a", task, frame: task + 1, fraction }));
    const model = opened(listed([aNode(1), aNode(2, { working_on })]));
    expect(shades(model)).toEqual(["rendering", "queued"]);
    expect(renderingFrames(model, JOB)).toBe(1);
  });

  it("is counted for a job that is not open, and never more than are leased", () => {
    const model = reduce(listed(), [heard(3)]);
    expect(renderingFrames(model, JOB)).toBe(1);
    expect(renderingFrames(model, { ...JOB, frame_counts: { ...NONE, done: 2 } })).toBe(0);
  });
});
