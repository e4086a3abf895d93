import { describe, expect, it, vi } from "vitest";
import { aJob, NONE } from "./fixtures";
import { askFor, JobPages } from "./jobpages.svelte";
import { cameToNothing, compareJobs, DEFAULT_SORT, listed, SORTS, stateCounts, type Wanted } from "./joblist";

const ALL: Wanted = { filter: "", state: "", owner: "", sort: DEFAULT_SORT };
const bob = { id: "u2", email: null, name: "Bob" };
const jobs = [
  aJob("1", { name: "Kitchen" }),
  aJob("2", { name: "disc", state: "done", created_at_ms: 9_000, finished_at_ms: 9_500 }),
  aJob("3", { name: "kitchen two", state: "done", owner: bob, finished_at_ms: 9_900 }),
];
const ids = (wanted: Partial<Wanted>, end: string | null = null): string[] =>
  listed(jobs, { ...ALL, ...wanted }, jobs.find((job) => job.id === end) ?? null).map((job) => job.id);

describe("the job list", () => {
  it("is newest first unless asked otherwise", () => {
    expect(ids({})).toEqual(["2", "3", "1"]);
    expect(ids({ sort: "created" })).toEqual(["1", "3", "2"]);
    expect(ids({ sort: "name" })).toEqual(["2", "1", "3"]);
    expect(ids({ sort: "state" })).toEqual(["1", "3", "2"]);
    expect(ids({ sort: "finished" })).toEqual(["1", "3", "2"]);
  });

  it("orders any two jobs one way in each order", () => {
    for (const sort of SORTS) {
      for (const a of jobs) {
        for (const b of jobs) {
          const there = Math.sign(compareJobs(sort)(a, b));
          expect(there + Math.sign(compareJobs(sort)(b, a)), sort).toBe(0);
          expect(there === 0, sort).toBe(a === b);
        }
      }
    }
  });

  it("is filtered by a part of the name, by state and by owner", () => {
    expect(ids({ filter: " KITchen " })).toEqual(["3", "1"]);
    expect(ids({ filter: "two kitchen" })).toEqual([]);
    expect(ids({ filter: "kit", state: "done" })).toEqual(["3"]);
    expect(ids({ owner: "u2" })).toEqual(["3"]);
    expect(stateCounts(jobs)).toMatchObject({ active: 1, done: 2, failed: 0 });
  });

  it("shows nothing behind the end of what was read, since there would be gaps", () => {
    expect(ids({}, "3")).toEqual(["2", "3"]);
    expect(ids({ sort: "name" }, "1")).toEqual(["2", "1"]);
  });

  it("leaves out only what was cancelled before it got its scene", () => {
    expect(cameToNothing(aJob("a", { state: "cancelled" }))).toBe(true);
    expect(cameToNothing(aJob("b", { state: "cancelled", counts: { ...NONE, cancelled: 3 } }))).toBe(false);
    expect(cameToNothing(aJob("c", { state: "awaiting_scene" }))).toBe(false);
  });
});

describe("the pages of the list", () => {
  const FAR = { end: null, cursor: "c0" };

  it("asks nothing for the newest jobs, which are read anyway", async () => {
    const read = vi.fn();
    const pages = new JobPages(read);
    expect(askFor(ALL)).toBeNull();
    await pages.begin(null, FAR);
    expect(read).not.toHaveBeenCalled();
    expect(pages.listed).toBe(FAR);
  });

  it("asks the node for a filtered list, and goes on at its cursor", async () => {
    const read = vi.fn().mockResolvedValueOnce({ end: jobs[0], cursor: "c1" }).mockResolvedValueOnce({ end: null, cursor: null });
    const pages = new JobPages(read);
    await pages.begin(askFor({ ...ALL, filter: " kit ", state: "done", sort: "name" }), FAR);
    await pages.more();
    await pages.more();
    expect(read.mock.calls.map(([asked]) => asked)).toEqual([
      { q: "kit", state: "done", owner: "", sort: "name", cursor: undefined },
      { q: "kit", state: "done", owner: "", sort: "name", cursor: "c1" },
    ]);
    expect(pages.listed.cursor).toBeNull();
  });

  it("drops an answer that a newer question overtook", async () => {
    let answer = (_: { end: null; cursor: string | null }): void => undefined;
    const read = vi.fn()
      .mockReturnValueOnce(new Promise((resolve) => (answer = resolve)))
      .mockResolvedValueOnce({ end: null, cursor: "new" });
    const pages = new JobPages(read);
    const old = pages.begin(askFor({ ...ALL, filter: "a" }), FAR);
    await pages.begin(askFor({ ...ALL, filter: "ab" }), FAR);
    answer({ end: null, cursor: "old" });
    await old;
    expect(pages.listed.cursor).toBe("new");
  });

  it("says why a page could not be read", async () => {
    const pages = new JobPages(() => Promise.reject(new Error("the cursor is of another list")));
    await pages.begin(askFor({ ...ALL, owner: "u2" }), FAR);
    expect(pages.wrong).toBe("the cursor is of another list");
    expect(pages.reading).toBe(false);
  });
});
