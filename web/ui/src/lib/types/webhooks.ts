export type WebhookShape = "json" | "discord" | "slack";
export type WebhookEvent =
  | "job_started" | "job_done" | "job_failed" | "job_cancelled" | "node_joined" | "node_removed";

export interface Webhook {
  id: string;
  name: string;
  url: string;
  shape: WebhookShape;
  events: WebhookEvent[];
  /** Every job of the farm, and its nodes; for admins. */
  all_jobs: boolean;
  enabled: boolean;
  created_at_ms: number;
  /** Attempts that failed since the last one that did not. */
  failures: number;
}

export interface NewWebhook extends Webhook {
  /** `whsec_…`: what the deliveries are signed with; told once. */
  secret: string;
}

export interface Delivery {
  id: number;
  event: WebhookEvent | "test";
  job: string | null;
  node: number | null;
  created_at_ms: number;
  state: "waiting" | "delivered" | "given_up";
  /** Attempts that were made. */
  attempts: number;
  /** While it waits. */
  next_attempt_at_ms: number | null;
  /** When it was delivered or given up. */
  ended_at_ms: number | null;
  /** The HTTP status of the answer that took it. */
  status: number | null;
  /** Why the newest attempt failed. */
  error: string | null;
}
