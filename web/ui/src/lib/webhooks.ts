// Webhooks in words.

import { duration } from "./format";
import type { Delivery, WebhookEvent, WebhookShape } from "./types";

export const SHAPE_WORDS: Record<WebhookShape, string> = { json: "JSON, signed", discord: "Discord", slack: "Slack" };

export const EVENT_WORDS: Record<WebhookEvent, string> = {
  job_started: "a job starts",
  job_done: "a job is done",
  job_failed: "a job fails",
  job_cancelled: "a job is cancelled",
  node_joined: "a node joins",
  node_removed: "a node is removed",
};

/** The events that a webhook can be for. Nodes are the farm's business: such ones see all jobs, too. */
export function eventsFor(all_jobs: boolean): WebhookEvent[] {
  const events = Object.keys(EVENT_WORDS) as WebhookEvent[];
  return all_jobs ? events : events.filter((event) => event.startsWith("job_"));
}

/** `delivered (204) at the 2nd try`, `waits: …; again in 40 s`, `given up after 8 tries: …`. */
export function deliveryWords(delivery: Delivery, now_ms: number): string {
  const status = delivery.status === null ? "" : ` (${delivery.status})`;
  const why = delivery.error === null ? "" : `: ${delivery.error}`;
  switch (delivery.state) {
    case "delivered":
      return `delivered${status}${delivery.attempts > 1 ? ` after ${delivery.attempts} tries` : ""}`;
    case "given_up":
      return `given up after ${delivery.attempts} ${delivery.attempts === 1 ? "try" : "tries"}${why}`;
    case "waiting": {
      const next = delivery.next_attempt_at_ms === null ? "" : `; again in ${duration(Math.max(0, delivery.next_attempt_at_ms - now_ms))}`;
      return `${delivery.attempts === 0 ? "on its way" : "tried"}${why}${delivery.attempts === 0 ? "" : next}`;
    }
  }
}
