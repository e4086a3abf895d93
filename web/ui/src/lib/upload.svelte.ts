// One scene file on its way to the node.

import { uploadScene } from "./api";

export class Upload {
  state = $state<"idle" | "sending" | "copying">("idle");
  fraction = $state(0);
  #stop: AbortController | null = null;

  /** Sends the file to a job that waits for it. Throws what the API refused. */
  async send(job: string, file: File): Promise<void> {
    this.#stop = new AbortController();
    this.state = "sending";
    this.fraction = 0;
    try {
      await uploadScene(job, file, (fraction) => this.#progressed(fraction), this.#stop.signal);
    } finally {
      this.state = "idle";
      this.#stop = null;
    }
  }

  stop(): void {
    this.#stop?.abort();
  }

  #progressed(fraction: number): void {
    this.fraction = fraction;
    if (fraction >= 1) this.state = "copying";
  }
}
