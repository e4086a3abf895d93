//! Says how tasks ended, again and again until the farm has it or refuses it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiggablend_raft::{Epoch, JobId, SceneFacts, TaskId};
use tokio::time::sleep;
use tracing::{info, warn};

use super::farm::{AskError, Farm, PAUSE};
use super::messages::{Completion, End, task_name};
use super::storage::HttpStorage;
use crate::runner::{Outbox, Outcome, Progress};

/// Jobs whose scenes this runner has opened and told of; more are forgotten, and told again.
const MAX_SCENES: usize = 64;

pub(super) struct HttpOutbox {
    farm: Farm,
    storage: Arc<HttpStorage>,
    progress: Mutex<HashMap<(TaskId, Epoch), Progress>>,
    scenes: Mutex<HashMap<JobId, SceneFacts>>,
}

impl HttpOutbox {
    pub(super) fn new(farm: Farm, storage: Arc<HttpStorage>) -> Self {
        Self {
            farm,
            storage,
            progress: Mutex::default(),
            scenes: Mutex::default(),
        }
    }

    /// How far that task was last.
    pub(super) fn progress_of(&self, lease: (TaskId, Epoch)) -> Option<Progress> {
        lock(&self.progress).get(&lease).cloned()
    }

    async fn complete(&self, task: TaskId, completion: Completion) {
        let path = format!("/api/runner/tasks/{}/complete", task_name(task));
        loop {
            let answered: Result<serde_json::Value, AskError> =
                self.farm.post(&path, &completion).await;
            match answered {
                Ok(_) => return,
                Err(AskError::Refused(problem)) => {
                    info!(%task, "the farm refused a result of this runner: {problem}");
                    return;
                }
                Err(AskError::NoAnswer(reason)) => {
                    warn!(%task, "a result of this runner waits for the farm: {reason}");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

#[async_trait]
impl Outbox for HttpOutbox {
    async fn finished(&self, task: TaskId, epoch: Epoch, outcome: Outcome) {
        let (end, log) = match outcome {
            Outcome::Committed {
                output,
                log,
                render_ms,
            } => {
                let Some(output) = self.storage.take_handle(output.id) else {
                    warn!(%task, "what this runner made was not uploaded; the task goes elsewhere");
                    return;
                };
                (End::Output { output, render_ms }, log)
            }
            Outcome::Failed { failure, log } => (End::Failure { failure }, log),
        };
        let log = log.and_then(|log| self.storage.take_handle(log.id));
        let completion = Completion {
            epoch,
            end,
            log,
            scene_facts: lock(&self.scenes).get(&task.job).cloned(),
        };
        self.complete(task, completion).await;
        lock(&self.progress).remove(&(task, epoch));
    }

    async fn inspected(&self, job: JobId, facts: SceneFacts) {
        let mut scenes = lock(&self.scenes);
        if scenes.len() >= MAX_SCENES {
            scenes.clear();
        }
        scenes.insert(job, facts);
    }

    fn progress(&self, progress: Progress) {
        let mut known = lock(&self.progress);
        // Only what a runner holds is asked for; leases that were taken back leave some behind.
        if known.len() >= 1024 {
            known.clear();
        }
        known.insert((progress.task, progress.epoch), progress);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is in them is whole whatever happened to its last user.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
