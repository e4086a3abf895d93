//! Which runner gets which task. No socket, no clock: every event of the farm can be played here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiggablend_raft::{
    Epoch, JobId, NodeId, State, Task, TaskId, TaskKind, TaskState, TimestampMs,
};

use super::round::Round;

/// A runner that is not linked for this long loses its leases. A change of leader takes less.
pub(super) const LEASE_TIME: Duration = Duration::from_secs(6);

/// A linked runner that does not hold its lease for this long, however often it is pushed, loses
/// it: it cannot run it.
pub(super) const UNHELD_TIME: Duration = Duration::from_secs(10);

/// Every runner of the mesh is kept this many tasks ahead of its slots, so that the next scene
/// arrives while the current frame renders.
const TASKS_AHEAD: u32 = 1;

/// Job age first, then id, so that every leader decides alike.
type JobOrder = (TimestampMs, JobId);

/// The leader's view of what is ready, who works on what, and who is there.
///
/// An index over the state, kept by [`Scheduler::task_changed`]; the state itself is the truth
/// and is asked again before a lease is decided.
#[derive(Debug, Default)]
pub(super) struct Scheduler {
    ready: BTreeMap<JobOrder, BTreeSet<u32>>,
    leased: BTreeMap<TaskId, NodeId>,
    /// Leases that were decided and are not in the log yet.
    proposed: BTreeMap<TaskId, NodeId>,
    linked: BTreeMap<NodeId, Capacity>,
    /// Nodes with leases and without a link, and since when.
    gone: BTreeMap<NodeId, Instant>,
    /// Leases that a linked node does not hold, and since when.
    unheld: BTreeMap<TaskId, (Epoch, Instant)>,
}

/// What a linked node can do at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Capacity {
    pub(super) render_slots: u32,
    pub(super) can_encode: bool,
    /// It takes its tasks by asking, and this is what it has and asks for: what it is done with
    /// makes no room before it says so.
    pub(super) asks: bool,
}

/// Leases for one node, to be proposed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewLeases {
    pub(super) node: NodeId,
    pub(super) leases: Vec<(TaskId, Epoch)>,
}

impl Capacity {
    /// Tasks that the node works on at once, encodes included.
    fn slots(self) -> u32 {
        self.render_slots.max(u32::from(self.can_encode))
    }

    /// A lease of a runner that asks has ended.
    fn is_done_with_one(&mut self) {
        self.render_slots = self.render_slots.saturating_sub(1);
        self.can_encode &= self.render_slots > 0;
    }

    /// Whether a node with so many tasks may get another.
    fn has_room(self, load: u32, ahead: u32) -> bool {
        let ahead = if self.asks { 0 } else { ahead };
        self.slots() > 0 && load < self.slots() + ahead
    }

    fn can_do(self, kind: TaskKind) -> bool {
        match kind {
            TaskKind::Frame(_) => self.render_slots > 0,
            TaskKind::Encode => self.can_encode,
        }
    }
}

impl Scheduler {
    /// The index over that state, as a new leader finds it: nobody is linked yet.
    pub(super) fn new(state: &State, now: Instant) -> Self {
        let mut scheduler = Self::default();
        for (job_id, job) in &state.jobs {
            if job.state.is_final() {
                continue;
            }
            for index in 0..job.tasks.len() as u32 {
                let job = *job_id;
                scheduler.task_changed(state, TaskId { job, index }, now);
            }
        }
        scheduler
    }

    /// Takes in what the state says of a task now. A lease of a node that is not linked starts
    /// that node's time, however the lease came about: no lease is without an end.
    pub(super) fn task_changed(&mut self, state: &State, id: TaskId, now: Instant) {
        let Some(job) = state.jobs.get(&id.job) else {
            return;
        };
        let Some(task) = job.tasks.get(id.index as usize) else {
            return;
        };
        let order = (job.created_at, id.job);
        if task.state == TaskState::Pending {
            self.ready.entry(order).or_default().insert(id.index);
        } else if let Some(ready) = self.ready.get_mut(&order) {
            ready.remove(&id.index);
            if ready.is_empty() {
                self.ready.remove(&order);
            }
        }
        match task.state {
            TaskState::Leased { node } => {
                self.leased.insert(id, node);
                if !self.linked.contains_key(&node) {
                    self.gone.entry(node).or_insert(now);
                }
            }
            _ => {
                self.unheld.remove(&id);
                let lessee = self.leased.remove(&id);
                if let Some(capacity) = lessee.and_then(|node| self.linked.get_mut(&node))
                    && capacity.asks
                {
                    capacity.is_done_with_one();
                }
            }
        }
    }

    /// A node presents itself, or says anew what it can do.
    pub(super) fn linked(&mut self, node: NodeId, capacity: Capacity) {
        self.linked.insert(node, capacity);
        self.gone.remove(&node);
    }

    /// The node's link is cut. Its leases run on for [`LEASE_TIME`].
    pub(super) fn unlinked(&mut self, node: NodeId, now: Instant) {
        self.linked.remove(&node);
        self.gone.entry(node).or_insert(now);
    }

    /// A proposal of leases has ended, one way or the other; the state tells which were taken,
    /// perhaps before the events do.
    pub(super) fn proposal_ended(&mut self, state: &State, leases: &NewLeases, now: Instant) {
        for (task, _) in &leases.leases {
            self.proposed.remove(task);
            self.task_changed(state, *task, now);
        }
    }

    /// A linked node says which leases it holds. Answers those that it has not held for
    /// [`UNHELD_TIME`] and that must end.
    pub(super) fn held(
        &mut self,
        state: &State,
        node: NodeId,
        holding: &[(TaskId, Epoch)],
        now: Instant,
    ) -> NewLeases {
        let mut overdue = Vec::new();
        for (task, epoch) in state.leases_of(node) {
            if holding.contains(&(task, epoch)) {
                self.unheld.remove(&task);
                continue;
            }
            let since = match self.unheld.get(&task) {
                Some((unheld_epoch, since)) if *unheld_epoch == epoch => *since,
                _ => now,
            };
            self.unheld.insert(task, (epoch, since));
            if now.duration_since(since) >= UNHELD_TIME {
                overdue.push((task, epoch));
            }
        }
        NewLeases {
            node,
            leases: overdue,
        }
    }

    /// Decides leases for everyone who has room: first every slot of every node, then one task
    /// ahead; older jobs before newer ones, frames in the order in which they were asked for.
    pub(super) fn schedule(&mut self, state: &State) -> Vec<NewLeases> {
        let mut decided: BTreeMap<NodeId, Vec<(TaskId, Epoch)>> = BTreeMap::new();
        let mut round = Round::new(state, &self.leased, &self.proposed);
        for ahead in [0, TASKS_AHEAD] {
            let mut by_load = round.by_load(self.linked.keys().copied());
            while let Some((load, node)) = by_load.pop_first() {
                let capacity = self.linked[&node];
                if !capacity.has_room(load, ahead) {
                    continue;
                }
                // Where there is no task for it now, there is none for it later in this round.
                let Some((task, epoch)) = self.task_for(&round, state, node, capacity) else {
                    continue;
                };
                self.proposed.insert(task, node);
                round.decide(node, task);
                decided.entry(node).or_default().push((task, epoch));
                by_load.insert((round.load(node), node));
            }
        }
        decided
            .into_iter()
            .map(|(node, leases)| NewLeases { node, leases })
            .collect()
    }

    /// The leases of nodes that are gone for too long, each node's for one proposal.
    pub(super) fn expired(&self, state: &State, now: Instant) -> Vec<NewLeases> {
        self.gone
            .iter()
            .filter(|(_, since)| now.duration_since(**since) >= LEASE_TIME)
            .map(|(node, _)| NewLeases {
                node: *node,
                leases: state.leases_of(*node),
            })
            .filter(|expired| !expired.leases.is_empty())
            .collect()
    }

    /// Who has the lease of that task.
    pub(super) fn lessee(&self, task: TaskId) -> Option<NodeId> {
        self.leased.get(&task).copied()
    }

    pub(super) fn linked_nodes(&self) -> BTreeSet<NodeId> {
        self.linked.keys().copied().collect()
    }

    fn task_for(
        &self,
        round: &Round<'_>,
        state: &State,
        node: NodeId,
        capacity: Capacity,
    ) -> Option<(TaskId, Epoch)> {
        for ((_, job_id), ready) in &self.ready {
            let Some(job) = state.jobs.get(job_id) else {
                continue;
            };
            if !round.may_get_more(job.owner) {
                continue;
            }
            for index in ready {
                let id = TaskId {
                    job: *job_id,
                    index: *index,
                };
                let Some(task) = job.tasks.get(*index as usize) else {
                    continue;
                };
                let is_free = task.state == TaskState::Pending && !self.proposed.contains_key(&id);
                if is_free && capacity.can_do(task.kind) && !self.goes_elsewhere(task, node) {
                    return Some((id, task.epoch.next()));
                }
            }
        }
        None
    }

    /// A task that failed on this node goes to another one, where there is one.
    fn goes_elsewhere(&self, task: &Task, node: NodeId) -> bool {
        task.avoid == Some(node)
            && self
                .linked
                .iter()
                .any(|(other, capacity)| *other != node && capacity.can_do(task.kind))
    }
}

#[cfg(test)]
pub(super) mod test_state;
#[cfg(test)]
mod tests;
