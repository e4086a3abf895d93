//! The JSON of webhooks and of what was sent to them.

use std::collections::BTreeSet;

use jiggablend_raft::{
    Delivery, DeliveryEvent, DeliveryId, DeliveryOutcome, JobId, NodeId, TimestampMs, Webhook,
    WebhookEvent, WebhookId, WebhookShape,
};
use serde::Serialize;
use utoipa::ToSchema;

/// A webhook without its secret.
#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookView {
    id: WebhookId,
    name: String,
    url: String,
    shape: WebhookShape,
    events: BTreeSet<WebhookEvent>,
    /// It is told of every job and of nodes, not only of the owner's jobs.
    all_jobs: bool,
    enabled: bool,
    created_at_ms: TimestampMs,
    /// Attempts that failed since the last one that did not.
    failures: u32,
}

impl WebhookView {
    pub(super) fn of(webhook: &Webhook) -> Self {
        Self {
            id: webhook.id,
            name: webhook.name.clone(),
            url: webhook.url.clone(),
            shape: webhook.shape,
            events: webhook.events.clone(),
            all_jobs: webhook.all_jobs,
            enabled: webhook.enabled,
            created_at_ms: webhook.created_at,
            failures: webhook.failures,
        }
    }
}

/// A delivery and what came of it.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeliveryView {
    id: DeliveryId,
    /// `test`, or the event.
    #[schema(value_type = String)]
    event: DeliveryEventView,
    job: Option<JobId>,
    node: Option<NodeId>,
    created_at_ms: TimestampMs,
    state: DeliveryState,
    /// Attempts that were made.
    attempts: u32,
    /// While it waits.
    next_attempt_at_ms: Option<TimestampMs>,
    /// When it was delivered or given up.
    ended_at_ms: Option<TimestampMs>,
    /// The HTTP status of the newest attempt's answer, where there was one.
    status: Option<u16>,
    /// Why the newest attempt failed.
    error: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum DeliveryEventView {
    Test,
    #[serde(untagged)]
    Event(WebhookEvent),
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum DeliveryState {
    Waiting,
    Delivered,
    GivenUp,
}

impl DeliveryView {
    pub(super) fn of(delivery: &Delivery) -> Self {
        let (state, ended_at_ms, status) = match &delivery.outcome {
            None => (DeliveryState::Waiting, None, delivery.last_status),
            Some(DeliveryOutcome::Delivered { at, status }) => {
                (DeliveryState::Delivered, Some(*at), Some(*status))
            }
            Some(DeliveryOutcome::GivenUp { at, .. }) => {
                (DeliveryState::GivenUp, Some(*at), delivery.last_status)
            }
        };
        let given_up_for = match &delivery.outcome {
            Some(DeliveryOutcome::GivenUp { error, .. }) => Some(error.clone()),
            _ => None,
        };
        Self {
            id: delivery.id,
            event: match delivery.event {
                DeliveryEvent::Test => DeliveryEventView::Test,
                DeliveryEvent::Event(event) => DeliveryEventView::Event(event),
            },
            job: delivery.job,
            node: delivery.node,
            created_at_ms: delivery.at,
            next_attempt_at_ms: delivery.outcome.is_none().then_some(delivery.next_at),
            state,
            attempts: delivery.attempts,
            ended_at_ms,
            status,
            error: given_up_for.or_else(|| delivery.last_error.clone()),
        }
    }
}
