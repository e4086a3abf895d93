import { afterEach, describe, expect, it, vi } from "vitest";
import { api, logUrl, previewUrl } from "./api";

afterEach(() => vi.unstubAllGlobals());

describe("a page of jobs", () => {
  function answering(...pages: object[]): string[] {
    const asked: string[] = [];
    vi.stubGlobal("fetch", async (url: string) => {
      asked.push(url);
      return Response.json(pages.shift());
    });
    return asked;
  }

  it("is asked for with what is wanted, and goes on at its cursor", async () => {
    const asked = answering({ jobs: [], next_cursor: "c/1" }, { jobs: [] });
    const { next_cursor } = await api.jobs({ q: "a b", state: "failed", owner: "me", sort: "name" });
    const last = await api.jobs({ state: "", sort: "name", cursor: next_cursor });
    expect(asked).toEqual(["/api/jobs?q=a+b&state=failed&owner=me&sort=name", "/api/jobs?sort=name&cursor=c%2F1"]);
    expect(last.next_cursor).toBeUndefined();
  });
});

describe("addresses of a job's parts", () => {
  it("say what is wanted of them", () => {
    expect(previewUrl("j", "f", 320)).toBe("/api/jobs/j/files/f/preview?width=320");
    expect(logUrl("j", 0, { attempt: 2, tail: 200, follow: true })).toBe("/api/jobs/j/tasks/0/log?attempt=2&tail=200&follow=1");
    expect(logUrl("j", 0, { attempt: null, tail: null })).toBe("/api/jobs/j/tasks/0/log");
  });
});
