// The pages of the job list as they are asked for: filtered and sorted by the node.

import { words, type JobQuery } from "./api";
import { DEFAULT_SORT, type Wanted } from "./joblist";
import type { Listed } from "./model";

/** What is asked of the node for a wanted list; null where the newest jobs, which are read anyway, are it. */
export function askFor(wanted: Wanted): JobQuery | null {
  const { filter, state, owner, sort } = wanted;
  if (filter.trim() === "" && state === "" && owner === "" && sort === DEFAULT_SORT) return null;
  return { q: filter.trim(), state, owner, sort };
}

export class JobPages {
  listed = $state.raw<Listed>({ end: null, cursor: null });
  reading = $state(false);
  wrong = $state("");
  #asked: JobQuery = {};
  #newest = 0;

  constructor(private readonly read: (asked: JobQuery) => Promise<Listed>) {}

  /** Starts a list; `newest` is how far the newest jobs were read. */
  async begin(asked: JobQuery | null, newest: Listed): Promise<void> {
    this.#newest += 1;
    this.#asked = asked ?? {};
    // Until the first page is here, what is known already is shown without an end.
    this.listed = asked === null ? newest : { end: null, cursor: null };
    this.wrong = "";
    this.reading = false;
    if (asked !== null) await this.#page(undefined);
  }

  async more(): Promise<void> {
    if (this.listed.cursor !== null && !this.reading) await this.#page(this.listed.cursor);
  }

  async #page(cursor: string | undefined): Promise<void> {
    const mine = this.#newest;
    this.reading = true;
    try {
      const listed = await this.read({ ...this.#asked, cursor });
      if (mine === this.#newest) this.listed = listed;
    } catch (error) {
      if (mine === this.#newest) this.wrong = words(error);
    } finally {
      if (mine === this.#newest) this.reading = false;
    }
  }
}
