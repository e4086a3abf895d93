// How quick something goes, from how far it was lately.

interface Sample {
  at_ms: number;
  bytes: number;
}

const WINDOW_MS = 10_000;
/** Samples that are closer together say nothing new. */
const STEP_MS = 250;
/** A rate of less than this much time is chance. */
const LEAST_MS = 1_000;

/** The rate over the last ten seconds. Begins anew after `reset`, so that a pause does not count. */
export class RateMeter {
  #samples: Sample[] = [];

  reset(): void {
    this.#samples = [];
  }

  add(at_ms: number, bytes: number): void {
    const last = this.#samples.at(-1);
    if (last && at_ms - last.at_ms < STEP_MS) return;
    this.#samples.push({ at_ms, bytes });
    this.#samples = this.#samples.filter((sample) => at_ms - sample.at_ms <= WINDOW_MS);
  }

  /** Bytes a second; null while that is not known. */
  rate(): number | null {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || !last || last.at_ms - first.at_ms < LEAST_MS) return null;
    return ((last.bytes - first.bytes) * 1000) / (last.at_ms - first.at_ms);
  }
}

/** How long the rest takes; null while that is not known. */
export function leftMs(left_bytes: number, rate: number | null): number | null {
  return rate === null || rate <= 0 ? null : (left_bytes * 1000) / rate;
}
