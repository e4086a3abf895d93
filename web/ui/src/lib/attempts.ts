import { duration } from "./format";
import type { Attempt } from "./types";

const STATE_WORDS: Record<Attempt["state"], string> = {
  running: "runs", done: "done", failed: "failed", lost: "was lost", cancelled: "was cancelled",
};

/** `on cellar, failed after 4.2 s`, `on attic, runs for 12 s`. */
export function attemptWords(attempt: Attempt, node: string, now_ms: number): string {
  const state = STATE_WORDS[attempt.state] ?? attempt.state;
  const took = duration(Math.max(0, (attempt.ended_at_ms ?? now_ms) - attempt.started_at_ms));
  return `on ${node}, ${state} ${attempt.ended_at_ms === null ? "for" : "after"} ${took}`;
}
