// The uploads of this page: they go on while one looks at something else.

import type { Begun } from "./resume";
import { Upload } from "./upload.svelte";

class Uploads {
  #of = $state.raw<ReadonlyMap<string, Upload>>(new Map());

  of(job: string): Upload | undefined {
    return this.#of.get(job);
  }

  /** Sends a scene to its job; `known` is an upload of it that was begun elsewhere. */
  begin(job: string, file: File, known: Begun | null = null): Upload {
    const upload = new Upload(job, file);
    this.#of = new Map([...this.#of, [job, upload]]);
    void upload.start(known);
    return upload;
  }

  /** Gives a job's upload up. */
  async discard(job: string): Promise<void> {
    const upload = this.#of.get(job);
    this.forget(job);
    await upload?.discard();
  }

  /** Takes one that is over off the list. */
  forget(job: string): void {
    this.#of = new Map([...this.#of].filter(([id]) => id !== job));
  }

  /** Whether leaving the page now would interrupt something. */
  get busy(): boolean {
    return [...this.#of.values()].some((upload) => upload.active);
  }

  pauseAll(): void {
    for (const upload of this.#of.values()) upload.pause();
    this.#of = new Map();
  }
}

export const uploads = new Uploads();
