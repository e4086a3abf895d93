//! The two standing conversations of an HTTP runner: it says how it is, and it asks for tasks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use jiggablend_raft::{Epoch, TaskId};
use reqwest::{Method, StatusCode};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::farm::{AskError, CALL_TIMEOUT, Farm, PAUSE};
use super::home::Home;
use super::messages::{Facts, Heartbeat, HeartbeatAnswer, Holding, Lease, Task, Tasks};
use super::outbox::HttpOutbox;
use crate::runner::Runner;

/// How often it says how it is: while it works, and while it waits for work.
const BUSY_INTERVAL: Duration = Duration::from_secs(1);
const IDLE_INTERVAL: Duration = Duration::from_secs(2);
/// A farm that does not know this runner any more is asked again for so long: the node that
/// answered may only have been behind.
const UNKNOWN_PATIENCE: Duration = Duration::from_secs(20);
/// How long a node lets the runner wait for its next tasks.
const TASK_WAIT: Duration = Duration::from_secs(10);
/// One task more than its slots, so that the next scene arrives while the current frame renders.
const TASKS_AHEAD: usize = 1;
/// How often a runner without room looks whether it has some.
const ROOM_LOOK: Duration = Duration::from_millis(50);
/// A stopping runner tries this long to give its leases back.
const RELEASE_TIME: Duration = Duration::from_secs(3);

pub(super) struct Work {
    pub(super) farm: Farm,
    pub(super) runner: Runner,
    pub(super) outbox: Arc<HttpOutbox>,
    pub(super) home: Home,
}

impl Work {
    /// Works until `stop`, or until the farm does not know this runner any more.
    pub(super) async fn run(&self, stop: CancellationToken) -> anyhow::Result<()> {
        tokio::select! {
            ended = self.say_how_it_is() => ended,
            never = self.take_tasks() => never,
            () = stop.cancelled() => Ok(()),
        }
    }

    async fn say_how_it_is(&self) -> anyhow::Result<()> {
        let facts = Facts::of(&self.runner.facts());
        // What it can do may have changed since it registered.
        let mut news = Some(facts);
        let mut unknown_since: Option<Instant> = None;
        loop {
            let heartbeat = self.heartbeat(news.clone());
            let answered: Result<HeartbeatAnswer, AskError> =
                self.farm.post("/api/runner/heartbeat", &heartbeat).await;
            match answered {
                Ok(answer) => {
                    news = None;
                    unknown_since = None;
                    self.obey(&answer);
                }
                Err(AskError::Refused(problem)) if problem.status == StatusCode::UNAUTHORIZED => {
                    let since = *unknown_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > UNKNOWN_PATIENCE {
                        bail!(
                            "the farm does not know this runner any more; register again with a new token and another --data directory"
                        );
                    }
                }
                Err(error) => warn!("the farm was not told that this runner is there: {error}"),
            }
            let pause = match self.runner.holding().is_empty() {
                true => IDLE_INTERVAL,
                false => BUSY_INTERVAL,
            };
            sleep(pause).await;
        }
    }

    fn heartbeat(&self, facts: Option<Facts>) -> Heartbeat {
        let holding = self.runner.holding();
        let holding = holding.into_iter().map(|lease| {
            let progress = self.outbox.progress_of(lease);
            Holding {
                lease: Lease::of(lease),
                fraction: progress.as_ref().and_then(|progress| progress.fraction),
                text: progress.map(|progress| progress.text),
            }
        });
        Heartbeat {
            holding: holding.collect(),
            released: Vec::new(),
            slots: self.runner.facts().slots.max(1),
            facts,
        }
    }

    fn obey(&self, answer: &HeartbeatAnswer) {
        for (task, epoch) in answer.revoked.iter().filter_map(Lease::read) {
            info!(%task, "a lease is over; its work stops");
            self.runner.revoke(task, epoch);
        }
        if answer.nodes.is_empty() {
            return;
        }
        self.farm.learned(&answer.nodes);
        let mut urls = self.farm.urls();
        // Kept in one order, so that a change of node is no reason to write.
        urls.sort();
        if let Err(error) = self.home.keep_urls(&urls) {
            warn!("{error:#}");
        }
    }

    async fn take_tasks(&self) -> anyhow::Result<()> {
        loop {
            let room = self.room();
            if room == 0 {
                sleep(ROOM_LOOK).await;
                continue;
            }
            match self.next_tasks(room).await {
                Ok(tasks) => {
                    for assignment in tasks.into_iter().map(Task::into_assignment) {
                        self.runner.assign(assignment);
                    }
                }
                Err(error) => {
                    warn!("no tasks from the farm: {error}");
                    sleep(PAUSE).await;
                }
            }
        }
    }

    /// How many more tasks it takes.
    fn room(&self) -> usize {
        let facts = self.runner.facts();
        if facts.blender_version.is_none() && facts.ffmpeg.is_none() {
            return 0;
        }
        let wanted = facts.slots.max(1) as usize + TASKS_AHEAD;
        wanted.saturating_sub(self.runner.holding().len())
    }

    async fn next_tasks(&self, max: usize) -> Result<Vec<Task>, AskError> {
        let wait = TASK_WAIT.as_secs();
        let path = format!("/api/runner/tasks?max={}&wait_seconds={wait}", max.min(64));
        let tasks: Tasks = self
            .farm
            .call(|url| {
                let request = self.farm.request(Method::GET, url, &path);
                request.timeout(TASK_WAIT + CALL_TIMEOUT)
            })
            .await?;
        Ok(tasks.tasks)
    }

    /// Gives leases back that this runner does not work on any more. The leader would find out by
    /// itself, later.
    pub(super) async fn give_back(&self, leases: Vec<(TaskId, Epoch)>) {
        if leases.is_empty() {
            return;
        }
        let heartbeat = Heartbeat {
            holding: Vec::new(),
            released: leases.into_iter().map(Lease::of).collect(),
            slots: self.runner.facts().slots.max(1),
            facts: None,
        };
        let released = self
            .farm
            .post::<HeartbeatAnswer>("/api/runner/heartbeat", &heartbeat);
        match timeout(RELEASE_TIME, released).await {
            Ok(Ok(_)) => info!("this runner's leases were given back"),
            Ok(Err(error)) => warn!("cannot give this runner's leases back: {error}"),
            Err(_) => warn!("cannot give this runner's leases back: the farm does not answer"),
        }
    }
}
