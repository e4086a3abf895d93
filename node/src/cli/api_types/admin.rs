//! The farm as admins run it: settings, audit, runners, tickets; and webhooks.

use jiggablend_raft::{
    JobId, NodeId, Quota, Registration, RegistrationTokenId, TimestampMs, UserRole, WebhookId,
};
use serde::Deserialize;
use serde_json::Value;

use super::Node;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Settings {
    pub farm_name: String,
    pub registration: Registration,
    pub default_role: UserRole,
    pub default_quota: Quota,
    pub public_url: Option<String>,
    pub webhooks_to_private_addresses: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct AuditEntry {
    pub number: u64,
    pub at_ms: TimestampMs,
    pub actor: Actor,
    /// The client's address.
    pub from: Option<String>,
    pub action: String,
    pub subject: String,
    pub detail: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Actor {
    pub id: String,
    pub name: Option<String>,
}

/// A node that renders, and how it reaches the farm.
#[derive(Debug, Clone, Deserialize)]
pub struct Runner {
    #[serde(flatten)]
    pub node: Node,
    pub reach: String,
    pub state: String,
    pub last_heard_at_ms: Option<TimestampMs>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct RunnerList {
    pub runners: Vec<Runner>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct RegistrationToken {
    pub id: RegistrationTokenId,
    pub name: String,
    pub created_at_ms: TimestampMs,
    pub expires_at_ms: Option<TimestampMs>,
    pub reusable: bool,
    pub used: u32,
}

#[derive(Debug, Clone, Deserialize)]
pub struct RegistrationTokenList {
    pub registration_tokens: Vec<RegistrationToken>,
}

/// A ticket as it is seen when it is no longer told.
#[derive(Debug, Clone, Deserialize)]
pub struct Ticket {
    pub id: String,
    #[serde(default)]
    pub created_by: Value,
    pub created_at_ms: TimestampMs,
    pub expires_at_ms: TimestampMs,
    pub reusable: bool,
    pub voter: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct TicketList {
    pub tickets: Vec<Ticket>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Webhook {
    pub id: WebhookId,
    pub name: String,
    pub url: String,
    pub shape: String,
    pub events: Vec<String>,
    #[serde(default)]
    pub all_jobs: bool,
    pub enabled: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct WebhookList {
    pub webhooks: Vec<Webhook>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Delivery {
    pub event: String,
    pub job: Option<JobId>,
    pub node: Option<NodeId>,
    pub created_at_ms: TimestampMs,
    pub attempts: u32,
    /// `waiting`, `delivered` or `given_up`.
    pub state: String,
    pub status: Option<u16>,
    pub error: Option<String>,
    pub next_attempt_at_ms: Option<TimestampMs>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct DeliveryList {
    pub deliveries: Vec<Delivery>,
}
