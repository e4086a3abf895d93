import { duration } from "./format";
import type { Attempt } from "./types";

const OUTCOME_WORDS: Record<Attempt["outcome"], string> = {
  running: "runs", committed: "done", failed: "failed", lease_ended: "was lost", cancelled: "was cancelled",
};

/** `on cellar, failed after 4.2 s`, `on attic, runs for 12 s`. */
export function attemptWords(attempt: Attempt, node: string, now_ms: number): string {
  const outcome = OUTCOME_WORDS[attempt.outcome] ?? attempt.outcome;
  const took = duration(Math.max(0, (attempt.ended_at_ms ?? now_ms) - attempt.leased_at_ms));
  return `on ${node}, ${outcome} ${attempt.ended_at_ms === null ? "for" : "after"} ${took}`;
}

/** Why it came to nothing; null where there is nothing to say. */
export function whyNot(attempt: Attempt): string | null {
  return attempt.failure?.message ?? attempt.reason;
}
