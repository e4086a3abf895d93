// One scene file on its way to the node, by tus 1.0: after a cut it goes on where it stopped.

import { DetailedError, Upload as Tus } from "tus-js-client";
import { ApiProblem, problemOf, words } from "./api";
import { path, send } from "./http";
import { leftMs, RateMeter } from "./rate";
import {
  dropUpload, goesOn, recall, remember, seenUpload, TUS_VERSION, uploadId, uploadPath, type Begun,
} from "./resume";

export type UploadState =
  | "starting"
  | "sending"
  /** The node does not answer; it is tried again by itself. */
  | "cut"
  | "paused"
  /** All bytes are there: the node checks the scene and copies it to its peers. */
  | "finishing"
  | "done"
  | "refused";

/** A piece of the file in one request: below what reverse proxies let through (100 MB at the known ones). */
const PIECE_BYTES = 64 * 2 ** 20;
/** How long it is tried again by itself: quickly at first, then for about an hour. */
const RETRY_MS: number[] = [300, 1_000, 2_000, ...Array<number>(720).fill(5_000)];
/** Refusals of the moment; others stay refusals however often one asks. */
const PASSING = [408, 423, 425, 429];

/** Whether a try that failed so may go well a moment later. */
export function mayPass(status: number, problem: string): boolean {
  if (status === 0 || PASSING.includes(status)) return true;
  // Two requests met: how far the upload is has to be asked anew. The other conflicts are the job's.
  if (status === 409) return problem !== "scene-is-there" && problem !== "job-is-over";
  return status >= 500 && status !== 507;
}

export class Upload {
  state = $state<UploadState>("starting");
  sent_bytes = $state(0);
  rate = $state<number | null>(null);
  wrong = $state("");
  /** The node's name for it, as soon as it has one. */
  id = $state<string | null>(null);
  #tus: Tus | null = null;
  #meter = new RateMeter();
  #over = false;
  #last_method = "";

  constructor(
    readonly job: string,
    readonly file: File,
  ) {}

  get fraction(): number {
    return this.file.size === 0 ? 0 : this.sent_bytes / this.file.size;
  }

  get left_ms(): number | null {
    return leftMs(this.file.size - this.sent_bytes, this.rate);
  }

  /** What another page needs to go on with it. */
  get begun(): Begun | null {
    const { name, size, lastModified } = this.file;
    return this.id === null ? null : { id: this.id, name, size_bytes: size, last_modified_ms: lastModified };
  }

  get active(): boolean {
    return this.state !== "done" && this.state !== "refused";
  }

  /** Starts, or goes on with the upload `known`, if this is the file that it was begun with. */
  async start(known: Begun | null): Promise<void> {
    const begun = known ?? recall(this.job);
    let upload_url: string | undefined;
    if (begun !== null) {
      const seen = await seenUpload(this.job, begun.id).catch(() => null);
      if (seen && goesOn(this.file, seen, begun)) {
        upload_url = new URL(uploadPath(this.job, begun.id), location.href).href;
        this.sent_bytes = seen.offset_bytes;
        this.id = begun.id;
      } else if (seen) {
        await dropUpload(this.job, begun.id).catch(() => undefined);
      }
    }
    this.#tus = this.#make(upload_url);
    if (!this.#over && this.state === "starting") this.#tus.start();
  }

  /** Stops sending; what the node has stays there. */
  pause(): void {
    if (this.state === "finishing" || !this.active) return;
    this.state = "paused";
    this.#stopMeter();
    void this.#tus?.abort();
  }

  resume(): void {
    if (this.state !== "paused") return;
    this.state = "starting";
    this.wrong = "";
    this.#tus?.start();
  }

  /** Gives it up, here and at the node. */
  async discard(): Promise<void> {
    this.#over = true;
    await this.#tus?.abort();
    remember(this.job, null);
    if (this.id !== null) await dropUpload(this.job, this.id).catch(() => undefined);
  }

  #make(upload_url: string | undefined): Tus {
    return new Tus(this.file, {
      endpoint: new URL(path`/api/jobs/${this.job}/upload`, location.href).href,
      ...(upload_url === undefined ? {} : { uploadUrl: upload_url }),
      metadata: { filename: this.file.name },
      chunkSize: PIECE_BYTES,
      retryDelays: RETRY_MS,
      // Which upload a file goes on with is ours to know; see resume.ts.
      storeFingerprintForResuming: false,
      onUploadUrlAvailable: () => this.#named(),
      onProgress: (sent) => this.#progressed(sent),
      onShouldRetry: (error) => this.#mayRetry(error),
      onAfterResponse: (request) => void (this.#last_method = request.getMethod()),
      onSuccess: () => void this.#arrived(),
      onError: (error) => this.#failed(error),
    });
  }

  #named(): void {
    this.id = uploadId(this.#tus?.url ?? "");
    remember(this.job, this.begun);
  }

  /**
   * All bytes are there. Where the answer to the last of them was lost, or said that the scene could
   * not be kept just then, the tus client only saw how far the upload is: an empty piece at its end
   * asks the node to give the scene to its job, and to say what came of it.
   */
  async #arrived(): Promise<void> {
    if (this.#last_method !== "HEAD") {
      this.#finished("done", "");
      return;
    }
    this.state = "finishing";
    for (const delay_ms of RETRY_MS) {
      const refused = await this.#finish();
      if (this.#over) return;
      if (refused === null) {
        this.#finished("done", "");
        return;
      }
      if (!mayPass(refused.status, refused.problem)) {
        this.#finished("refused", refused.message);
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, delay_ms));
    }
    this.#failed(new Error("the node could not keep the scene; try again later"));
  }

  /** Null when the job has its scene; else why not, with status 0 where no answer came. */
  async #finish(): Promise<ApiProblem | null> {
    if (this.id === null) return new ApiProblem(0, "", "the upload has no name yet");
    const headers = {
      "tus-resumable": TUS_VERSION, "upload-offset": String(this.file.size), "content-type": "application/offset+octet-stream",
    };
    try {
      const answer = await send("PATCH", uploadPath(this.job, this.id), undefined, { headers });
      return answer.ok ? null : problemOf(answer.status, await answer.text());
    } catch (error) {
      return new ApiProblem(0, "", words(error));
    }
  }

  #progressed(sent_bytes: number): void {
    if (this.state === "paused" || this.#over) return;
    this.sent_bytes = sent_bytes;
    this.state = sent_bytes >= this.file.size ? "finishing" : "sending";
    this.#meter.add(Date.now(), sent_bytes);
    this.rate = this.#meter.rate();
  }

  #mayRetry(error: unknown): boolean {
    const refused = problemIn(error);
    const again = mayPass(refused?.status ?? 0, refused?.problem ?? "");
    if (again && this.state !== "paused") {
      this.state = "cut";
      this.wrong = refused?.message ?? "";
      this.#stopMeter();
    }
    return again;
  }

  #failed(error: unknown): void {
    const refused = problemIn(error);
    if (refused && !mayPass(refused.status, refused.problem) && refused.status !== 401) {
      this.#finished("refused", refused.message);
      return;
    }
    // It may still go on: after signing in again, or when the node is back.
    this.wrong = refused?.message ?? (error instanceof DetailedError ? "the node does not answer" : words(error));
    this.state = "paused";
    this.#stopMeter();
  }

  #finished(state: "done" | "refused", wrong: string): void {
    this.#over = true;
    this.state = state;
    this.wrong = wrong;
    this.#stopMeter();
    remember(this.job, null);
  }

  #stopMeter(): void {
    this.#meter.reset();
    this.rate = null;
  }
}

/** The API's refusal in an error of the tus client; null where there was no answer. */
function problemIn(error: unknown): ApiProblem | null {
  const answer = error instanceof DetailedError ? error.originalResponse : null;
  return answer ? problemOf(answer.getStatus(), answer.getBody()) : null;
}
