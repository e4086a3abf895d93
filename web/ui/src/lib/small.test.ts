// The small pure parts: grid, list, keys, farm sentence, first look at a file, ids, problems.

import { describe, expect, it } from "vitest";
import { problemOf } from "./api";
import { farmSentence, goOnThrough, quorumWarning } from "./farm";
import { aFarm, aJob, aNode, aTask, NONE } from "./fixtures";
import { gridShape, tilesInSight } from "./grid";
import { Chords } from "./keys";
import { EMPTY, reduce } from "./model";
import { nameFromFile, whyNotABlend } from "./scene";
import { hasPlace, tileWords } from "./tile";
import { uuidV7 } from "./uuid";

describe("the grid", () => {
  const tile = { width_px: 100, height_px: 50, gap_px: 10 };

  it("fits as many columns as there is room for, and one at least", () => {
    expect(gridShape(320, tile, 10)).toEqual({ columns: 3, rows: 4, height_px: 230 });
    expect(gridShape(20, tile, 2).columns).toBe(1);
  });

  it("draws a screenful of 10,000 frames, wherever one is", () => {
    const shape = gridShape(1000, tile, 10_000);
    const middle = tilesInSight(shape, tile, 10_000, 30_000, 900);
    expect(middle.end - middle.first).toBeLessThan(250);
    expect(middle.first).toBeLessThanOrEqual(500 * shape.columns);
    expect(middle.end).toBeGreaterThanOrEqual(515 * shape.columns);
    expect(tilesInSight(shape, tile, 10_000, shape.height_px - 900, 900).end).toBe(10_000);
  });

  it("keeps a few rows for the Tab key when it is out of sight", () => {
    const shape = gridShape(1000, tile, 100);
    expect(tilesInSight(shape, tile, 100, -5000, 900)).toMatchObject({ first: 0, end: 3 * shape.columns });
    expect(tilesInSight(shape, tile, 100, 50_000, 900)).toMatchObject({ first: (shape.rows - 3) * shape.columns, end: 100 });
    expect(tilesInSight(gridShape(1000, tile, 0), tile, 0, 0, 900)).toMatchObject({ first: 0, end: 0 });
  });
});

describe("keys", () => {
  it("join after g, for a moment", () => {
    const chords = new Chords();
    expect(chords.press("j", 0)).toBe("j");
    expect(chords.press("g", 10)).toBeNull();
    expect(chords.press("n", 100)).toBe("g n");
    expect(chords.press("n", 110)).toBe("n");
    expect(chords.press("g", 1_000)).toBeNull();
    expect(chords.press("j", 9_000)).toBe("j");
  });
});

describe("the farm's sentence", () => {
  const model = reduce(EMPTY, [
    {
      kind: "snapshot", farm: aFarm(), nodes: [aNode(1), aNode(2), aNode(3)], cursor: null,
      jobs: [aJob("a", { frame_counts: { ...NONE, leased: 2 } })],
    },
  ]);

  it("says who leads and how much renders", () => {
    expect(farmSentence(model)).toBe("3 nodes, node-1 leads, nothing rendering, 2 queued");
    const heard = reduce(model, [{ kind: "progress", tasks: [{ job: "a", task: 0, epoch: 1, node: 2, fraction: null, text: "" }] }]);
    expect(farmSentence(heard)).toBe("3 nodes, node-1 leads, 1 frame rendering, 1 queued");
    expect(farmSentence({ ...model, leader: null, jobs: new Map() })).toBe("3 nodes, no leader, nothing rendering");
  });

  it("warns before the last loss, not sooner", () => {
    const nodes = (...connected: boolean[]) => connected.map((there, at) => aNode(at + 1, { connected: there }));
    expect(quorumWarning(nodes(true, true, true))).toBeNull();
    expect(quorumWarning(nodes(true, true, false))).toMatch(/one more loss stops the farm/);
    expect(quorumWarning(nodes(true, false, false))).toMatch(/takes no changes until 2 are/);
    expect(quorumWarning(nodes(true))).toBeNull();
  });
});

describe("when this node does not answer", () => {
  const ways = (two: boolean, three: boolean) => goOnThrough([
    aNode(1, { is_this_node: true }), aNode(2, { connected: two }), aNode(3, { connected: three }),
    aNode(4, { web_address: null }),
  ]).map((node) => node.id);

  it("the page goes on through nodes that were connected, never through this one", () => {
    expect(ways(true, false)).toEqual([2]);
    expect(ways(true, true)).toEqual([2, 3]);
  });

  it("the page offers all others if none was connected", () => {
    expect(ways(false, false)).toEqual([2, 3]);
  });
});

describe("a first look at a file", () => {
  const bytes = (text: string) => new TextEncoder().encode(text);

  it("lets through what Blender writes, plain or compressed", () => {
    expect(whyNotABlend("a.blend", bytes("BLENDER-v304"))).toBeNull();
    expect(whyNotABlend("a.blend", new Uint8Array([0x1f, 0x8b, 8]))).toBeNull();
    expect(whyNotABlend("a.blend", new Uint8Array([0x28, 0xb5, 0x2f, 0xfd]))).toBeNull();
  });

  it("says what else it is", () => {
    expect(whyNotABlend("cat.png", bytes("\x89PNG"))).toMatch(/cat.png is not a .blend/);
    expect(whyNotABlend("a.blend", new Uint8Array())).toMatch(/is empty/);
  });

  it("names the job after the file", () => {
    expect(nameFromFile("My scene.v2.blend")).toBe("My scene.v2");
    expect(nameFromFile("backup.blend1")).toBe("backup");
    expect(nameFromFile(".blend")).toBe("untitled");
  });
});

describe("a new job's id", () => {
  it("is a UUIDv7 of its time", () => {
    expect(uuidV7(0x0193_5b2c_1a2b)).toMatch(/^01935b2c-1a2b-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });
});

describe("a problem", () => {
  it("keeps the API's own words", () => {
    const body = JSON.stringify({ type: "urn:jiggablend:problem:not-a-blend", title: "x", status: 422, detail: "that is a cat" });
    expect(problemOf(422, body)).toMatchObject({ problem: "not-a-blend", message: "that is a cat", status: 422 });
  });

  it("has words of its own for a page that is no problem document", () => {
    expect(problemOf(502, "<html>").message).toBe("the node answered with status 502");
  });
});

describe("a tile's words", () => {
  it("say all that the tile shows", () => {
    const running = aTask(4, { state: "leased", node: 2 });
    expect(tileWords(running, "rendering", 0.4, "node-2")).toBe("Frame 5, rendering, 40 %, on node-2");
    expect(tileWords(running, "queued", null, "node-2")).toBe("Frame 5, queued on node-2");
    expect(tileWords(aTask(0, { state: "done", render_ms: 4200 }), "done", null, "node-1")).toBe("Frame 1, done, on node-1, in 4.2 s");
    expect(tileWords(aTask(0), "waiting", null, null)).toBe("Frame 1, waiting");
  });

  it("name no node for a frame that none has", () => {
    expect(hasPlace(aTask(0, { state: "leased", node: 2 }))).toBe(true);
    expect(hasPlace(aTask(0, { state: "pending", node: 2 }))).toBe(false);
  });
});
