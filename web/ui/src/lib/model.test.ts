import { describe, expect, it } from "vitest";
import { aFarm, aFile, aJob, aNode, aTask, aWholeJob } from "./fixtures";
import { EMPTY, reduce, taskKey, type Message, type Model } from "./model";

const SNAPSHOT: Message = {
  kind: "snapshot", farm: aFarm(), nodes: [aNode(1), aNode(2)], jobs: [aJob("a")], cursor: null,
};

function opened(job = aWholeJob("a", [aTask(0), aTask(1)])): Model {
  return reduce(EMPTY, [SNAPSHOT, { kind: "job_asked", id: job.id }, { kind: "job_read", job }]);
}

function taskChange(job: string, task: ReturnType<typeof aTask>): Message {
  return { kind: "changes", changes: [{ task: { job, ...task } }] };
}

describe("the model", () => {
  it("takes several things that one log entry changed", () => {
    const model = reduce(opened(), [
      { kind: "changes", changes: [{ task: { job: "a", ...aTask(0, { state: "done" }) } }, { job: aJob("a", { state: "done" }) }] },
    ]);
    expect(model.details.get("a")?.tasks.get(0)?.state).toBe("done");
    expect(model.jobs.get("a")?.state).toBe("done");
  });

  it("ends in the same place when a change comes twice", () => {
    const change = taskChange("a", aTask(0, { state: "done" }));
    expect(reduce(opened(), [change, change])).toEqual(reduce(opened(), [change]));
  });

  it("takes a job out that one may see no longer, and what is open of it", () => {
    const gone: Message = { kind: "changes", changes: [{ job_gone: "a" }, { job_gone: "never-seen" }] };
    const model = reduce(opened(), [gone]);
    expect(model.jobs.has("a")).toBe(false);
    expect(model.details.get("a")?.status).toBe("unreadable");
    expect(model.details.has("never-seen")).toBe(false);
  });

  it("leaves the model before as it was", () => {
    const before = opened();
    reduce(before, [taskChange("a", aTask(0, { state: "done" })), { kind: "changes", changes: [{ job: aJob("b") }] }]);
    expect(before.details.get("a")?.tasks.get(0)?.state).toBe("pending");
    expect(before.jobs.has("b")).toBe(false);
  });

  it("keeps maps that a batch did not touch", () => {
    const before = opened();
    const after = reduce(before, [taskChange("a", aTask(0))]);
    expect(after.nodes).toBe(before.nodes);
    expect(after.jobs).toBe(before.jobs);
    expect(after.details).not.toBe(before.details);
  });

  it("lets a change that came during a read win over that read", () => {
    const model = reduce(EMPTY, [
      SNAPSHOT,
      { kind: "job_asked", id: "a" },
      taskChange("a", aTask(1, { state: "done" })),
      { kind: "changes", changes: [{ job: aJob("a", { state: "done" }) }] },
      { kind: "job_read", job: aWholeJob("a", [aTask(0), aTask(1)]) },
    ]);
    expect(model.details.get("a")?.tasks.get(1)?.state).toBe("done");
    expect(model.details.get("a")?.tasks.get(0)?.state).toBe("pending");
    expect(model.jobs.get("a")?.state).toBe("done");
  });

  it("asks for a new read when a job got its frames, since the scene's facts came with them", () => {
    const waiting = opened(aWholeJob("a", [], { frames: null }));
    const model = reduce(waiting, [{ kind: "changes", changes: [{ job: aJob("a", { frames: "1-3" }) }] }]);
    expect(model.details.get("a")?.stale).toBe(true);
    const read_again = reduce(model, [{ kind: "job_asked", id: "a" }]);
    expect(read_again.details.get("a")?.stale).toBe(false);
  });

  it("shows the video when its file arrives", () => {
    const file = aFile("a");
    expect(reduce(opened(), [{ kind: "changes", changes: [{ file }] }]).details.get("a")?.video_file).toEqual(file);
  });

  it("forgets the progress of a task that ended", () => {
    const running = reduce(opened(), [
      taskChange("a", aTask(0, { state: "leased", epoch: 1, node: 2 })),
      { kind: "progress", tasks: [{ job: "a", task: 0, epoch: 1, node: 2, fraction: 0.5, text: "" }] },
    ]);
    expect(running.progress.get(taskKey("a", 0))?.fraction).toBe(0.5);
    const over = reduce(running, [taskChange("a", aTask(0, { state: "done", epoch: 1 }))]);
    expect(over.progress.size).toBe(0);
  });

  it("does not take late progress of an attempt that is over", () => {
    const model = reduce(opened(), [
      taskChange("a", aTask(0, { state: "leased", epoch: 2 })),
      { kind: "progress", tasks: [{ job: "a", task: 0, epoch: 1, node: 1, fraction: 0.9, text: "" }] },
    ]);
    expect(model.progress.size).toBe(0);
  });

  it("knows a new leader at once", () => {
    const model = reduce(opened(), [{ kind: "leader", leader: 2, term: 3 }]);
    expect(model.leader).toBe(2);
    expect(model.farm?.term).toBe(3);
  });

  it("keeps an open job over a reset, and forgets jobs that are gone", () => {
    const before = reduce(opened(), [{ kind: "changes", changes: [{ job: aJob("b") }] }]);
    const after = reduce(before, [{ ...SNAPSHOT, jobs: [aJob("c")] } as Message]);
    expect([...after.jobs.keys()].sort()).toEqual(["a", "c"]);
  });

  it("starts from what the nodes say they work on", () => {
    const busy = aNode(2, { working_on: [{ job: "a", task: 1, frame: 2, fraction: 0.25 }] });
    const model = reduce(EMPTY, [{ ...SNAPSHOT, nodes: [busy] } as Message]);
    expect(model.progress.get(taskKey("a", 1))).toMatchObject({ node: 2, fraction: 0.25 });
  });

  it("does not let an older page overwrite what the stream said", () => {
    const model = reduce(opened(), [
      { kind: "changes", changes: [{ job: aJob("old", { state: "done" }) }] },
      { kind: "jobs_read", jobs: [aJob("old", { state: "active" }), aJob("older")] },
    ]);
    expect(model.jobs.get("old")?.state).toBe("done");
    expect(model.jobs.has("older")).toBe(true);
  });

  it("lists a job no more that was shared and is not now, but one that cannot be read just then", () => {
    const why = "there is no job old";
    const before = reduce(EMPTY, [{ kind: "jobs_read", jobs: [aJob("old")] }]);
    expect(reduce(before, [{ kind: "job_unreadable", id: "old", why, gone: true }]).jobs.has("old")).toBe(false);
    expect(reduce(before, [{ kind: "job_unreadable", id: "old", why: "no leader", gone: false }]).jobs.has("old")).toBe(true);
  });

  it("says why a job cannot be read, and starts afresh when asked again", () => {
    const model = reduce(EMPTY, [{ kind: "job_unreadable", id: "x", why: "there is no job x", gone: true }]);
    expect(model.details.get("x")).toMatchObject({ status: "unreadable", why: "there is no job x" });
    expect(reduce(model, [{ kind: "job_asked", id: "x" }]).details.get("x")?.status).toBe("reading");
  });
});
