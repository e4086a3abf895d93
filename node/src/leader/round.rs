//! One round of scheduling: who has room, and what owners may still be given.

use std::collections::{BTreeMap, BTreeSet};

use jiggablend_raft::{NodeId, Owner, State, TaskId, TaskState};

/// How busy nodes are and how much of their owners' quotas is left, counted once at the start of
/// the round and kept with each decision.
pub(super) struct Round<'a> {
    state: &'a State,
    loads: BTreeMap<NodeId, u32>,
    /// Leases of the owner that were decided and are not in the state yet.
    decided: BTreeMap<Owner, u32>,
}

impl<'a> Round<'a> {
    pub(super) fn new(
        state: &'a State,
        leased: &BTreeMap<TaskId, NodeId>,
        proposed: &BTreeMap<TaskId, NodeId>,
    ) -> Self {
        let mut round = Self {
            state,
            loads: BTreeMap::new(),
            decided: BTreeMap::new(),
        };
        for node in leased.values() {
            *round.loads.entry(*node).or_default() += 1;
        }
        for (task, node) in proposed {
            if !leased.contains_key(task) {
                *round.loads.entry(*node).or_default() += 1;
            }
            // The state may have it before the proposal's end is told.
            let is_in_state = matches!(
                state.task(*task).map(|task| task.state),
                Some(TaskState::Leased { .. })
            );
            if !is_in_state {
                round.count(*task);
            }
        }
        round
    }

    /// Tasks that the node has, or is about to get.
    pub(super) fn load(&self, node: NodeId) -> u32 {
        self.loads.get(&node).copied().unwrap_or(0)
    }

    /// Nodes by load, the least loaded first.
    pub(super) fn by_load(&self, nodes: impl Iterator<Item = NodeId>) -> BTreeSet<(u32, NodeId)> {
        nodes.map(|node| (self.load(node), node)).collect()
    }

    /// Whether the owner's quota leaves room for one more lease.
    pub(super) fn may_get_more(&self, owner: Owner) -> bool {
        let decided = self.decided.get(&owner).copied().unwrap_or(0);
        self.state
            .leases_left(owner)
            .is_none_or(|left| left > decided)
    }

    pub(super) fn decide(&mut self, node: NodeId, task: TaskId) {
        *self.loads.entry(node).or_default() += 1;
        self.count(task);
    }

    fn count(&mut self, task: TaskId) {
        if let Some(job) = self.state.jobs.get(&task.job) {
            *self.decided.entry(job.owner).or_default() += 1;
        }
    }
}
