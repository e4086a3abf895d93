//! What was applied, for those who watch. An event's id is its log index.

use serde::{Deserialize, Serialize};

use crate::{DeliveryId, Epoch, FileId, JobId, NodeId, TaskId, UserId};

/// Everything that one log entry changed. `index` is the SSE event id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    pub index: u64,
    pub changes: Vec<Change>,
}

/// One thing that changed; read it from the state for its new value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Membership of the farm, or what a node announced.
    Node(NodeId),
    /// The job itself: its state, its counts, its facts. Sent with every change of its tasks too.
    Job(JobId),
    Task(TaskId),
    /// That user may see the job no longer, unless there is another reason to.
    Unshared(JobId, UserId),
    /// A file is there, or its holders changed.
    File(JobId, FileId),
    /// The node's runner must stop with the lease of this epoch: cancelled, removed, or taken
    /// back. The task may be under a newer lease already.
    Revoked(TaskId, Epoch, NodeId),
    /// There is something to deliver to a webhook, or something came of it. For the leader; not
    /// for those who watch jobs.
    Delivery(DeliveryId),
}
