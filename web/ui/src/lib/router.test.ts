import { describe, expect, it } from "vitest";
import { href, JOBS, parseHash, type Route } from "./router";

describe("the router", () => {
  const routes: Route[] = [
    JOBS,
    { page: "jobs", filter: "a & b?", state: "failed", owner: "me", sort: "name" },
    { page: "job", id: "0193-x", frame: null },
    { page: "job", id: "0193-x", frame: -12 },
    { page: "job", id: "0193-x", frame: null, upload: { id: "2-018f&x", name: "Küche & co.blend", size_bytes: 9, last_modified_ms: 77 } },
    { page: "nodes" },
    { page: "account" },
    { page: "admin", tab: "audit" },
    { page: "invite", secret: "jbi_a/b" },
    { page: "device", code: "WDJB-MJHT" },
    { page: "device", code: "" },
  ];
  for (const route of routes) {
    it(`reads back what it wrote: ${href(route)}`, () => expect(parseHash(href(route))).toEqual(route));
  }

  it("knows both ways to write an invitation's link", () => {
    expect(parseHash("#/register?invitation=jbi_1")).toEqual({ page: "invite", secret: "jbi_1" });
    expect(parseHash("#/invite/jbi_1")).toEqual({ page: "invite", secret: "jbi_1" });
  });

  it("takes half an upload for none", () => {
    expect(parseHash("#/jobs/a?upload=1&file=a.blend&bytes=9")).toEqual({ page: "job", id: "a", frame: null });
    expect(parseHash("#/jobs/a?upload=1&file=a.blend&bytes=x&changed=7")).toEqual({ page: "job", id: "a", frame: null });
  });

  it("takes an order that nobody knows for the newest first", () => {
    expect(parseHash("#/jobs?sort=colour")).toEqual(JOBS);
  });

  it("takes an empty address for the jobs", () => {
    expect(parseHash("").page).toBe("jobs");
    expect(parseHash("#/").page).toBe("jobs");
  });

  it.each(["#/nowhere", "#/jobs/a/frames/x", "#/jobs/a/frames", "#/jobs/%E0%A4%A", "#/nodes/1", "#/admin/passwords", "#/invite"])(
    "does not know %s",
    (hash) => expect(parseHash(hash).page).toBe("unknown"),
  );
});
