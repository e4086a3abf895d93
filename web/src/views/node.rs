//! Nodes: who they are, what they can, what they do now.

use std::collections::{BTreeMap, BTreeSet};

use jiggablend_raft::{
    FrameNumber, Job, JobId, LogStatus, Node, NodeId, Roles, RunnerFacts, State, TaskId, TaskKind,
    TaskState, TimestampMs,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::LiveBoard;
use crate::access::Caller;

#[derive(Serialize, ToSchema)]
pub(crate) struct NodeView {
    id: NodeId,
    name: String,
    peer_id: Option<String>,
    web_address: Option<String>,
    version: String,
    roles: Roles,
    vote: &'static str,
    is_leader: bool,
    is_this_node: bool,
    connected: bool,
    joined_at_ms: TimestampMs,
    runner: RunnerFacts,
    working_on: Vec<WorkView>,
}

impl NodeView {
    pub(crate) fn is_connected(&self) -> bool {
        self.connected
    }

    pub(crate) fn is_working(&self) -> bool {
        !self.working_on.is_empty()
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct WorkView {
    pub(crate) job: JobId,
    task: u32,
    frame: Option<FrameNumber>,
    fraction: Option<f32>,
}

/// What the views of nodes need besides the state.
pub(crate) struct Nodes {
    status: LogStatus,
    connected: BTreeSet<NodeId>,
    fractions: BTreeMap<TaskId, Option<f32>>,
}

impl Nodes {
    pub(crate) fn new(status: LogStatus, live: &LiveBoard) -> Self {
        let progress = live.progress();
        Self {
            status,
            connected: live.connected(),
            fractions: progress
                .into_iter()
                .map(|progress| (progress.task, progress.fraction))
                .collect(),
        }
    }

    /// The node as `caller` may see it: of its work only the jobs that are visible to them.
    pub(crate) fn view(&self, state: &State, node: &Node, caller: &Caller) -> NodeView {
        NodeView {
            working_on: self.work(state, node.id, |job| caller.may_see(job)),
            ..self.view_without_work(node)
        }
    }

    /// The node without its work, and all of its work.
    pub(crate) fn view_apart_from_work(
        &self,
        state: &State,
        node: &Node,
    ) -> (NodeView, Vec<WorkView>) {
        let work = self.work(state, node.id, |_| true);
        (self.view_without_work(node), work)
    }

    fn view_without_work(&self, node: &Node) -> NodeView {
        let is_this_node = node.id == self.status.node;
        NodeView {
            id: node.id,
            name: node.name.clone(),
            peer_id: node.peer_id().map(str::to_owned),
            web_address: node.web_address.clone(),
            version: node.version.clone(),
            roles: node.roles,
            vote: if self.status.voters.contains(&node.id) {
                "voter"
            } else if self.status.standbys.contains(&node.id) {
                "standby"
            } else {
                "none"
            },
            is_leader: self.status.leader == Some(node.id),
            is_this_node,
            connected: is_this_node || self.connected.contains(&node.id),
            joined_at_ms: node.joined_at,
            runner: node.runner.clone(),
            working_on: Vec::new(),
        }
    }

    fn work(&self, state: &State, node: NodeId, may_see: impl Fn(&Job) -> bool) -> Vec<WorkView> {
        let mut work = Vec::new();
        let jobs = state.jobs.values();
        for job in jobs.filter(|job| job.counts.leased > 0 && may_see(job)) {
            for (task, index) in job.tasks.iter().zip(0..) {
                if task.state != (TaskState::Leased { node }) {
                    continue;
                }
                let id = TaskId { job: job.id, index };
                work.push(WorkView {
                    job: job.id,
                    task: index,
                    frame: match task.kind {
                        TaskKind::Frame(frame) => Some(frame),
                        TaskKind::Encode => None,
                    },
                    fraction: self.fractions.get(&id).copied().flatten(),
                });
            }
        }
        work
    }
}
