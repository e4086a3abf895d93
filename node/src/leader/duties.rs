//! The leader's duties while it leads: hears, decides by the pure parts, and carries out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiggablend_raft::{
    Action, Actor, Applied, Change, Command, Epoch, JobLog, LeaseEnd, NodeId, State, TaskId,
};
use jiggablend_web::{RunnerCondition, TaskProgress};
use tokio::sync::{broadcast, mpsc};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::assignment::{assignment, leased_epoch};
use super::group::Group;
use super::http_runners::HttpRunnersThere;
use super::scheduler::{Capacity, NewLeases};
use super::session::{Heard, Session, SessionId};
use super::{Deliveries, Scheduler, plan_group};
use crate::link::{Arrival, Condition, Hello, Switchboard, ToLeader, ToNode};

/// How often progress goes out to the nodes, and how often time is looked at.
const TICK: Duration = Duration::from_millis(250);

/// Every node hears of the leader at least once in so many ticks.
const TICKS_BETWEEN_SIGNS_OF_LIFE: u32 = 4;

/// Nodes that are kept waiting while this node becomes the leader.
const MAX_EARLY_ARRIVALS: usize = 1024;

/// Members still talk so long to a node that was removed, so that it learns of it from the log.
pub(crate) const FAREWELL: Duration = Duration::from_secs(2);

/// The group is looked at again after so many ticks, for nodes that were slow to catch up.
const TICKS_BETWEEN_GROUP_CHECKS: u32 = 8;

/// Expired sessions and tickets are dropped this often.
const TICKS_BETWEEN_CLEANINGS: u32 = 4 * 60 * 10;

/// The leader's duties of this node: at rest while another node leads.
pub(crate) struct Duties {
    pub(crate) node: NodeId,
    pub(crate) log: JobLog,
    pub(crate) switchboard: Switchboard,
    pub(crate) arrivals: mpsc::Receiver<Arrival>,
    /// Webhooks may reach what runs on this machine, for tests.
    pub(crate) webhooks_to_this_machine: bool,
}

impl Duties {
    /// Does the duties whenever this node leads, until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut leadership = self.log.leadership();
        // Nodes may know of a new leader before it is confirmed; they are not turned away.
        let mut early = Vec::new();
        loop {
            let now = *leadership.borrow_and_update();
            if now.leader != Some(self.node) {
                early.clear();
            }
            if now.is_self {
                info!(term = now.term, "this node leads the farm");
                // Subscribed first: what is applied before the scheduler reads the state is told
                // twice, and nothing is missed.
                let events = self.log.subscribe();
                let mut reign = Reign::new(self.log.clone(), self.switchboard.clone());
                for arrival in early.drain(..) {
                    reign.on_arrival(arrival);
                }
                let deliveries = deliver(self.log.clone(), self.webhooks_to_this_machine);
                tokio::select! {
                    () = reign.run(events, &mut self.arrivals) => {}
                    () = deliveries => {}
                    () = until_over(&mut leadership) => info!("this node leads no longer"),
                    () = stop.cancelled() => return,
                }
                continue;
            }
            tokio::select! {
                changed = leadership.changed() => if changed.is_err() { return },
                arrival = self.arrivals.recv() => match arrival {
                    None => return,
                    Some(arrival) if early.len() < MAX_EARLY_ARRIVALS => early.push(arrival),
                    // It will try again.
                    Some(_) => {}
                },
                () = stop.cancelled() => return,
            }
        }
    }
}

/// Sends what webhooks are due; never ends while the log is there.
async fn deliver(log: JobLog, to_this_machine: bool) {
    match Deliveries::new(log, to_this_machine) {
        Ok(deliveries) => deliveries.run().await,
        Err(error) => {
            warn!("webhooks are not served by this node: cannot set up HTTP: {error}");
            std::future::pending().await
        }
    }
}

async fn until_over(leadership: &mut tokio::sync::watch::Receiver<jiggablend_raft::Leadership>) {
    while leadership.borrow_and_update().is_self {
        if leadership.changed().await.is_err() {
            return;
        }
    }
}

/// A runner of the mesh gets its tasks pushed, one ahead of its slots.
fn capacity_of(condition: &Condition) -> Capacity {
    Capacity {
        render_slots: condition.render_slots,
        can_encode: condition.can_encode,
        asks: false,
    }
}

/// What a finished proposal was about.
enum Proposed {
    Leases(NewLeases),
    Other,
    Group,
}

/// One uninterrupted time as leader.
struct Reign {
    log: JobLog,
    switchboard: Switchboard,
    scheduler: Scheduler,
    sessions: BTreeMap<NodeId, Session>,
    /// The runners without a session, since they speak only HTTP, with some node or other.
    http_runners: HttpRunnersThere,
    next_session: u64,
    heard: (mpsc::Sender<Heard>, mpsc::Receiver<Heard>),
    proposals: (mpsc::Sender<Proposed>, mpsc::Receiver<Proposed>),
    /// Proposals for the same thing must not pile up while one is under way.
    ending: BTreeSet<NodeId>,
    group_changes: bool,
    progress: BTreeMap<TaskId, TaskProgress>,
    ticks: u32,
}

impl Reign {
    fn new(log: JobLog, switchboard: Switchboard) -> Self {
        let scheduler = log.read(|state| Scheduler::new(state, Instant::now()));
        Self {
            log,
            switchboard,
            scheduler,
            sessions: BTreeMap::new(),
            http_runners: HttpRunnersThere::default(),
            next_session: 0,
            heard: mpsc::channel(1024),
            proposals: mpsc::channel(256),
            ending: BTreeSet::new(),
            group_changes: false,
            progress: BTreeMap::new(),
            ticks: 0,
        }
    }

    async fn run(
        &mut self,
        mut events: broadcast::Receiver<Arc<Applied>>,
        arrivals: &mut mpsc::Receiver<Arrival>,
    ) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Ok(applied) => self.on_applied(&applied),
                    Err(broadcast::error::RecvError::Lagged(missed)) => {
                        warn!(missed, "the leader's duties fell behind; every link is made anew");
                        self.start_anew();
                    }
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                Some(arrival) = arrivals.recv() => self.on_arrival(arrival),
                Some(heard) = self.heard.1.recv() => self.on_heard(heard),
                Some(proposed) = self.proposals.1.recv() => self.on_proposed(proposed),
                _ = tick.tick() => self.on_tick(),
            }
            self.schedule();
        }
    }

    /// Events were missed, revocations perhaps among them. Each node's next hello sets it right.
    fn start_anew(&mut self) {
        self.sessions.clear();
        self.http_runners = HttpRunnersThere::default();
        let log = self.log.clone();
        self.scheduler = log.read(|state| Scheduler::new(state, Instant::now()));
    }

    fn on_applied(&mut self, applied: &Arc<Applied>) {
        let log = self.log.clone();
        log.read(|state| {
            for change in &applied.changes {
                match *change {
                    Change::Task(task) => self.on_task_changed(state, task),
                    Change::Revoked(task, epoch, node) => {
                        self.order(node, ToNode::Revoke(task, epoch));
                    }
                    Change::Node(node) => self.on_node_changed(state, node),
                    Change::Job(_)
                    | Change::Unshared(..)
                    | Change::File(..)
                    | Change::Delivery(_) => {}
                }
            }
        });
    }

    fn on_task_changed(&mut self, state: &State, task: TaskId) {
        self.scheduler.task_changed(state, task, Instant::now());
        if let Some(node) = self.scheduler.lessee(task) {
            self.push_lease(state, node, task);
        } else {
            self.progress.remove(&task);
        }
    }

    fn on_node_changed(&mut self, state: &State, node: NodeId) {
        if state.nodes.get(&node).is_some_and(|node| node.removed) {
            self.cut(node);
            if self.http_runners.forget(node) {
                self.scheduler.unlinked(node, Instant::now());
            }
        }
        self.check_group();
    }

    fn on_arrival(&mut self, arrival: Arrival) {
        let Hello {
            node, condition, ..
        } = arrival.hello.clone();
        let is_removed = |state: &State| state.nodes.get(&node).is_some_and(|node| node.removed);
        if self.log.read(is_removed) {
            return;
        }
        debug!(%node, holding = condition.holding.len(), "a node is linked");
        self.next_session += 1;
        let id = SessionId(self.next_session);
        let session = Session::start(id, arrival, self.switchboard.clone(), self.heard.0.clone());
        self.sessions.insert(node, session);
        self.set_right(node, capacity_of(&condition), &condition.holding);
        self.check_group();
    }

    /// A member says what it hears of a runner that speaks only HTTP. Which member that is may
    /// change at any time; the newest word counts.
    fn on_http_runner(&mut self, heard: RunnerCondition) {
        let RunnerCondition {
            runner,
            holding,
            render_slots,
            can_encode,
            progress,
        } = heard;
        // A member may speak for such runners, and for no other node.
        let speaks_http = self.log.read(|state| {
            let node = state.nodes.get(&runner);
            node.is_some_and(|node| !node.removed && node.peer_id().is_none())
        });
        if !speaks_http {
            debug!(%runner, "a member spoke for a node that speaks for itself");
            return;
        }
        if self.http_runners.heard(runner, Instant::now()) {
            debug!(%runner, holding = holding.len(), "an HTTP runner is there");
        }
        // It asks for its tasks and reads in the state what became of its leases: nothing is
        // pushed to it.
        let capacity = Capacity {
            render_slots,
            can_encode,
            asks: true,
        };
        self.set_right(runner, capacity, &holding);
        for news in progress {
            let news = TaskProgress {
                node: runner,
                ..news
            };
            self.progress.insert(news.task, news);
        }
    }

    /// Makes the runner hold the leases that the state says it has, and no others. An order may
    /// be on its way already: saying it twice does no harm.
    fn set_right(&mut self, node: NodeId, capacity: Capacity, holding: &[(TaskId, Epoch)]) {
        self.scheduler.linked(node, capacity);
        let log = self.log.clone();
        log.read(|state| {
            for (task, epoch) in holding {
                if leased_epoch(state, node, *task) != Some(*epoch) {
                    self.order(node, ToNode::Revoke(*task, *epoch));
                }
            }
            self.push_all_leases(state, node, holding);
        });
        let overdue = log.read(|state| self.scheduler.held(state, node, holding, Instant::now()));
        if !overdue.leases.is_empty() {
            let count = overdue.leases.len();
            warn!(%node, count, "a node does not run what it has leases for; they end");
            self.propose_end(overdue, LeaseEnd::NotRunning);
        }
    }

    fn on_heard(&mut self, heard: Heard) {
        let Some(session) = self.sessions.get_mut(&heard.node) else {
            return;
        };
        if session.id != heard.session {
            return;
        }
        session.last_heard = Instant::now();
        match heard.message {
            None => self.cut(heard.node),
            Some(ToLeader::Alive(condition)) => {
                self.set_right(heard.node, capacity_of(&condition), &condition.holding);
            }
            Some(ToLeader::HttpRunner(condition)) => self.on_http_runner(condition),
            Some(ToLeader::Progress(progress)) => {
                let news = TaskProgress {
                    task: progress.task,
                    epoch: progress.epoch,
                    node: heard.node,
                    fraction: progress.fraction,
                    text: progress.text,
                };
                self.progress.insert(news.task, news);
            }
        }
    }

    fn on_proposed(&mut self, proposed: Proposed) {
        match proposed {
            Proposed::Leases(leases) => {
                let log = self.log.clone();
                log.read(|state| {
                    self.scheduler
                        .proposal_ended(state, &leases, Instant::now());
                });
                self.ending.remove(&leases.node);
            }
            Proposed::Group => self.group_changes = false,
            Proposed::Other => {}
        }
    }

    fn on_tick(&mut self) {
        self.ticks = self.ticks.wrapping_add(1);
        for runner in self.http_runners.take_silent(Instant::now()) {
            debug!(%runner, "an HTTP runner is heard of no more");
            self.scheduler.unlinked(runner, Instant::now());
        }
        let expired = self
            .log
            .read(|state| self.scheduler.expired(state, Instant::now()));
        for leases in expired {
            warn!(node = %leases.node, count = leases.leases.len(), "a node is gone; its leases end");
            self.propose_end(leases, LeaseEnd::NodeLost);
        }
        if !self.progress.is_empty() || self.ticks.is_multiple_of(TICKS_BETWEEN_SIGNS_OF_LIFE) {
            self.tell_everyone();
        }
        if self.ticks.is_multiple_of(TICKS_BETWEEN_GROUP_CHECKS) {
            self.check_group();
        }
        if self.ticks.is_multiple_of(TICKS_BETWEEN_CLEANINGS) {
            self.propose(Action::ExpiredRemoved, Proposed::Other);
        }
    }

    fn schedule(&mut self) {
        let decided = self.log.read(|state| self.scheduler.schedule(state));
        for new in decided {
            let action = Action::TasksLeased {
                node: new.node,
                leases: new.leases.clone(),
            };
            self.propose(action, Proposed::Leases(new));
        }
    }

    /// The nodes hear of progress on the whole farm and of who is linked.
    fn tell_everyone(&mut self) {
        let news = ToNode::Live {
            progress: std::mem::take(&mut self.progress).into_values().collect(),
            connected: self
                .sessions
                .keys()
                .copied()
                .chain(self.http_runners.ids())
                .collect(),
        };
        for session in self.sessions.values() {
            session.inform(news.clone());
        }
    }

    fn push_lease(&mut self, state: &State, node: NodeId, task: TaskId) {
        if let Some(assignment) = assignment(state, node, task) {
            self.order(node, ToNode::Assign(Box::new(assignment)));
        }
    }

    /// Pushes the node's leases that it does not hold, as after its restart or a change of leader.
    fn push_all_leases(&mut self, state: &State, node: NodeId, holding: &[(TaskId, Epoch)]) {
        for (task, epoch) in state.leases_of(node) {
            if !holding.contains(&(task, epoch)) {
                self.push_lease(state, node, task);
            }
        }
    }

    fn order(&mut self, node: NodeId, order: ToNode) {
        let Some(session) = self.sessions.get(&node) else {
            return;
        };
        if !session.order(order) {
            warn!(%node, "a node does not read what it is told; its link is cut");
            self.cut(node);
        }
    }

    fn cut(&mut self, node: NodeId) {
        if self.sessions.remove(&node).is_some() {
            self.scheduler.unlinked(node, Instant::now());
        }
    }

    fn propose_end(&mut self, ended: NewLeases, reason: LeaseEnd) {
        if self.ending.insert(ended.node) {
            let action = Action::LeasesEnded {
                leases: ended.leases.clone(),
                reason,
            };
            self.propose(action, Proposed::Leases(ended));
        }
    }

    /// Brings the Raft group a step nearer to what it should be, one step at a time.
    fn check_group(&mut self) {
        if self.group_changes {
            return;
        }
        let status = self.log.status();
        let now = Group {
            voters: status.voters,
            standbys: status.standbys,
            is_joint: status.is_joint,
        };
        let linked = self.scheduler.linked_nodes();
        let Some(next) = self.log.read(|state| plan_group(state, &now, &linked)) else {
            return;
        };
        self.group_changes = true;
        let leaves = |node| !next.voters.contains(node) && !next.standbys.contains(node);
        let somebody_leaves = now.voters.iter().chain(&now.standbys).any(leaves);
        let (log, ended) = (self.log.clone(), self.proposals.0.clone());
        tokio::spawn(async move {
            if somebody_leaves {
                tokio::time::sleep(FAREWELL).await;
            }
            info!(voters = ?next.voters, standbys = ?next.standbys, "changing the Raft group");
            if let Err(error) = log.set_group(next.voters, next.standbys).await {
                warn!("{error}");
            }
            // The duties may have ended meanwhile.
            let _ = ended.send(Proposed::Group).await;
        });
    }

    /// Proposes in a task of its own: the duties go on meanwhile.
    fn propose(&self, action: Action, about: Proposed) {
        let (log, ended) = (self.log.clone(), self.proposals.0.clone());
        tokio::spawn(async move {
            let command = Command::new(Actor::Farm, action);
            if let Err(error) = log.propose(command).await {
                debug!("a proposal of the leader came to nothing: {error}");
            }
            let _ = ended.send(about).await;
        });
    }
}
