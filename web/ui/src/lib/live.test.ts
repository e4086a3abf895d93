import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ApiProblem, NoAnswer } from "./api";
import { aFarm, aJob, aNode, aTask, aWholeJob } from "./fixtures";
import { Live, retryDelayMs, type Link, type LiveApi } from "./live";
import { EMPTY, reduce, type Message } from "./model";

/** A node: it answers reads, and its stream says what a test tells it to. */
class FakeNode {
  asked: string[] = [];
  reads: string[] = [];
  messages: Message[] = [];
  links: Link[] = [];
  applied_index = 50;
  /** What the next requests for the stream meet; then the streams stay open. */
  refuse: (() => Response)[] = [];
  #stream: ReadableStreamDefaultController<Uint8Array> | null = null;

  api: LiveApi = {
    farm: async () => this.#read("farm", aFarm({ applied_index: this.applied_index })),
    nodes: async () => this.#read("nodes", { nodes: [aNode(1)] }),
    jobs: async () => this.#read("jobs", { jobs: [aJob("a")] }),
    job: async (id) => this.#read(`job ${id}`, aWholeJob(id, [aTask(0)])),
  };

  request = async (url: RequestInfo | URL, options?: RequestInit): Promise<Response> => {
    this.asked.push(String(url));
    const refused = this.refuse.shift();
    if (refused) return refused();
    const body = new ReadableStream<Uint8Array>({ start: (controller) => void (this.#stream = controller) });
    options?.signal?.addEventListener("abort", () => {
      try {
        this.#stream?.error(new DOMException("aborted", "AbortError"));
      } catch {
        // It was closed before.
      }
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  };

  live = new Live(
    { take: (messages) => this.messages.push(...messages), link: (link) => this.links.push(link) },
    this.api,
    this.request,
  );

  say(text: string): void {
    this.#stream?.enqueue(new TextEncoder().encode(text));
  }

  close(): void {
    this.#stream?.close();
  }

  #read<T>(what: string, value: T): T {
    this.reads.push(what);
    return value;
  }
}

const LEADER = 'event: leader\ndata: {"leader":1,"term":2}\n\n';
const change = (index: number): string =>
  `event: change\nid: ${index}\ndata: ${JSON.stringify({ index, changes: [{ job: aJob("b") }] })}\n\n`;

let node: FakeNode;
beforeEach(() => {
  vi.useFakeTimers();
  node = new FakeNode();
});
afterEach(() => {
  node.live.stop();
  vi.useRealTimers();
});

const streamed = (count: number) => vi.waitFor(() => expect(node.asked).toHaveLength(count), { timeout: 10_000 });

describe("the line to the node", () => {
  it("reads the index first and streams from there, so that nothing falls between", async () => {
    void node.live.run();
    await streamed(1);
    expect(node.reads[0]).toBe("farm");
    expect(node.asked[0]).toBe("/api/events?after=50");
  });

  it("goes on after the last change when the stream ends", async () => {
    void node.live.run();
    await streamed(1);
    node.say(LEADER + change(57));
    await vi.waitFor(() => expect(node.messages.some((message) => message.kind === "changes")).toBe(true));
    node.close();
    await streamed(2);
    expect(node.asked[1]).toBe("/api/events?after=57");
    expect(node.reads.filter((what) => what === "farm")).toHaveLength(1);
  });

  it("reads everything anew after a reset, open jobs too", async () => {
    void node.live.run();
    await node.live.openJob("a");
    await streamed(1);
    node.applied_index = 90;
    node.say(`${LEADER}event: reset\ndata: {"index":90}\n\n`);
    await streamed(2);
    expect(node.asked[1]).toBe("/api/events?after=90");
    expect(node.reads.filter((what) => what === "job a")).toHaveLength(2);
  });

  it("goes on past changes and events that only later versions know", async () => {
    void node.live.run();
    await streamed(1);
    node.say(`${LEADER}event: weather\ndata: not even JSON\n\n`);
    node.say('event: change\nid: 58\ndata: {"index":58,"changes":[{"delivery":{"id":1}},{}]}\n\n');
    node.say('event: change\nid: 59\ndata: {"index":59}\n\n');
    node.say(change(60));
    await vi.waitFor(() => expect(node.messages.filter((message) => message.kind === "changes")).toHaveLength(3));
    const model = reduce(EMPTY, node.messages);
    expect([...model.jobs.keys()]).toContain("b");
    node.close();
    await streamed(2);
    expect(node.asked[1]).toBe("/api/events?after=60");
  });

  it("says that it is cut when a second try fails, and live when the node is back", async () => {
    const gone = (): Response => {
      throw new TypeError("failed to fetch");
    };
    node.refuse = [gone, gone, gone];
    void node.live.run();
    await streamed(4);
    expect(node.links).toEqual([
      { state: "connecting" }, { state: "cut", attempt: 1 }, { state: "cut", attempt: 2 },
    ]);
    node.say(LEADER);
    await vi.waitFor(() => expect(node.links.at(-1)).toEqual({ state: "live" }));
  });

  it("hangs up on a stream that has fallen silent, and asks again", async () => {
    void node.live.run();
    await streamed(1);
    node.say(LEADER);
    await vi.waitFor(() => expect(node.links.at(-1)).toEqual({ state: "live" }));
    await vi.advanceTimersByTimeAsync(60_000);
    expect(node.asked.length).toBeGreaterThan(1);
  });

  it("counts a comment as a sign of life", async () => {
    void node.live.run();
    await streamed(1);
    node.say(LEADER);
    for (let minute = 0; minute < 4; minute += 1) {
      await vi.advanceTimersByTimeAsync(30_000);
      node.say(":\n\n");
      await vi.advanceTimersByTimeAsync(0);
    }
    expect(node.asked).toHaveLength(1);
  });

  it("stops when the session is over", async () => {
    node.refuse = [() => new Response("", { status: 401 })];
    await node.live.run();
    expect(node.links.at(-1)).toEqual({ state: "signed_out" });
    expect(node.asked).toHaveLength(1);
  });

  it("says why an open job cannot be read", async () => {
    node.api.job = async () => {
      throw new ApiProblem(404, "no-such-job", "there is no job x");
    };
    await node.live.readJob("x");
    expect(node.messages.at(-1)).toEqual({ kind: "job_unreadable", id: "x", why: "there is no job x", gone: true });
  });

  it("reads an open job again when the node did not answer", async () => {
    void node.live.run();
    await streamed(1);
    const read = node.api.job;
    node.api.job = async () => {
      throw new NoAnswer();
    };
    await node.live.openJob("a");
    node.api.job = read;
    node.say(LEADER);
    await streamed(2);
    expect(node.messages.some((message) => message.kind === "job_read")).toBe(true);
  });
});

describe("the delay before the next try", () => {
  it("doubles, is bounded, and spreads", () => {
    expect(retryDelayMs(0, 0)).toBe(250);
    expect(retryDelayMs(2, 0)).toBe(1000);
    expect(retryDelayMs(40, 0)).toBe(5000);
    expect(retryDelayMs(40, 1)).toBe(4000);
  });
});
