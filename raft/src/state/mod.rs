//! The farm's whole live state, and `apply`: a function of state and command alone (I2).
//!
//! In here: the state itself and what may come of a command. [`apply`] sends each command to the
//! part that knows about it; [`touched`] notes what a command changed, [`index`] is what follows
//! from the state and is kept with it, [`lookups`] is how others find things in it, and
//! [`invariants`] says what holds between any two commands.

mod apply;
mod audit;
mod deliveries;
mod files;
mod index;
#[cfg(test)]
mod invariants;
mod invitations;
mod jobs;
mod keep;
mod leases;
mod lookups;
mod nodes;
mod quotas;
mod records;
mod runners;
mod sessions;
mod shares;
mod sign_ins;
#[cfg(test)]
mod tests;
mod touched;
mod users;
mod webhooks;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    ApiToken, AuditEntry, Delivery, DeliveryId, DeviceSignIn, Farm, File, FileId, Invitation,
    InvitationId, Job, JobId, Node, NodeId, PendingSignIn, RegistrationToken, RegistrationTokenId,
    SecretHash, Session, Settings, Ticket, TimestampMs, TokenId, User, UserId, Webhook, WebhookId,
};

use index::Index;
pub use index::JobOrder;
#[cfg(test)]
pub(crate) use invariants::check_invariants;
pub(crate) use jobs::count as count_tasks;
pub(crate) use records::RecordKey;
pub(crate) use touched::{Row, Touched};

/// Attempts that may fail before a task is given up.
pub const MAX_FAILED_ATTEMPTS: u32 = 3;

/// Everything that the job log says, after all entries up to the applied index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub farm: Option<Farm>,
    /// The id that the next admitted node gets.
    pub next_node: NodeId,
    pub nodes: BTreeMap<NodeId, Node>,
    pub settings: Settings,
    pub tickets: BTreeMap<SecretHash, Ticket>,
    pub registration_tokens: BTreeMap<RegistrationTokenId, RegistrationToken>,
    pub users: BTreeMap<UserId, User>,
    pub invitations: BTreeMap<InvitationId, Invitation>,
    pub sessions: BTreeMap<SecretHash, Session>,
    pub tokens: BTreeMap<TokenId, ApiToken>,
    /// By the hash of their `state` parameter.
    pub sign_ins: BTreeMap<SecretHash, PendingSignIn>,
    /// By the hash of the device's secret.
    pub device_sign_ins: BTreeMap<SecretHash, DeviceSignIn>,
    /// Accounts and addresses that must not try to sign in, and until when.
    pub blocked: BTreeMap<SecretHash, TimestampMs>,
    /// API tokens, invitations, tickets and registration tokens that were revoked or have expired, and
    /// when: a create that is repeated brings none of them back.
    pub ended_secrets: BTreeMap<SecretHash, TimestampMs>,
    pub jobs: BTreeMap<JobId, Job>,
    pub files: BTreeMap<FileId, File>,
    pub webhooks: BTreeMap<WebhookId, Webhook>,
    pub deliveries: BTreeMap<DeliveryId, Delivery>,
    /// The newest delivery's id.
    pub last_delivery: DeliveryId,
    /// By number; the newest [`crate::MAX_AUDIT_ENTRIES`].
    pub audit: BTreeMap<u64, AuditEntry>,
    /// The number of the next entry.
    pub audit_next: u64,
    #[serde(skip)]
    index: Index,
}

/// What came of a command that was not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// It is so now, or it was so already.
    Done,
    /// The node is a member under this id.
    Admitted(NodeId),
    /// How many leases of the command were taken (or ended).
    Leases(u32),
    /// A device's sign-in is finished; that user approved it.
    ApprovedBy(UserId),
    /// The delivery is on its way.
    Enqueued(DeliveryId),
}

/// Why a command changed nothing. Every member refuses it alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Invalid(String),
    /// The lease's epoch is not the task's current one (I5).
    #[error("{0}")]
    StaleLease(String),
    #[error("{0}")]
    TicketSpent(String),
    #[error("{0}")]
    TicketExpired(String),
    #[error("{0}")]
    TicketUnknown(String),
    /// The farm's settings, or what was shown, do not allow it to whoever asks.
    #[error("{0}")]
    NotAllowed(String),
    /// The owner has as much of the farm as their quota lets them.
    #[error("{0}")]
    QuotaExceeded(String),
}

impl State {
    /// The member, or why a command that names it is refused.
    fn member(&self, node: NodeId) -> Result<&Node, Refusal> {
        match self.nodes.get(&node) {
            None => Err(Refusal::NotFound(format!("this farm has no node {node}"))),
            Some(known) if known.removed => Err(Refusal::Conflict(format!(
                "node {node} was removed from the farm"
            ))),
            Some(known) => Ok(known),
        }
    }

    fn job_mut(&mut self, job: JobId) -> Result<&mut Job, Refusal> {
        self.jobs
            .get_mut(&job)
            .ok_or_else(|| Refusal::NotFound(format!("there is no job {job}")))
    }
}
