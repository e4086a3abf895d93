import { describe, expect, it } from "vitest";
import { href, parseHash, type Route } from "./router";

describe("the router", () => {
  it.each<Route>([
    { page: "jobs", filter: "", states: [] },
    { page: "jobs", filter: "a & b?", states: ["failed", "done"] },
    { page: "job", id: "0193-x", frame: null },
    { page: "job", id: "0193-x", frame: -12 },
    { page: "nodes" },
  ])("reads back what it wrote: %j", (route) => expect(parseHash(href(route))).toEqual(route));

  it("takes an empty address for the jobs", () => {
    expect(parseHash("").page).toBe("jobs");
    expect(parseHash("#/").page).toBe("jobs");
  });

  it.each(["#/nowhere", "#/jobs/a/frames/x", "#/jobs/a/frames", "#/jobs/%E0%A4%A", "#/nodes/1"])(
    "does not know %s",
    (hash) => expect(parseHash(hash).page).toBe("unknown"),
  );
});
