// Keys of the page. Real focus moves, no second selection beside it: Enter is the browser's own.

const CHORD_MS = 1_200;

/** Joins `g` and the next key to one name, `g j`; everything else goes through as it is. */
export class Chords {
  #prefix_at_ms: number | null = null;

  press(key: string, now_ms: number): string | null {
    const in_time = this.#prefix_at_ms !== null && now_ms - this.#prefix_at_ms <= CHORD_MS;
    this.#prefix_at_ms = null;
    if (in_time) return `g ${key}`;
    if (key === "g") {
      this.#prefix_at_ms = now_ms;
      return null;
    }
    return key;
  }
}

/** Whether a key belongs to the page, not to what is being typed or to the browser. */
export function isForThePage(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return false;
  const target = event.target;
  if (!(target instanceof Element)) return true;
  if (target.closest("dialog")) return false;
  return target.closest("input, textarea, select, video, [contenteditable]") === null;
}

type Handler = (key: string, event: KeyboardEvent) => boolean;
const handlers: Handler[] = [];

/** Adds a page's keys; the newest is asked first. A handler says whether the key was its own. */
export function onKeys(handler: Handler): () => void {
  handlers.push(handler);
  return () => {
    const at = handlers.indexOf(handler);
    if (at >= 0) handlers.splice(at, 1);
  };
}

export function dispatchKey(key: string, event: KeyboardEvent): void {
  for (const handler of handlers.toReversed()) {
    if (handler(key, event)) {
      event.preventDefault();
      return;
    }
  }
}

/** Moves the focus among a list's rows (`[data-row]`), from the focused one or into the list. */
export function moveFocus(list: ParentNode | undefined, step: 1 | -1): void {
  const rows = [...(list?.querySelectorAll<HTMLElement>("[data-row]") ?? [])];
  const at = rows.findIndex((row) => row.contains(document.activeElement));
  const next = at < 0 ? 0 : Math.min(Math.max(at + step, 0), rows.length - 1);
  rows[next]?.focus();
}

export const KEYS: readonly (readonly [string, string])[] = [
  ["g j", "jobs"],
  ["g n", "nodes"],
  ["g a", "your account"],
  ["g d", "administration, for admins"],
  ["n", "new job"],
  ["/", "filter the list"],
  ["j / k", "next / previous in a list"],
  ["Enter", "open"],
  ["← ↑ ↓ →", "move among frames, or to the next picture"],
  ["Esc", "close, or back to the job list"],
  ["?", "these keys"],
];
