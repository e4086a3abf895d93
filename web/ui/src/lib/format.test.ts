import { describe, expect, it } from "vitest";
import { aJob, NONE } from "./fixtures";
import { ago, bytes, countsInWords, duration, jobStateWords, plural, safeWebAddress, total } from "./format";

describe("durations", () => {
  it.each([
    [0, "0 ms"], [820, "820 ms"], [4_200, "4.2 s"], [9_960, "10 s"], [59_400, "59 s"], [59_600, "1 min"],
    [185_000, "3 min 5 s"], [3_600_000, "1 h"], [7_440_000, "2 h 4 min"], [86_399_000, "1 d"], [90_000_000, "1 d 1 h"],
  ])("%d ms", (ms, text) => expect(duration(ms)).toBe(text));
});

describe("words", () => {
  it("says how long ago, and never a future", () => {
    expect(ago(10_000, 5_000)).toBe("just now");
    expect(ago(0, 5 * 60_000)).toBe("5 min ago");
    expect(ago(0, 3 * 3_600_000)).toBe("3 h ago");
    expect(ago(0, 50 * 3_600_000)).toBe("1970-01-01");
  });

  it("counts bytes", () => {
    expect(bytes(900)).toBe("900 B");
    expect(bytes(12_800)).toBe("12.5 KiB");
    expect(bytes(3.2 * 1024 ** 3)).toBe("3.2 GiB");
  });

  it("leaves out what is nought", () => {
    const counts = { ...NONE, done: 18, leased: 3, pending: 2, waiting: 1 };
    expect(total(counts)).toBe(24);
    expect(countsInWords(counts, 2)).toBe("18 of 24 frames done, 2 rendering, 1 queued, 3 waiting");
    expect(plural(1, "frame")).toBe("1 frame");
  });

  it("says what an active job is doing", () => {
    const words = (frame_counts: Partial<typeof NONE>, rendering = 0) =>
      jobStateWords(aJob("a", { frame_counts: { ...NONE, ...frame_counts } }), rendering);
    expect(words({})).toBe("reading the scene");
    expect(words({ leased: 1, pending: 2 }, 1)).toBe("rendering");
    expect(words({ leased: 1 })).toBe("queued");
    expect(words({ pending: 2 })).toBe("waiting");
    expect(words({ done: 3 })).toBe("making the video");
  });
});

describe("a node's web address", () => {
  it("becomes a link only when it is one", () => {
    expect(safeWebAddress("http://10.0.0.2:8080/x")).toBe("http://10.0.0.2:8080");
    expect(safeWebAddress("javascript:alert(1)")).toBeNull();
    expect(safeWebAddress("not an address")).toBeNull();
    expect(safeWebAddress(null)).toBeNull();
  });
});
