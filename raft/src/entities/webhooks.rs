//! Webhooks, and what is to be delivered to them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{DeliveryId, JobId, NodeId, Owner, TimestampMs, WebhookId};

/// An address that is told of events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    pub id: WebhookId,
    pub owner: Owner,
    pub name: String,
    pub url: String,
    pub shape: WebhookShape,
    pub events: BTreeSet<WebhookEvent>,
    /// Of every job, and of nodes; counts only while the owner is an admin or an operator.
    pub all_jobs: bool,
    /// The key of the signature (HMAC).
    pub secret: String,
    pub enabled: bool,
    pub created_at: TimestampMs,
    /// Attempts that failed since the last one that did not.
    pub failures: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum WebhookShape {
    Json,
    Discord,
    Slack,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum WebhookEvent {
    JobStarted,
    JobDone,
    JobFailed,
    JobCancelled,
    NodeJoined,
    NodeRemoved,
}

/// One event on its way to one webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    pub id: DeliveryId,
    pub webhook: WebhookId,
    pub event: DeliveryEvent,
    pub job: Option<JobId>,
    pub node: Option<NodeId>,
    pub at: TimestampMs,
    /// Attempts that were made.
    pub attempts: u32,
    /// When the next attempt is due.
    pub next_at: TimestampMs,
    /// `None` while it is to be tried.
    pub outcome: Option<DeliveryOutcome>,
    pub last_error: Option<String>,
    /// The HTTP status of the newest attempt's answer, where it failed and had one.
    pub last_status: Option<u16>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryEvent {
    Event(WebhookEvent),
    Test,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryOutcome {
    Delivered { at: TimestampMs, status: u16 },
    GivenUp { at: TimestampMs, error: String },
}
