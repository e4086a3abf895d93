// Reading a task's log, and following it while the attempt runs.

import { ApiProblem, logUrl, problemOf, words, type LogAsked } from "./api";
import { appendLog, EMPTY_LOG, type LogText } from "./logtext";

/** Lines are shown in batches, at most so often. */
const BATCH_MS = 100;
/** How often an attempt that has printed nothing yet is asked again. */
const QUIET_MS = 1_000;

export class LogReader {
  text = $state.raw<LogText>(EMPTY_LOG);
  state = $state<"reading" | "following" | "ended" | "none" | "failed">("reading");
  wrong = $state("");
  #stop = new AbortController();

  constructor(
    private readonly job: string,
    private readonly task: number,
    /** Whether the attempt still runs, so that a log may begin yet. */
    private readonly runs: () => boolean = () => false,
  ) {}

  /** Reads until the log's end; where it is followed, until the attempt is over. */
  async read(asked: LogAsked): Promise<void> {
    this.#stop.abort();
    const stop = (this.#stop = new AbortController());
    this.text = EMPTY_LOG;
    this.wrong = "";
    this.state = "reading";
    try {
      const answer = await this.#begun(asked, stop.signal);
      if (asked.follow && !stop.signal.aborted) this.state = "following";
      if (answer.body) await this.#take(answer.body, stop.signal);
      if (!stop.signal.aborted) this.state = "ended";
    } catch (error) {
      if (stop.signal.aborted) return;
      this.state = isUnwritten(error) ? "none" : "failed";
      this.wrong = error instanceof TypeError ? "the log broke off: this node does not answer" : words(error);
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  /** The log, as soon as there is one: an attempt that has printed nothing yet has none. */
  async #begun(asked: LogAsked, signal: AbortSignal): Promise<Response> {
    for (;;) {
      const may_begin = asked.follow === true && this.runs();
      const answer = await fetch(logUrl(this.job, this.task, asked), { cache: "no-store", signal });
      if (answer.ok) return answer;
      const problem = problemOf(answer.status, await answer.text());
      if (!may_begin || !isUnwritten(problem)) throw problem;
      this.state = "following";
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
      signal.throwIfAborted();
    }
  }

  async #take(body: ReadableStream<Uint8Array<ArrayBuffer>>, signal: AbortSignal): Promise<void> {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let pending = "";
    let timer: ReturnType<typeof setTimeout> | null = null;
    const show = (): void => {
      timer = null;
      if (signal.aborted || pending === "") return;
      this.text = appendLog(this.text, pending);
      pending = "";
    };
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        pending += value;
        timer ??= setTimeout(show, BATCH_MS);
      }
    } finally {
      if (timer !== null) clearTimeout(timer);
      show();
    }
  }
}

function isUnwritten(error: unknown): boolean {
  return error instanceof ApiProblem && error.problem === "no-log";
}
