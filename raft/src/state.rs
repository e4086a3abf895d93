//! The farm's whole live state, and `apply`: a function of state and command alone (I2).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    Change, Command, Farm, File, FileId, Job, JobId, Node, NodeId, SecretHash, Session, Task,
    TaskId, Ticket, User, UserId,
};

/// Everything that the job log says, after all entries up to the applied index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub farm: Option<Farm>,
    /// The id that the next admitted node gets.
    pub next_node: NodeId,
    pub nodes: BTreeMap<NodeId, Node>,
    pub tickets: BTreeMap<SecretHash, Ticket>,
    pub users: BTreeMap<UserId, User>,
    pub sessions: BTreeMap<SecretHash, Session>,
    pub jobs: BTreeMap<JobId, Job>,
    pub files: BTreeMap<FileId, File>,
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
}

impl State {
    /// Applies one command: the only way in which the state changes.
    ///
    /// Deterministic: no clock, no randomness, no I/O. What changed is pushed to `changes`;
    /// a refused command pushes nothing and changes nothing.
    pub fn apply(
        &mut self,
        _command: &Command,
        _changes: &mut Vec<Change>,
    ) -> Result<Effect, Refusal> {
        todo!()
    }

    /// The member with that libp2p PeerId, if it was not removed.
    pub fn node_by_peer(&self, peer_id: &str) -> Option<&Node> {
        self.nodes
            .values()
            .find(|node| !node.removed && node.peer_id == peer_id)
    }

    /// Members that were not removed.
    pub fn members(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| !node.removed)
    }

    pub fn task(&self, id: TaskId) -> Option<&Task> {
        self.jobs.get(&id.job)?.tasks.get(id.index as usize)
    }
}
