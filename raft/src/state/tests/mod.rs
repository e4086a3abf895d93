//! The state's rules, one by one, and stories that try to break them.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::*;
use crate::*;

mod jobs;
mod members;
mod stories;

/// A state and a clock; what it is told must not break an invariant.
struct Farm {
    state: State,
    at: u64,
    changes: Vec<Change>,
}

impl Farm {
    fn new() -> Self {
        let mut farm = Self {
            state: State::default(),
            at: 1_000,
            changes: Vec::new(),
        };
        farm.tell_command(&farm_created()).unwrap();
        farm
    }

    /// A farm with a job of these frames and two nodes.
    fn with_job(frames: &str, video: bool) -> Self {
        let mut farm = Self::new();
        farm.join(2);
        farm.tell(job_created(1, video)).unwrap();
        farm.tell(scene_added(1, frames)).unwrap();
        farm
    }

    fn tell_command(&mut self, command: &Command) -> Result<Effect, Refusal> {
        self.changes.clear();
        let before = self.state.clone();
        let result = self.state.apply(command, &mut self.changes);
        check_invariants(&self.state);
        if result.is_err() {
            assert_eq!(self.state, before, "a refused command changes nothing");
            assert!(self.changes.is_empty(), "and tells of nothing");
        }
        result
    }

    fn tell(&mut self, action: Action) -> Result<Effect, Refusal> {
        self.at += 1;
        self.tell_command(&command(self.at, action))
    }

    fn ticket(&mut self, name: &str, reusable: bool) -> SecretHash {
        let ticket = SecretHash::of(name.as_bytes());
        self.tell(Action::TicketCreated {
            ticket,
            roles: new_node(1).roles,
            expires_at: TimestampMs(self.at + 1_000),
            reusable,
        })
        .unwrap();
        ticket
    }

    fn admit(&mut self, ticket: SecretHash, number: u64) -> Result<Effect, Refusal> {
        let node = new_node(number);
        self.tell(Action::NodeAdmitted { ticket, node })
    }

    fn join(&mut self, number: u64) -> NodeId {
        let ticket = self.ticket(&format!("ticket for {number}"), false);
        match self.admit(ticket, number).unwrap() {
            Effect::Admitted(id) => id,
            other => panic!("not admitted: {other:?}"),
        }
    }

    fn lease(&mut self, index: u32, epoch: u32, node: u64) -> Result<Effect, Refusal> {
        self.tell(Action::TasksLeased {
            node: NodeId(node),
            leases: vec![(task_id(1, index), Epoch(epoch))],
        })
    }

    fn commit(&mut self, index: u32, epoch: u32, file: u128) -> Result<Effect, Refusal> {
        let kind = match self.task(index).kind {
            TaskKind::Frame(_) => FileKind::Frame,
            TaskKind::Encode => FileKind::Video,
        };
        self.tell(Action::TaskCommitted {
            task: task_id(1, index),
            epoch: Epoch(epoch),
            output: new_file(file, kind, &[1, 2]),
            log: None,
            render_ms: 10,
        })
    }

    fn fail(&mut self, index: u32, epoch: u32, kind: FailureKind) -> Result<Effect, Refusal> {
        self.tell(Action::TaskFailed {
            task: task_id(1, index),
            epoch: Epoch(epoch),
            failure: Failure {
                kind,
                message: format!("blender left at epoch {epoch}"),
            },
            log: None,
        })
    }

    fn job(&self) -> &Job {
        &self.state.jobs[&job_id(1)]
    }

    fn task(&self, index: u32) -> &Task {
        &self.job().tasks[index as usize]
    }
}
