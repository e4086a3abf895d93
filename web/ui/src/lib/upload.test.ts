// Going on with an upload: which one, whether with this file, how quick.

import { afterEach, describe, expect, it, vi } from "vitest";
import { leftMs, RateMeter } from "./rate";
import { goesOn, recall, remember, seenUpload, uploadId, type Begun, type Seen } from "./resume";
import { mayPass } from "./upload.svelte";

const file = { name: "a.blend", size: 1000, lastModified: 77 };
const begun: Begun = { id: "u1", name: "a.blend", size_bytes: 1000, last_modified_ms: 77 };
const seen = (length_bytes = 1000): Seen => ({ offset_bytes: 400, length_bytes });

afterEach(() => {
  vi.unstubAllGlobals();
  localStorage.clear();
});

describe("the rest of a file goes behind what the node has", () => {
  it("when it was begun with the very file", () => expect(goesOn(file, seen(), begun)).toBe(true));

  it("never when it is not certain that the file is the same", () => {
    expect(goesOn(file, seen(999), begun)).toBe(false);
    expect(goesOn({ ...file, name: "b.blend" }, seen(), begun)).toBe(false);
    expect(goesOn({ ...file, size: 999 }, seen(999), begun)).toBe(false);
    expect(goesOn({ ...file, lastModified: 78 }, seen(), begun)).toBe(false);
  });
});

describe("what a node says of an upload", () => {
  it("is in the headers", async () => {
    vi.stubGlobal("fetch", async () => new Response(null, { headers: { "upload-offset": "5", "upload-length": "9" } }));
    expect(await seenUpload("j", "u")).toEqual({ offset_bytes: 5, length_bytes: 9 });
  });

  it("is nothing where the node does not know it", async () => {
    vi.stubGlobal("fetch", async () => new Response(null, { status: 404, headers: { "upload-offset": "5", "upload-length": "9" } }));
    expect(await seenUpload("j", "u")).toBeNull();
    vi.stubGlobal("fetch", async () => new Response(null));
    expect(await seenUpload("j", "u")).toBeNull();
  });

  it("begins with its name", () => {
    expect(uploadId("http://localhost:8080/api/jobs/j/uploads/u%2F1")).toBe("u/1");
    expect(uploadId("http://localhost:8080/api/jobs/j/upload")).toBeNull();
  });
});

describe("what the browser remembers", () => {
  it("is of one job, until it is over", () => {
    remember("j", begun);
    expect(recall("j")).toEqual(begun);
    expect(recall("k")).toBeNull();
    remember("j", null);
    expect(recall("j")).toBeNull();
  });

  it("is nothing where somebody else wrote there", () => {
    localStorage.setItem("jiggablend.upload.j", "{");
    expect(recall("j")).toBeNull();
    localStorage.setItem("jiggablend.upload.j", '{"id":7}');
    expect(recall("j")).toBeNull();
  });
});

describe("a try that failed", () => {
  it("is made again where the reason passes", () => {
    for (const status of [0, 408, 423, 429, 500, 502, 503]) expect(mayPass(status, "busy"), String(status)).toBe(true);
    expect(mayPass(409, "conflict")).toBe(true);
  });

  it("is over where it does not", () => {
    for (const status of [400, 401, 403, 404, 413, 415, 422, 507]) expect(mayPass(status, "x"), String(status)).toBe(false);
    expect(mayPass(409, "scene-is-there")).toBe(false);
    expect(mayPass(409, "job-is-over")).toBe(false);
  });
});

describe("the rate", () => {
  it("is that of the last ten seconds", () => {
    const meter = new RateMeter();
    for (let second = 0; second <= 20; second += 1) meter.add(second * 1000, second <= 10 ? second * 100 : 1000 + (second - 10) * 500);
    expect(meter.rate()).toBe(500);
  });

  it("is not known at first, nor right after a pause", () => {
    const meter = new RateMeter();
    meter.add(0, 0);
    meter.add(500, 100);
    expect(meter.rate()).toBeNull();
    meter.add(1_500, 300);
    expect(meter.rate()).toBe(200);
    meter.reset();
    meter.add(60_000, 300);
    expect(meter.rate()).toBeNull();
  });

  it("tells how long the rest takes", () => {
    expect(leftMs(1000, 500)).toBe(2000);
    expect(leftMs(1000, null)).toBeNull();
    expect(leftMs(1000, 0)).toBeNull();
  });
});
