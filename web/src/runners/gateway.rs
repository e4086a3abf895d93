//! What a node must do for the runners that talk to its web port.

use jiggablend_raft::{Epoch, NodeId, TaskId};
use serde::{Deserialize, Serialize};

use crate::TaskProgress;

/// What a runner that speaks only HTTP does and takes, as a node heard it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunnerCondition {
    pub runner: NodeId,
    /// The leases that it says it holds.
    pub holding: Vec<(TaskId, Epoch)>,
    /// Up to so many tasks it takes in all, those that it has included; 0 where it renders none.
    /// It is given no more than it asks for: an HTTP runner takes tasks, they are not pushed.
    pub render_slots: u32,
    /// Whether an encode may be among them.
    pub can_encode: bool,
    /// How far its frames are; only of tasks that it has a lease for.
    pub progress: Vec<TaskProgress>,
}

/// Takes word of HTTP runners to the leader. The node room implements it.
pub trait RunnerGateway: Send + Sync + 'static {
    /// The runner is there, and this is how it is. Never waits; what is not sent yet when newer
    /// word comes is replaced by it.
    fn heard(&self, condition: RunnerCondition);
}
