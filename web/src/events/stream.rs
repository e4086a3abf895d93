//! One client's stream: what comes next, and when it ends.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::Event;
use futures::Stream;
use jiggablend_raft::{Applied, Leadership, NodeId, TaskId, TimestampMs};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::changes::{ChangeView, ProgressView, visible_changes, visible_progress};
use crate::TaskProgress;
use crate::access::Caller;
use crate::app::App;
use crate::views::Nodes;

/// Progress is held back this long, so that a stream sends at most four digests a second.
const PROGRESS_EACH: Duration = Duration::from_millis(250);
/// How soon a stream ends after its session.
const RECHECK_EACH: Duration = Duration::from_secs(1);
/// Entries that are read at once when a client catches up.
const CATCH_UP_ENTRIES: usize = 256;

#[derive(Serialize)]
struct ChangeEvent {
    index: u64,
    changes: Vec<ChangeView>,
}

#[derive(Serialize)]
struct ResetEvent {
    index: u64,
}

#[derive(Serialize)]
struct LeaderEvent {
    leader: Option<NodeId>,
    term: u64,
}

#[derive(Serialize)]
struct ProgressEvent {
    tasks: Vec<ProgressView>,
}

pub(super) struct EventStream {
    app: App,
    caller: Caller,
    /// The index of the newest entry that was sent or passed over.
    position: u64,
    applied: broadcast::Receiver<Arc<Applied>>,
    leadership: watch::Receiver<Leadership>,
    progress: broadcast::Receiver<Arc<Vec<TaskProgress>>>,
    /// Entries that are known and not sent yet.
    backlog: VecDeque<Arc<Applied>>,
    must_catch_up: bool,
    must_say_leader: bool,
    held_progress: BTreeMap<TaskId, TaskProgress>,
    progress_due: Option<Instant>,
    recheck: tokio::time::Interval,
    _slot: OwnedSemaphorePermit,
}

/// What the stream woke up for.
enum Woken {
    Stop,
    Recheck,
    Leader,
    Applied(Result<Arc<Applied>, RecvError>),
    Progress(Result<Arc<Vec<TaskProgress>>, RecvError>),
    ProgressDue,
}

impl EventStream {
    /// Starts after that entry, or at the newest one.
    pub(super) fn start(
        app: App,
        caller: Caller,
        after: Option<u64>,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        // First subscribe, then look: what comes between is seen twice and sent once.
        let applied = app.log.subscribe();
        let mut recheck = tokio::time::interval(RECHECK_EACH);
        recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            position: after.unwrap_or_else(|| app.log.applied_index()),
            applied,
            leadership: app.log.leadership(),
            progress: app.live.subscribe(),
            backlog: VecDeque::new(),
            must_catch_up: true,
            must_say_leader: true,
            held_progress: BTreeMap::new(),
            progress_due: None,
            recheck,
            app,
            caller,
            _slot: slot,
        }
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Event, Infallible>> {
        futures::stream::unfold(self, |mut stream| async move {
            let event = stream.next().await?;
            Some((Ok(event), stream))
        })
    }

    /// The next event; `None` when the stream is over.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if self.app.stop.is_cancelled() || !self.is_still_allowed() {
                return None;
            }
            if let Some(event) = self.ready_event() {
                return Some(event);
            }
            match self.wait().await {
                Woken::Stop => return None,
                Woken::Recheck => {}
                Woken::Leader => self.must_say_leader = true,
                Woken::Applied(Ok(applied)) => self.backlog.push_back(applied),
                Woken::Applied(Err(RecvError::Lagged(_))) => self.must_catch_up = true,
                Woken::Applied(Err(RecvError::Closed)) => return None,
                Woken::Progress(Ok(digest)) => self.hold(&digest),
                // Newer words of the same tasks come.
                Woken::Progress(Err(_)) => {}
                Woken::ProgressDue => {
                    self.progress_due = None;
                    if let Some(event) = self.progress_event() {
                        return Some(event);
                    }
                }
            }
        }
    }

    async fn wait(&mut self) -> Woken {
        let progress_due = self.progress_due;
        let until_progress = async move {
            match progress_due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.app.stop.cancelled() => Woken::Stop,
            Ok(()) = self.leadership.changed() => Woken::Leader,
            applied = self.applied.recv() => Woken::Applied(applied),
            () = until_progress => Woken::ProgressDue,
            digest = self.progress.recv() => Woken::Progress(digest),
            _ = self.recheck.tick() => Woken::Recheck,
        }
    }

    /// Looks up the caller anew: a session that ended ends its streams, a role that changed
    /// changes what they show.
    fn is_still_allowed(&mut self) -> bool {
        let now = TimestampMs::now();
        let again = self.app.log.read(|state| self.caller.again(state, now));
        match again {
            Some(caller) => {
                self.caller = caller;
                true
            }
            None => false,
        }
    }

    /// What can be sent without waiting.
    fn ready_event(&mut self) -> Option<Event> {
        if self.must_say_leader {
            self.must_say_leader = false;
            let leadership = *self.leadership.borrow_and_update();
            let data = LeaderEvent {
                leader: leadership.leader,
                term: leadership.term,
            };
            return Some(event("leader", &data));
        }
        loop {
            if self.must_catch_up
                && self.backlog.is_empty()
                && let Some(reset) = self.catch_up()
            {
                return Some(reset);
            }
            let applied = self.backlog.pop_front()?;
            if applied.index <= self.position {
                continue;
            }
            self.position = applied.index;
            if let Some(event) = self.change_event(&applied) {
                return Some(event);
            }
        }
    }

    /// Fills the backlog with what this node has after the position, or answers a reset where it
    /// no longer has all of it.
    fn catch_up(&mut self) -> Option<Event> {
        let newest = self.app.log.applied_index();
        let missed = match self.app.log.applied_since(self.position) {
            Some(missed) if self.position <= newest => missed,
            _ => {
                self.position = newest;
                self.must_catch_up = false;
                return Some(event("reset", &ResetEvent { index: newest }));
            }
        };
        self.must_catch_up = missed.len() > CATCH_UP_ENTRIES;
        self.backlog
            .extend(missed.into_iter().take(CATCH_UP_ENTRIES));
        None
    }

    fn change_event(&self, applied: &Applied) -> Option<Event> {
        let has_nodes = applied
            .changes
            .iter()
            .any(|change| matches!(change, jiggablend_raft::Change::Node(_)));
        let nodes = has_nodes.then(|| Nodes::new(self.app.log.status(), &self.app.live));
        let changes = self
            .app
            .log
            .read(|state| visible_changes(state, &applied.changes, &self.caller, nodes.as_ref()));
        if changes.is_empty() {
            return None;
        }
        let index = applied.index;
        let data = ChangeEvent { index, changes };
        Some(event("change", &data).id(index.to_string()))
    }

    fn hold(&mut self, digest: &[TaskProgress]) {
        for progress in digest {
            self.held_progress.insert(progress.task, progress.clone());
        }
        if self.progress_due.is_none() {
            self.progress_due = Some(Instant::now() + PROGRESS_EACH);
        }
    }

    fn progress_event(&mut self) -> Option<Event> {
        let held = std::mem::take(&mut self.held_progress);
        let tasks = self
            .app
            .log
            .read(|state| visible_progress(state, held.into_values(), &self.caller));
        (!tasks.is_empty()).then(|| event("progress", &ProgressEvent { tasks }))
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    let event = Event::default().event(name);
    event
        .json_data(data)
        .expect("events are plain structures with text keys")
}
