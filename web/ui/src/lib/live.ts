// The page's one line to its node: a first read, then the stream of changes from that read's
// index on, again and again for as long as the page is open.

import { api as realApi, ApiProblem, type JobQuery } from "./api";
import { listedBy, type Listed, type Message } from "./model";
import { EventParser, type ServerEvent } from "./sse";
import type { Change, TaskProgress } from "./types";

export type Link =
  | { state: "connecting" }
  | { state: "live" }
  /** The node does not answer; `attempt` counts the tries since it last did. */
  | { state: "cut"; attempt: number }
  | { state: "signed_out" };

export interface Sink {
  take(messages: Message[]): void;
  link(link: Link): void;
}

/** The part of the API that the line needs. */
export type LiveApi = Pick<typeof realApi, "farm" | "nodes" | "jobs" | "job">;

/** A stream that is silent for so long is dead: nodes send a comment every 15 s at least. */
const SILENCE_MS = 45_000;
const FIRST_DELAY_MS = 250;
const LONGEST_DELAY_MS = 5_000;

/** How long to wait before try number `attempt` (from 0): doubling, bounded, up to a fifth off. */
export function retryDelayMs(attempt: number, random: number): number {
  const delay = Math.min(FIRST_DELAY_MS * 2 ** Math.min(attempt, 20), LONGEST_DELAY_MS);
  return Math.round(delay * (1 - 0.2 * random));
}

export class Live {
  #stop = new AbortController();
  /** The index that the page has everything of; null: read everything anew. */
  #after: number | null = null;
  #anew = false;
  #attempt = 0;
  #open = new Set<string>();

  constructor(
    private readonly sink: Sink,
    private readonly api: LiveApi = realApi,
    private readonly request: typeof fetch = (...asked) => fetch(...asked),
  ) {}

  /** Runs until `stop`, or until the session is over. */
  async run(): Promise<void> {
    const signal = this.#stop.signal;
    this.sink.link({ state: "connecting" });
    while (!signal.aborted) {
      try {
        await this.#readAll();
        await this.#follow();
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof ApiProblem && error.status === 401) {
          this.sink.link({ state: "signed_out" });
          return;
        }
      }
      if (signal.aborted) return;
      // One try that fails is a node that restarts its stream; two are news.
      if (this.#attempt > 0) this.sink.link({ state: "cut", attempt: this.#attempt });
      await pause(retryDelayMs(this.#attempt, Math.random()), signal);
      this.#attempt += 1;
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  /** Keeps a job's tasks up to date from now on. */
  async openJob(id: string): Promise<void> {
    this.#open.add(id);
    // Before the first read is done there is nothing to add to; that read takes open jobs along.
    if (this.#after !== null) await this.readJob(id);
  }

  closeJob(id: string): void {
    this.#open.delete(id);
    this.sink.take([{ kind: "job_left", id }]);
  }

  async readJob(id: string): Promise<void> {
    this.sink.take([{ kind: "job_asked", id }]);
    try {
      const job = await this.api.job(id, this.#stop.signal);
      this.sink.take([{ kind: "job_read", job }]);
    } catch (error) {
      // A node that is gone is the stream's news; after its return the job is read again.
      if (error instanceof ApiProblem && error.status !== 401) {
        this.sink.take([{ kind: "job_unreadable", id, why: error.message, gone: error.status === 404 }]);
      } else {
        this.#anew = true;
      }
    }
  }

  /** Reads what no event tells of the farm: its name. */
  async readFarm(): Promise<void> {
    this.sink.take([{ kind: "farm", farm: await this.api.farm(this.#stop.signal) }]);
  }

  async readNodes(): Promise<void> {
    const { nodes } = await this.api.nodes(this.#stop.signal);
    this.sink.take([{ kind: "nodes", nodes }]);
  }

  /** Reads a page of the jobs that are asked for; they are kept up to date from then on. */
  async readJobs(asked: JobQuery): Promise<Listed> {
    const page = await this.api.jobs(asked, this.#stop.signal);
    this.sink.take([{ kind: "jobs_read", jobs: page.jobs }]);
    return listedBy(page.jobs, page.next_cursor ?? null);
  }

  async #readAll(): Promise<void> {
    if (this.#after !== null && !this.#anew) return;
    this.#anew = false;
    const signal = this.#stop.signal;
    // The index first: what changes after it comes with the stream, even if the lists have it too.
    const farm = await this.api.farm(signal);
    const [{ nodes }, page] = await Promise.all([this.api.nodes(signal), this.api.jobs({}, signal)]);
    this.sink.take([
      { kind: "snapshot", farm, nodes, jobs: page.jobs, cursor: page.next_cursor ?? null },
    ]);
    this.#after = farm.applied_index;
    await Promise.all([...this.#open].map((id) => this.readJob(id)));
  }

  async #follow(): Promise<void> {
    if (this.#after === null) return;
    const silence = new AbortController();
    const signal = AbortSignal.any([this.#stop.signal, silence.signal]);
    let timer = setTimeout(() => silence.abort(), SILENCE_MS);
    try {
      const answer = await this.request(`/api/events?after=${this.#after}`, {
        headers: { accept: "text/event-stream", "last-event-id": String(this.#after) },
        cache: "no-store",
        signal,
      });
      if (!answer.ok) throw new ApiProblem(answer.status, "", "the stream was refused");
      if (!answer.body) return;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new EventParser();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_MS);
        const messages: Message[] = [];
        for (const event of parser.push(value)) {
          if (event.event === "reset") {
            this.#anew = true;
          } else {
            messages.push(...this.#messagesOf(event));
          }
        }
        if (messages.length > 0) {
          this.#attempt = 0;
          this.sink.link({ state: "live" });
          this.sink.take(messages);
        }
        // After a reset, and when an open job could not be read.
        if (this.#anew) return;
      }
    } finally {
      clearTimeout(timer);
      // Ends the request on every way out, so that no second stream stays behind.
      silence.abort();
    }
  }

  #messagesOf(event: ServerEvent): Message[] {
    switch (event.event) {
      case "change": {
        const data = JSON.parse(event.data) as { index: number; changes: Change[] };
        this.#after = Math.max(this.#after ?? 0, event.id === null ? data.index : Number(event.id));
        return [{ kind: "changes", changes: data.changes ?? [] }];
      }
      case "progress":
        return [{ kind: "progress", ...(JSON.parse(event.data) as { tasks: TaskProgress[] }) }];
      case "leader":
        return [{ kind: "leader", ...(JSON.parse(event.data) as { leader: number | null; term: number }) }];
      default:
        // Events of later versions: not ours to judge.
        return [];
    }
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done);
  });
}
