//! What nodes and the leader say to each other.

use anyhow::Context as _;
use jiggablend_raft::{Epoch, NodeId, TaskId};
use jiggablend_web::{RunnerCondition, TaskProgress};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::runner::{Assignment, Progress};

/// The first message on a link stream says which way the stream goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum StreamOpening {
    /// From a node to the leader; [`ToNode`] comes back on a stream of its own.
    ToLeader(Hello),
    /// From the leader to a node, in answer to the hello of that link.
    ToNode { link: LinkId },
}

/// Drawn at random by the node for each link, so that a late answer to an older hello is told
/// from the one that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinkId(pub(crate) u64);

/// A node presents itself to a leader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Hello {
    pub(crate) link: LinkId,
    pub(crate) node: NodeId,
    pub(crate) condition: Condition,
}

/// What a node's runner does and can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Condition {
    /// The leases that it holds: queued, running, or waiting to be reported.
    pub(crate) holding: Vec<(TaskId, Epoch)>,
    /// Frames it renders at once; 0 where it does not render.
    pub(crate) render_slots: u32,
    pub(crate) can_encode: bool,
}

/// From a node to the leader.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum ToLeader {
    /// The sign of life. What the leader thinks of the runner is set right by it, whatever was
    /// lost on the way.
    Alive(Condition),
    Progress(Progress),
    /// The sign of life of a runner that speaks only HTTP, and talks to this node now.
    HttpRunner(RunnerCondition),
}

/// From the leader to a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum ToNode {
    Assign(Box<Assignment>),
    Revoke(TaskId, Epoch),
    /// What happens on the whole farm, for the live board of each node; also the sign of life.
    Live {
        progress: Vec<TaskProgress>,
        connected: Vec<NodeId>,
    },
}

pub(crate) fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(message).expect("link messages have no parts that cannot be encoded")
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> anyhow::Result<T> {
    rmp_serde::from_slice(bytes)
        .context("cannot read a message on the link; do both nodes run the same version?")
}
