// Something that is read from the API, and something that is done there: what both show meanwhile.

import { words } from "./http";

/** A value that is read, and read again after a change. The old value stays until the new one is here. */
export class Resource<T> {
  value = $state.raw<T | null>(null);
  wrong = $state("");
  loading = $state(false);
  #newest = 0;

  constructor(private readonly read: () => Promise<T>) {}

  async load(): Promise<void> {
    const mine = ++this.#newest;
    this.loading = true;
    try {
      const value = await this.read();
      // An answer that was overtaken by a later question says nothing.
      if (mine !== this.#newest) return;
      this.value = value;
      this.wrong = "";
    } catch (error) {
      if (mine === this.#newest) this.wrong = words(error);
    } finally {
      if (mine === this.#newest) this.loading = false;
    }
  }
}

/** One thing at a time that a person asked for. */
export class Action {
  busy = $state(false);
  wrong = $state("");

  /** Whether it went well; if not, `wrong` says why. */
  async run(work: () => Promise<unknown>): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    this.wrong = "";
    try {
      await work();
      return true;
    } catch (error) {
      this.wrong = words(error);
      return false;
    } finally {
      this.busy = false;
    }
  }
}
