//! Which runner gets which task. No socket, no clock: every event of the farm can be played here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use jiggablend_raft::{
    Epoch, JobId, NodeId, State, Task, TaskId, TaskKind, TaskState, TimestampMs,
};

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

    /// How many of `ahead` tasks beyond its slots it gets.
    fn ahead(self, ahead: u32) -> u32 {
        if self.asks { 0 } else { ahead }
    }

    /// A lease of a runner that asks has ended.
    fn is_done_with_one(&mut self) {
        self.render_slots = self.render_slots.saturating_sub(1);
        self.can_encode &= self.render_slots > 0;
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
        for (task, epoch) in self.leases_of(state, node) {
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
        for ahead in [0, TASKS_AHEAD] {
            while let Some((node, task, epoch)) = self.next_lease(state, ahead) {
                self.proposed.insert(task, node);
                decided.entry(node).or_default().push((task, epoch));
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
                leases: self.leases_of(state, *node),
            })
            .filter(|expired| !expired.leases.is_empty())
            .collect()
    }

    /// The node's current leases, by the state.
    pub(super) fn leases_of(&self, state: &State, node: NodeId) -> Vec<(TaskId, Epoch)> {
        self.leased
            .iter()
            .filter(|(_, lessee)| **lessee == node)
            .filter_map(|(id, _)| Some((*id, super::assignment::leased_epoch(state, node, *id)?)))
            .collect()
    }

    /// Who has the lease of that task.
    pub(super) fn lessee(&self, task: TaskId) -> Option<NodeId> {
        self.leased.get(&task).copied()
    }

    pub(super) fn linked_nodes(&self) -> BTreeSet<NodeId> {
        self.linked.keys().copied().collect()
    }

    /// One lease for the least loaded node that has room and for which there is a task.
    fn next_lease(&self, state: &State, ahead: u32) -> Option<(NodeId, TaskId, Epoch)> {
        let mut by_load: Vec<(u32, NodeId, Capacity)> = self
            .linked
            .iter()
            .map(|(node, capacity)| (self.load(*node), *node, *capacity))
            .filter(|(load, _, capacity)| {
                capacity.slots() > 0 && *load < capacity.slots() + capacity.ahead(ahead)
            })
            .collect();
        by_load.sort_by_key(|(load, node, _)| (*load, *node));
        by_load.into_iter().find_map(|(_, node, capacity)| {
            let (task, epoch) = self.task_for(state, node, capacity)?;
            Some((node, task, epoch))
        })
    }

    fn load(&self, node: NodeId) -> u32 {
        let leased = self.leased.iter().filter(|(_, lessee)| **lessee == node);
        let proposed = self
            .proposed
            .iter()
            .filter(|(task, lessee)| **lessee == node && !self.leased.contains_key(task));
        (leased.count() + proposed.count()) as u32
    }

    fn task_for(&self, state: &State, node: NodeId, capacity: Capacity) -> Option<(TaskId, Epoch)> {
        for ((_, job_id), ready) in &self.ready {
            let Some(job) = state.jobs.get(job_id) else {
                continue;
            };
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
pub(super) mod test_state {
    //! States for tests of the leader's decisions, made by the job log's own `apply`.

    use jiggablend_raft::*;

    pub(crate) fn apply(state: &mut State, at: u64, action: Action) -> Result<Effect, Refusal> {
        let command = Command {
            at: TimestampMs(at),
            actor: Actor::Farm,
            from: None,
            action,
        };
        state.apply(&command, &mut Vec::new())
    }

    fn new_node(number: u64) -> NewNode {
        NewNode {
            name: format!("node-{number}"),
            peer_id: format!("peer-{number}"),
            addresses: Vec::new(),
            roles: Roles {
                voter: true,
                runner: true,
            },
        }
    }

    pub(crate) fn state_with_nodes(count: u64) -> State {
        let mut state = State::default();
        let created = Action::FarmCreated {
            farm: FarmId::of_public_key(&[1; 32]),
            name: "farm".into(),
            public_key: [1; 32],
            secret_key: [2; 32],
            first_node: new_node(1),
        };
        apply(&mut state, 1, created).expect("a new farm");
        for number in 2..=count {
            let ticket = SecretHash([number as u8; 32]);
            let made = Action::TicketCreated {
                ticket,
                roles: new_node(number).roles,
                expires_at: TimestampMs(1_000),
                reusable: false,
            };
            apply(&mut state, 2, made).expect("a ticket");
            let admitted = Action::NodeAdmitted {
                ticket,
                node: new_node(number),
            };
            apply(&mut state, 3, admitted).expect("a node");
        }
        state
    }

    fn file(kind: FileKind, node: u64) -> NewFile {
        NewFile {
            id: FileId::new(),
            kind,
            name: "file".into(),
            media_type: "application/octet-stream".into(),
            content: ContentId([9; 32]),
            size_bytes: 10,
            holders: vec![NodeId(node)],
        }
    }

    pub(crate) fn add_job(state: &mut State, at: u64, frames: &str) -> JobId {
        let job = JobId::new();
        let created = Action::JobCreated {
            job,
            name: "job".into(),
            owner: Owner::Operator(NodeId(1)),
            settings: JobSettings {
                frames: Some(frames.parse().expect("frames")),
                video: true,
            },
        };
        apply(state, at, created).expect("a job");
        let scene = Action::SceneAdded {
            job,
            file: file(FileKind::Scene, 1),
            scene_frames: frames.parse().expect("frames"),
        };
        apply(state, at, scene).expect("a scene");
        job
    }

    pub(crate) fn commit(state: &mut State, task: TaskId, epoch: Epoch) {
        let committed = Action::TaskCommitted {
            task,
            epoch,
            output: file(FileKind::Frame, 1),
            log: None,
            render_ms: 5,
        };
        apply(state, 50, committed).expect("a commit");
    }

    pub(crate) fn fail(state: &mut State, task: TaskId, epoch: Epoch) {
        let failed = Action::TaskFailed {
            task,
            epoch,
            failure: Failure {
                kind: FailureKind::Crashed,
                message: "it crashed".into(),
            },
            log: None,
        };
        apply(state, 50, failed).expect("a failure");
    }
}

#[cfg(test)]
mod tests {
    use jiggablend_raft::{Action, LeaseEnd};

    use super::test_state::{add_job, apply, commit, fail, state_with_nodes};
    use super::*;

    const RENDERS: Capacity = Capacity {
        render_slots: 1,
        can_encode: true,
        asks: false,
    };

    /// Carries decided leases out, as the duties do.
    fn carry_out(scheduler: &mut Scheduler, state: &mut State, decided: &[NewLeases]) {
        for new in decided {
            let leased = Action::TasksLeased {
                node: new.node,
                leases: new.leases.clone(),
            };
            apply(state, 20, leased).expect("leases");
            scheduler.proposal_ended(state, new, Instant::now());
        }
    }

    fn indexes(new: &NewLeases) -> Vec<u32> {
        new.leases.iter().map(|(task, _)| task.index).collect()
    }

    #[test]
    fn every_slot_is_filled_before_anyone_gets_a_task_ahead() {
        let mut state = state_with_nodes(3);
        add_job(&mut state, 10, "1-4");
        let mut scheduler = Scheduler::new(&state, Instant::now());
        for node in 1..=3 {
            scheduler.linked(NodeId(node), RENDERS);
        }
        let decided = scheduler.schedule(&state);
        let by_node: Vec<(u64, Vec<u32>)> = decided
            .iter()
            .map(|new| (new.node.0, indexes(new)))
            .collect();
        assert_eq!(by_node, [(1, vec![0, 3]), (2, vec![1]), (3, vec![2])]);
        assert_eq!(
            scheduler.schedule(&state),
            [],
            "what is proposed is not proposed twice"
        );
    }

    #[test]
    fn a_runner_that_asks_for_its_tasks_gets_no_more_than_it_asked_for() {
        let mut state = state_with_nodes(2);
        let job = add_job(&mut state, 10, "1-9");
        let mut scheduler = Scheduler::new(&state, Instant::now());
        let asks = |render_slots| Capacity {
            render_slots,
            can_encode: render_slots > 0,
            asks: true,
        };
        scheduler.linked(NodeId(2), asks(0));
        assert_eq!(scheduler.schedule(&state), [], "it asks for nothing");
        scheduler.linked(NodeId(2), asks(1));
        let decided = scheduler.schedule(&state);
        assert_eq!(indexes(&decided[0]), [0]);
        carry_out(&mut scheduler, &mut state, &decided);
        assert_eq!(scheduler.schedule(&state), []);
        scheduler.linked(NodeId(2), asks(3));
        let decided = scheduler.schedule(&state);
        assert_eq!(indexes(&decided[0]), [1, 2]);
        carry_out(&mut scheduler, &mut state, &decided);
        for index in 0..3 {
            let task = TaskId { job, index };
            commit(&mut state, task, Epoch(1));
            scheduler.task_changed(&state, task, Instant::now());
        }
        assert_eq!(scheduler.schedule(&state), [], "it has not asked for more");
    }

    #[test]
    fn a_runner_gets_a_new_task_for_each_that_it_commits() {
        let mut state = state_with_nodes(1);
        let job = add_job(&mut state, 10, "1-4");
        let mut scheduler = Scheduler::new(&state, Instant::now());
        scheduler.linked(NodeId(1), RENDERS);
        let decided = scheduler.schedule(&state);
        carry_out(&mut scheduler, &mut state, &decided);
        assert_eq!(indexes(&decided[0]), [0, 1]);
        let first = TaskId { job, index: 0 };
        commit(&mut state, first, Epoch(1));
        scheduler.task_changed(&state, first, Instant::now());
        assert_eq!(indexes(&scheduler.schedule(&state)[0]), [2]);
    }

    #[test]
    fn older_jobs_go_first() {
        let mut state = state_with_nodes(1);
        let newer = add_job(&mut state, 20, "1-2");
        let older = add_job(&mut state, 10, "1-1");
        let mut scheduler = Scheduler::new(&state, Instant::now());
        scheduler.linked(NodeId(1), RENDERS);
        let decided = scheduler.schedule(&state);
        let jobs: Vec<JobId> = decided[0].leases.iter().map(|(task, _)| task.job).collect();
        assert_eq!(jobs, [older, newer]);
    }

    #[test]
    fn a_failed_task_goes_to_another_node_where_there_is_one() {
        let mut state = state_with_nodes(2);
        let job = add_job(&mut state, 10, "1-1");
        let mut scheduler = Scheduler::new(&state, Instant::now());
        scheduler.linked(NodeId(1), RENDERS);
        let decided = scheduler.schedule(&state);
        carry_out(&mut scheduler, &mut state, &decided);
        let task = TaskId { job, index: 0 };
        fail(&mut state, task, Epoch(1));
        scheduler.task_changed(&state, task, Instant::now());
        scheduler.linked(NodeId(2), RENDERS);
        let decided = scheduler.schedule(&state);
        assert_eq!(decided[0].node, NodeId(2));
        assert_eq!(decided[0].leases, [(task, Epoch(2))]);

        scheduler.proposal_ended(&state, &decided[0], Instant::now());
        scheduler.unlinked(NodeId(2), Instant::now());
        assert_eq!(
            scheduler.schedule(&state)[0].node,
            NodeId(1),
            "alone, it tries again itself"
        );
    }

    #[test]
    fn a_node_without_blender_gets_the_encode_only() {
        let mut state = state_with_nodes(2);
        let job = add_job(&mut state, 10, "1-2");
        let mut scheduler = Scheduler::new(&state, Instant::now());
        let encodes = Capacity {
            render_slots: 0,
            can_encode: true,
            asks: false,
        };
        scheduler.linked(NodeId(2), encodes);
        assert_eq!(scheduler.schedule(&state), []);
        scheduler.linked(
            NodeId(1),
            Capacity {
                render_slots: 1,
                can_encode: false,
                asks: false,
            },
        );
        let decided = scheduler.schedule(&state);
        carry_out(&mut scheduler, &mut state, &decided);
        for index in 0..2 {
            commit(&mut state, TaskId { job, index }, Epoch(1));
        }
        for index in 0..3 {
            scheduler.task_changed(&state, TaskId { job, index }, Instant::now());
        }
        let decided = scheduler.schedule(&state);
        assert_eq!(
            (decided[0].node, indexes(&decided[0])),
            (NodeId(2), vec![2])
        );
    }

    #[test]
    fn a_node_that_is_gone_keeps_its_leases_for_their_time_and_no_longer() {
        let mut state = state_with_nodes(2);
        let job = add_job(&mut state, 10, "1-1");
        let start = Instant::now();
        let mut scheduler = Scheduler::new(&state, start);
        scheduler.linked(NodeId(1), RENDERS);
        let decided = scheduler.schedule(&state);
        carry_out(&mut scheduler, &mut state, &decided);
        scheduler.unlinked(NodeId(1), start);
        assert_eq!(scheduler.expired(&state, start + LEASE_TIME / 2), []);
        let expired = scheduler.expired(&state, start + LEASE_TIME);
        let task = TaskId { job, index: 0 };
        assert_eq!(expired[0].leases, [(task, Epoch(1))]);

        let ended = Action::LeasesEnded {
            leases: expired[0].leases.clone(),
            reason: LeaseEnd::NodeLost,
        };
        apply(&mut state, 30, ended).expect("ended");
        scheduler.task_changed(&state, task, Instant::now());
        scheduler.linked(NodeId(2), RENDERS);
        assert_eq!(scheduler.schedule(&state)[0].leases, [(task, Epoch(2))]);
    }

    #[test]
    fn a_lease_of_a_node_that_was_never_linked_ends_too() {
        let mut state = state_with_nodes(2);
        let job = add_job(&mut state, 10, "1-1");
        let start = Instant::now();
        let mut scheduler = Scheduler::new(&state, start);
        // Proposed by an earlier leader, applied under this one; node 2 died in between.
        let task = TaskId { job, index: 0 };
        let leased = Action::TasksLeased {
            node: NodeId(2),
            leases: vec![(task, Epoch(1))],
        };
        apply(&mut state, 20, leased).expect("a lease");
        scheduler.task_changed(&state, task, start);
        let expired = scheduler.expired(&state, start + LEASE_TIME);
        assert_eq!(expired[0].leases, [(task, Epoch(1))]);
    }

    #[test]
    fn a_lease_that_a_linked_runner_cannot_hold_ends() {
        let mut state = state_with_nodes(1);
        let job = add_job(&mut state, 10, "1-1");
        let start = Instant::now();
        let mut scheduler = Scheduler::new(&state, start);
        scheduler.linked(NodeId(1), RENDERS);
        let decided = scheduler.schedule(&state);
        carry_out(&mut scheduler, &mut state, &decided);
        let task = TaskId { job, index: 0 };
        let lease = (task, Epoch(1));
        let mut held = |holding: &[(TaskId, Epoch)], now| {
            scheduler.held(&state, NodeId(1), holding, now).leases
        };
        assert_eq!(held(&[], start), []);
        assert_eq!(held(&[lease], start + UNHELD_TIME), []);
        let later = start + UNHELD_TIME * 2;
        assert_eq!(held(&[], later), [], "the time starts anew");
        assert_eq!(held(&[], later + UNHELD_TIME), [lease]);
    }

    #[test]
    fn a_new_leader_gives_known_runners_the_time_of_a_lease_to_come_back() {
        let mut state = state_with_nodes(2);
        add_job(&mut state, 10, "1-2");
        let start = Instant::now();
        let mut old = Scheduler::new(&state, start);
        old.linked(NodeId(2), RENDERS);
        let decided = old.schedule(&state);
        carry_out(&mut old, &mut state, &decided);

        let mut new = Scheduler::new(&state, start);
        assert_eq!(new.expired(&state, start), []);
        assert_eq!(new.expired(&state, start + LEASE_TIME).len(), 1);
        new.linked(NodeId(2), RENDERS);
        assert_eq!(new.expired(&state, start + LEASE_TIME), []);
        assert_eq!(new.leases_of(&state, NodeId(2)).len(), 2);
    }
}
