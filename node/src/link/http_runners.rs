//! What this node hears on its web port of runners that speak only HTTP, on its way to the leader.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiggablend_raft::NodeId;
use jiggablend_web::{RunnerCondition, RunnerGateway};
use tokio::sync::Notify;

/// Word that is older says nothing of how a runner is: it may talk to another node by now.
const FRESH_FOR: Duration = Duration::from_secs(4);

/// The newest word of each runner. The web port writes it, the link reads it. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct HttpRunners(Arc<Shared>);

#[derive(Default)]
struct Shared {
    heard: Mutex<BTreeMap<NodeId, Word>>,
    changed: Notify,
}

struct Word {
    condition: RunnerCondition,
    at: Instant,
    is_said: bool,
}

impl HttpRunners {
    /// Resolves when there is word that the leader has not been told.
    pub(crate) async fn changed(&self) {
        self.0.changed.notified().await;
    }

    /// The word that the leader has not been told; it counts as told now.
    pub(crate) fn take_unsaid(&self) -> Vec<RunnerCondition> {
        let mut unsaid = Vec::new();
        for word in self.words().values_mut().filter(|word| !word.is_said) {
            word.is_said = true;
            unsaid.push(word.condition.clone());
            // What a frame's progress was is nothing to say twice.
            word.condition.progress.clear();
        }
        unsaid
    }

    /// Another leader is to be told of all runners that talk to this node.
    pub(crate) fn say_again(&self) {
        let now = Instant::now();
        let mut heard = self.words();
        heard.retain(|_, word| now.duration_since(word.at) < FRESH_FOR);
        for word in heard.values_mut() {
            word.is_said = false;
        }
        if !heard.is_empty() {
            self.0.changed.notify_one();
        }
    }

    fn take_in(&self, mut condition: RunnerCondition, now: Instant) {
        let mut heard = self.words();
        if let Some(older) = heard.get_mut(&condition.runner)
            && condition.progress.is_empty()
        {
            condition.progress = std::mem::take(&mut older.condition.progress);
        }
        let word = Word {
            at: now,
            is_said: false,
            condition,
        };
        heard.insert(word.condition.runner, word);
        self.0.changed.notify_one();
    }

    fn words(&self) -> MutexGuard<'_, BTreeMap<NodeId, Word>> {
        // Each change of it is one step: it is whole whatever happened to its last user.
        self.0.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RunnerGateway for HttpRunners {
    fn heard(&self, condition: RunnerCondition) {
        self.take_in(condition, Instant::now());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiggablend_raft::{Epoch, JobId, TaskId};
    use jiggablend_web::TaskProgress;

    use super::*;

    fn condition(runner: u64, render_slots: u32, progress: Vec<TaskProgress>) -> RunnerCondition {
        RunnerCondition {
            runner: NodeId(runner),
            holding: Vec::new(),
            render_slots,
            can_encode: false,
            progress,
        }
    }

    fn progress(runner: u64) -> TaskProgress {
        TaskProgress {
            task: TaskId {
                job: JobId::new(),
                index: 0,
            },
            epoch: Epoch(1),
            node: NodeId(runner),
            fraction: Some(0.5),
            text: "Sample 1/2".into(),
        }
    }

    #[tokio::test]
    async fn the_leader_is_told_the_newest_word_once_and_no_progress_is_lost() {
        let runners = HttpRunners::default();
        runners.heard(condition(7, 1, vec![progress(7)]));
        runners.heard(condition(7, 2, Vec::new()));
        runners.changed().await;
        let said = runners.take_unsaid();
        assert_eq!(said.len(), 1);
        assert_eq!((said[0].render_slots, said[0].progress.len()), (2, 1));
        assert_eq!(runners.take_unsaid(), []);
    }

    #[tokio::test]
    async fn another_leader_is_told_of_those_that_talk_to_this_node_now() {
        let runners = HttpRunners::default();
        let now = Instant::now();
        let long_ago = now.checked_sub(FRESH_FOR * 2).unwrap();
        runners.take_in(condition(7, 1, vec![progress(7)]), now);
        runners.take_in(condition(8, 1, Vec::new()), long_ago);
        runners.changed().await;
        assert_eq!(runners.take_unsaid().len(), 2);
        runners.say_again();
        runners.changed().await;
        assert_eq!(runners.take_unsaid(), [condition(7, 1, Vec::new())]);
    }
}
