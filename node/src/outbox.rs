//! Takes the runner's results to the job log.

use std::time::Duration;

use async_trait::async_trait;
use jiggablend_raft::{
    Action, Actor, Command, Epoch, JobId, JobLog, NodeId, ProposeError, SceneFacts, TaskId,
};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::runner::{Outbox, Outcome, Progress};

/// Between two tries to reach a leader. Each try itself waits for elections to end.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// The runner's outbox over the job log and the link.
pub(crate) struct LogOutbox {
    pub(crate) node: NodeId,
    pub(crate) log: JobLog,
    /// To the link; what does not fit is dropped.
    pub(crate) progress: mpsc::Sender<Progress>,
    pub(crate) stop: CancellationToken,
}

impl LogOutbox {
    /// Proposes until the command is applied or refused: a rendered frame is not given up
    /// because the farm has no leader for a while.
    async fn deliver(&self, action: Action) {
        let command = Command::new(Actor::Node(self.node), action);
        loop {
            let proposed = tokio::select! {
                proposed = self.log.propose(command.clone()) => proposed,
                () = self.stop.cancelled() => return,
            };
            match proposed {
                Ok(_) => return,
                Err(ProposeError::Refused(refusal)) => {
                    info!("the job log refused a result of this runner: {refusal}");
                    return;
                }
                Err(ProposeError::Stopped(reason)) => {
                    warn!("a result of this runner stays here: {reason}");
                    return;
                }
                Err(ProposeError::NoLeader(reason)) => {
                    warn!("a result of this runner waits for a leader: {reason}");
                    tokio::select! {
                        () = sleep(RETRY_PAUSE) => {}
                        () = self.stop.cancelled() => return,
                    }
                }
            }
        }
    }
}

#[async_trait]
impl Outbox for LogOutbox {
    async fn finished(&self, task: TaskId, epoch: Epoch, outcome: Outcome) {
        let action = match outcome {
            Outcome::Committed {
                output,
                log,
                render_ms,
            } => Action::TaskCommitted {
                task,
                epoch,
                output,
                log,
                render_ms,
            },
            Outcome::Failed { failure, log } => Action::TaskFailed {
                task,
                epoch,
                failure,
                log,
            },
        };
        self.deliver(action).await;
    }

    async fn inspected(&self, job: JobId, facts: SceneFacts) {
        let is_known = self.log.read(|state| {
            state
                .jobs
                .get(&job)
                .is_some_and(|job| job.scene_facts.is_some())
        });
        if !is_known {
            self.deliver(Action::SceneInspected { job, facts }).await;
        }
    }

    fn progress(&self, progress: Progress) {
        // Progress may be dropped; the next one says more.
        let _ = self.progress.try_send(progress);
    }
}
