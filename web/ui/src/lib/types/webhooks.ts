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
}

export interface NewWebhook extends Webhook {
  /** What the deliveries are signed with; told once. */
  secret: string;
}

export interface Delivery {
  id: number;
  event: WebhookEvent | "test";
  job: string | null;
  node: number | null;
  at_ms: number;
  attempts: number;
  state: "waiting" | "delivered" | "given_up";
  status: number | null;
  error: string | null;
  next_at_ms: number | null;
}
