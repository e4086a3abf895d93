import { afterEach, describe, expect, it, vi } from "vitest";
import { LogReader } from "./log.svelte";
import { appendLog, EMPTY_LOG, findLines, MAX_LINES, shownLines } from "./logtext";

afterEach(() => vi.unstubAllGlobals());

describe("a log", () => {
  it("is put together from pieces, wherever they were cut", () => {
    const log = ["Fra:1 Sam", "ple 1\nFra:1 Sample 2\nSav", "ed"].reduce(appendLog, EMPTY_LOG);
    expect(log.lines).toEqual(["Fra:1 Sample 1", "Fra:1 Sample 2"]);
    expect(shownLines(log)).toEqual(["Fra:1 Sample 1", "Fra:1 Sample 2", "Saved"]);
  });

  it("shows of a line that was written over what a terminal does", () => {
    expect(appendLog(EMPTY_LOG, "10 %\r20 %\r30 %\nend\r\n").lines).toEqual(["30 %", "end"]);
  });

  it("keeps the newest lines, and counts those it let go", () => {
    const text = Array.from({ length: MAX_LINES + 7 }, (_, at) => `line ${at}\n`).join("");
    const log = appendLog(EMPTY_LOG, text);
    expect([log.lines.length, log.dropped, log.lines[0]]).toEqual([MAX_LINES, 7, "line 7"]);
  });

  it("is searched without regard to case", () => {
    expect(findLines(["Error: memory", "fine", "an ERROR"], " error")).toEqual([0, 2]);
    expect(findLines(["a"], " ")).toEqual([]);
  });
});

describe("following a log", () => {
  function stream(): { say(text: string): void; end(): void } {
    let writer: ReadableStreamDefaultController<Uint8Array>;
    const body = new ReadableStream<Uint8Array>({ start: (controller) => void (writer = controller) });
    vi.stubGlobal("fetch", async (url: string) => {
      expect(url).toBe("/api/jobs/j/tasks/3/log?attempt=2&tail=200&follow=1");
      return new Response(body);
    });
    return { say: (text) => writer.enqueue(new TextEncoder().encode(text)), end: () => writer.close() };
  }

  it("shows lines as they come, and says when it is over", async () => {
    const { say, end } = stream();
    const reader = new LogReader("j", 3);
    const read = reader.read({ attempt: 2, tail: 200, follow: true });
    say("one\ntw");
    await vi.waitFor(() => expect(shownLines(reader.text)).toEqual(["one", "tw"]));
    expect(reader.state).toBe("following");
    say("o\n");
    end();
    await read;
    expect(shownLines(reader.text)).toEqual(["one", "two"]);
    expect(reader.state).toBe("ended");
  });

  it("waits for the first line of an attempt that runs, and of no other", async () => {
    vi.useFakeTimers();
    const none = (): Response => Response.json({ type: "urn:jiggablend:problem:no-log", detail: "nothing was printed yet" }, { status: 404 });
    const answers = [none(), none(), new Response("first\n"), none(), none()];
    vi.stubGlobal("fetch", async () => answers.shift());
    let running = true;
    const reader = new LogReader("j", 3, () => running);
    const read = reader.read({ attempt: 2, tail: null, follow: true });
    await vi.advanceTimersByTimeAsync(500);
    expect([reader.state, answers.length]).toEqual(["following", 4]);
    await vi.advanceTimersByTimeAsync(2_000);
    await read;
    expect([reader.state, shownLines(reader.text)]).toEqual(["ended", ["first"]]);
    const again = reader.read({ attempt: 3, tail: null, follow: true });
    running = false;
    await vi.advanceTimersByTimeAsync(2_000);
    await again;
    expect([reader.state, reader.wrong, answers.length]).toEqual(["none", "nothing was printed yet", 0]);
    vi.useRealTimers();
  });

  it("says why a log cannot be read", async () => {
    vi.stubGlobal("fetch", async () => Response.json({ type: "urn:jiggablend:problem:not-found", detail: "there is no log of that attempt" }, { status: 404 }));
    const reader = new LogReader("j", 3);
    await reader.read({ attempt: 9, tail: null });
    expect([reader.state, reader.wrong]).toEqual(["failed", "there is no log of that attempt"]);
  });
});
