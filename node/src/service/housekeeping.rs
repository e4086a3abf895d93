//! Follows the job log and keeps what hangs on it: who is a member, what is still running.

use jiggablend_raft::{Applied, Change, JobLog, NodeId, TaskId, TaskState};
use jiggablend_transfer::{Member, Mesh};
use jiggablend_web::LiveBoard;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use crate::admission::dial_addresses;

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
        self.set_members();
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                () = stop.cancelled() => return,
            };
            match event {
                Ok(applied) => self.on_applied(&applied),
                Err(RecvError::Lagged(_)) => {
                    self.set_members();
                    self.forget_what_ended();
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn on_applied(&self, applied: &Applied) {
        for change in &applied.changes {
            match *change {
                Change::Node(_) => self.set_members(),
                Change::Task(task) => self.forget_if_ended(task),
                Change::Job(_)
                | Change::Unshared(..)
                | Change::File(..)
                | Change::Revoked(..)
                | Change::Delivery(_) => {}
            }
        }
    }

    fn set_members(&self) {
        let mut members: Vec<Member> = self.log.read(|state| {
            state
                .mesh_members()
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
