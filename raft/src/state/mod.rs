//! The farm's whole live state, and `apply`: a function of state and command alone (I2).
//!
//! In here: the state itself, what may come of a command, and the one place that sends each
//! command to the part that knows about it. [`touched`] notes what a command changed,
//! [`invariants`] says what holds between any two commands.

mod files;
#[cfg(test)]
mod invariants;
mod jobs;
mod leases;
mod nodes;
mod records;
#[cfg(test)]
mod tests;
mod touched;
mod users;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Action, ApiToken, AuditEntry, Change, Command, Delivery, DeliveryId, DeviceSignIn, Farm, File,
    FileId, Invitation, InvitationId, Job, JobId, Node, NodeId, PendingSignIn, Reach,
    RegistrationToken, RegistrationTokenId, SecretHash, Session, Settings, Task, TaskId, Ticket,
    TimestampMs, TokenId, User, UserId, Webhook, WebhookId,
};

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
    /// Applies one command: the only way in which the state changes.
    ///
    /// Deterministic: no clock, no randomness, no I/O. What changed is pushed to `changes`;
    /// a refused command pushes nothing and changes nothing.
    pub fn apply(
        &mut self,
        command: &Command,
        changes: &mut Vec<Change>,
    ) -> Result<Effect, Refusal> {
        let mut touched = Touched::default();
        let effect = self.apply_noting(command, &mut touched)?;
        changes.append(&mut touched.changes);
        Ok(effect)
    }

    /// [`State::apply`], noting also which rows of the projection are out of date now.
    pub(crate) fn apply_noting(
        &mut self,
        command: &Command,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let at = command.at;
        match &command.action {
            Action::FarmCreated {
                farm,
                name,
                public_key,
                secret_key,
                first_node,
            } => {
                let farm = Farm {
                    id: *farm,
                    name: name.clone(),
                    public_key: *public_key,
                    secret_key: *secret_key,
                    created_at: at,
                };
                self.farm_created(farm, first_node, at, touched)
            }
            Action::NodeAdmitted { ticket, node } => self.node_admitted(ticket, node, at, touched),
            Action::NodeAnnounced {
                node,
                addresses,
                web_address,
                version,
                runner,
                operator_token,
            } => self.node_announced(
                *node,
                |known| {
                    if let Reach::Mesh {
                        addresses: known, ..
                    } = &mut known.reach
                    {
                        known.clone_from(addresses);
                    }
                    known.web_address.clone_from(web_address);
                    known.version.clone_from(version);
                    known.runner.clone_from(runner);
                    known.operator_token = Some(*operator_token);
                },
                touched,
            ),
            Action::NodeRemoved { node } => self.node_removed(*node, at, touched),

            Action::TicketCreated {
                ticket,
                roles,
                expires_at,
                reusable,
            } => {
                let ticket = Ticket {
                    hash: *ticket,
                    roles: *roles,
                    created_at: at,
                    created_by: command.actor,
                    expires_at: *expires_at,
                    reusable: *reusable,
                    spent_by: None,
                };
                self.ticket_created(ticket, touched)
            }
            Action::TicketRevoked { ticket } => self.ticket_revoked(ticket, touched),

            Action::UserCreated {
                user,
                name,
                email,
                password_hash,
                identity,
                role,
            } => {
                let user = User {
                    id: *user,
                    name: name.clone(),
                    email: email.clone(),
                    password_hash: password_hash.clone(),
                    identities: identity.iter().cloned().collect(),
                    role: *role,
                    disabled: false,
                    quota: None,
                    created_at: at,
                };
                self.user_created(user, touched)
            }
            Action::SessionCreated {
                session,
                user,
                expires_at,
                agent,
            } => {
                let session = Session {
                    hash: *session,
                    user: *user,
                    created_at: at,
                    expires_at: *expires_at,
                    from: command.from,
                    agent: agent.chars().take(crate::MAX_AGENT_CHARS).collect(),
                };
                self.session_created(session, touched)
            }
            Action::SessionEnded { session } => self.session_ended(session, touched),
            Action::ExpiredRemoved => self.expired_removed(at, touched),

            Action::JobCreated {
                job,
                name,
                owner,
                settings,
            } => self.job_created(*job, name, *owner, settings, at, touched),
            Action::SceneAdded {
                job,
                file,
                scene_frames,
            } => self.scene_added(*job, file, scene_frames, at, touched),
            Action::SceneInspected { job, facts } => self.scene_inspected(*job, facts, touched),
            Action::JobCancelled { job } => self.job_cancelled(*job, at, touched),

            Action::TasksLeased { node, leases } => self.tasks_leased(*node, leases, at, touched),
            Action::LeasesEnded { leases, reason } => {
                self.leases_ended(leases, *reason, at, touched)
            }
            Action::TaskCommitted {
                task,
                epoch,
                output,
                log,
                render_ms,
            } => self.task_committed(*task, *epoch, output, log.as_ref(), *render_ms, at, touched),
            Action::TaskFailed {
                task,
                epoch,
                failure,
                log,
            } => self.task_failed(*task, *epoch, failure, log.as_ref(), at, touched),

            Action::ReplicaAdded { file, node } => self.replica_added(*file, *node, touched),
            Action::ReplicaLost { file, node } => self.replica_lost(*file, *node, touched),
            other => Err(Refusal::Invalid(format!(
                "this version of the job log does not take {} yet",
                other.name()
            ))),
        }
    }

    /// The member with that libp2p PeerId, if it was not removed.
    pub fn node_by_peer(&self, peer_id: &str) -> Option<&Node> {
        self.nodes
            .values()
            .find(|node| !node.removed && node.peer_id() == Some(peer_id))
    }

    /// Members that were not removed.
    pub fn members(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| !node.removed)
    }

    /// Members that are in the mesh: those that can hold files, vote and be dialled.
    pub fn mesh_members(&self) -> impl Iterator<Item = &Node> {
        self.members().filter(|node| node.is_in_mesh())
    }

    pub fn task(&self, id: TaskId) -> Option<&Task> {
        self.jobs.get(&id.job)?.tasks.get(id.index as usize)
    }

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
