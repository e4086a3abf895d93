//! Follows the job log and keeps what hangs on it: who is a member, what is still running.

use std::collections::VecDeque;

use jiggablend_raft::{Applied, Change, JobLog, NodeId, State, TaskId, TaskState};
use jiggablend_transfer::{Member, Mesh};
use jiggablend_web::LiveBoard;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admission::dial_addresses;
use crate::leader::FAREWELL;

/// Nodes that were removed just now, and when the mesh is to be closed to them.
#[derive(Default)]
struct Leaving(VecDeque<(Instant, NodeId)>);

impl Leaving {
    fn add(&mut self, node: NodeId) {
        if self.nodes().all(|known| known != node) {
            self.0.push_back((Instant::now() + FAREWELL, node));
        }
    }

    fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.0.iter().map(|(_, node)| *node)
    }

    /// Returns when the first of them has had its time, and forgets it; never where there is
    /// none.
    async fn next_is_gone(&mut self) {
        match self.0.front() {
            Some((at, _)) => tokio::time::sleep_until(*at).await,
            None => std::future::pending().await,
        }
        self.0.pop_front();
    }
}

pub(super) struct Housekeeper {
    pub(super) node: NodeId,
    pub(super) log: JobLog,
    pub(super) mesh: Mesh,
    pub(super) live: LiveBoard,
    /// Members to go by until the log names some.
    pub(super) introduced: Vec<Member>,
}

impl Housekeeper {
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut events = self.log.subscribe();
        let mut leaving = Leaving::default();
        self.set_members(&leaving);
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                () = leaving.next_is_gone() => {
                    self.set_members(&leaving);
                    continue;
                }
                () = stop.cancelled() => return,
            };
            match event {
                Ok(applied) => self.on_applied(&applied, &mut leaving),
                Err(RecvError::Lagged(_)) => {
                    self.set_members(&leaving);
                    self.forget_what_ended();
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn on_applied(&self, applied: &Applied, leaving: &mut Leaving) {
        for change in &applied.changes {
            match *change {
                Change::Node(node) => {
                    let is_removed =
                        |state: &State| state.nodes.get(&node).is_some_and(|node| node.removed);
                    if self.log.read(is_removed) {
                        leaving.add(node);
                    }
                    self.set_members(leaving);
                }
                Change::Task(task) => self.forget_if_ended(task),
                Change::Job(_)
                | Change::Unshared(..)
                | Change::File(..)
                | Change::Revoked(..)
                | Change::Delivery(_) => {}
            }
        }
    }

    fn set_members(&self, leaving: &Leaving) {
        let mut members: Vec<Member> = self.log.read(|state| {
            let leaving = leaving.nodes().filter_map(|node| state.nodes.get(&node));
            state
                .mesh_members()
                .chain(leaving.filter(|node| node.is_in_mesh()))
                .filter(|node| node.id != self.node)
                .filter_map(dial_addresses)
                .map(|(peer, addresses)| Member { peer, addresses })
                .collect()
        });
        let log_has_arrived = self.log.read(|state| state.nodes.contains_key(&self.node));
        if !log_has_arrived {
            members.clone_from(&self.introduced);
        }
        self.mesh.set_members(members);
    }

    fn forget_what_ended(&self) {
        for progress in self.live.progress() {
            self.forget_if_ended(progress.task);
        }
    }

    fn forget_if_ended(&self, id: TaskId) {
        let runs = self.log.read(|state| {
            state
                .task(id)
                .is_some_and(|task| matches!(task.state, TaskState::Leased { .. }))
        });
        if !runs {
            self.live.ended(id);
        }
    }
}
