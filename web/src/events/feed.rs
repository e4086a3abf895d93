//! One feed a node: hears of the log, of progress and of leaders, and renders each event once for
//! all streams.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use jiggablend_raft::{Applied, Change, JobId, JobLog, Leadership, NodeId, State, TaskId, UserId};
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, watch};
use tokio::time::Instant;

use super::event::{Event, Place};
use super::render::{change_events, progress_event};
use super::ring::{GoOn, Look, Ring, Sequence};
use crate::app::App;
use crate::{LiveBoard, TaskProgress};

/// What the log says goes out at once when it was quiet this long, and else is gathered so long.
const GATHER: Duration = Duration::from_millis(50);
/// Progress is held back this long, so that a stream sends at most four digests a second.
const PROGRESS_EACH: Duration = Duration::from_millis(250);

/// What the streams share.
pub(crate) struct Feed {
    ring: RwLock<Ring>,
    /// Follows the ring's end.
    end: watch::Sender<Sequence>,
}

impl Feed {
    fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of the next event, and the log entry up to which everything is published.
    pub(super) fn now(&self) -> (Sequence, u64) {
        let ring = self.ring();
        (ring.end(), ring.published())
    }

    pub(super) fn at(&self, place: Sequence) -> Look {
        self.ring().at(place)
    }

    pub(super) fn go_on(&self, position: u64) -> GoOn {
        self.ring().go_on(position)
    }

    /// Tells of new events.
    pub(super) fn watch(&self) -> watch::Receiver<Sequence> {
        self.end.subscribe()
    }

    fn publish(&self, events: impl IntoIterator<Item = Event>, published: Option<u64>) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            ring.push(event);
        }
        if let Some(index) = published {
            ring.set_published(index);
        }
        let end = ring.end();
        drop(ring);
        self.end
            .send_if_modified(|known| std::mem::replace(known, end) != end);
    }
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

/// Says that the client must read everything anew.
pub(super) fn reset_event(index: u64) -> Event {
    Event::plain(Place::Reset { index }, "reset", &ResetEvent { index })
}

pub(super) fn leader_event(leadership: &Leadership) -> Event {
    let data = LeaderEvent {
        leader: leadership.leader,
        term: leadership.term,
    };
    Event::plain(Place::Passing, "leader", &data)
}

/// The task that fills the feed.
pub(crate) struct Feeder {
    feed: Arc<Feed>,
    applied: broadcast::Receiver<Arc<Applied>>,
    leadership: watch::Receiver<Leadership>,
    progress: broadcast::Receiver<Arc<Vec<TaskProgress>>>,
    /// Everything up to this entry is published or gathered.
    position: u64,
    gathered: Vec<Arc<Applied>>,
    changes_due: Option<Instant>,
    /// When changes went out last.
    told_at: Option<Instant>,
    held_progress: BTreeMap<TaskId, TaskProgress>,
    progress_due: Option<Instant>,
}

/// What the feed woke up for.
enum Woken {
    Leader,
    ChangesDue,
    ProgressDue,
    Applied(Result<Arc<Applied>, RecvError>),
    Progress(Result<Arc<Vec<TaskProgress>>, RecvError>),
}

impl Feeder {
    pub(crate) fn new(log: &JobLog, live: &LiveBoard) -> Self {
        // First subscribe, then look: what comes between is heard twice and told once.
        let applied = log.subscribe();
        let position = log.applied_index();
        let feed = Feed {
            ring: RwLock::new(Ring::after(position)),
            end: watch::Sender::new(0),
        };
        Self {
            feed: Arc::new(feed),
            applied,
            leadership: log.leadership(),
            progress: live.subscribe(),
            position,
            gathered: Vec::new(),
            changes_due: None,
            told_at: None,
            held_progress: BTreeMap::new(),
            progress_due: None,
        }
    }

    pub(crate) fn feed(&self) -> Arc<Feed> {
        self.feed.clone()
    }

    /// Runs until the web port stops, or the log does.
    pub(crate) async fn run(mut self, app: App) {
        self.leadership.mark_unchanged();
        loop {
            let woken = tokio::select! {
                () = app.stop.cancelled() => break,
                woken = self.wait() => woken,
            };
            match woken {
                Woken::Leader => {
                    let leadership = *self.leadership.borrow_and_update();
                    self.feed.publish([leader_event(&leadership)], None);
                }
                Woken::ChangesDue => self.tell_changes(&app).await,
                Woken::ProgressDue => self.tell_progress(&app),
                Woken::Applied(Ok(applied)) => self.gather(applied),
                Woken::Applied(Err(RecvError::Lagged(_))) => self.catch_up(&app.log),
                Woken::Applied(Err(RecvError::Closed)) => break,
                Woken::Progress(Ok(digest)) => self.hold(&digest),
                // Newer words of the same tasks come.
                Woken::Progress(Err(RecvError::Lagged(_))) => {}
                Woken::Progress(Err(RecvError::Closed)) => break,
            }
        }
        // The streams look up, see that the port stops, and end.
        self.feed.end.send_modify(|_| {});
    }

    async fn wait(&mut self) -> Woken {
        tokio::select! {
            biased;
            Ok(()) = self.leadership.changed() => Woken::Leader,
            () = until(self.changes_due) => Woken::ChangesDue,
            () = until(self.progress_due) => Woken::ProgressDue,
            applied = self.applied.recv() => Woken::Applied(applied),
            digest = self.progress.recv() => Woken::Progress(digest),
        }
    }

    fn gather(&mut self, applied: Arc<Applied>) {
        if applied.index <= self.position {
            return;
        }
        self.position = applied.index;
        self.gathered.push(applied);
        if self.changes_due.is_none() {
            let now = Instant::now();
            self.changes_due = Some(self.told_at.map_or(now, |told| now.max(told + GATHER)));
        }
    }

    /// Takes what the log kept of what was not heard in time.
    fn catch_up(&mut self, log: &JobLog) {
        let newest = log.applied_index();
        match log.applied_since(self.position) {
            Some(missed) => missed.into_iter().for_each(|applied| self.gather(applied)),
            None => {
                tracing::warn!(
                    index = newest,
                    "live events fell behind the log; clients read anew"
                );
                self.position = newest;
                self.gathered.clear();
                self.changes_due = None;
                self.feed.publish([reset_event(newest)], Some(newest));
            }
        }
    }

    async fn tell_changes(&mut self, app: &App) {
        self.changes_due = None;
        self.told_at = Some(Instant::now());
        // What came in the meantime goes with it.
        while let Ok(applied) = self.applied.try_recv() {
            self.gather(applied);
        }
        self.changes_due = None;
        let gathered = std::mem::take(&mut self.gathered);
        let Some(newest) = gathered.last().map(|applied| applied.index) else {
            return;
        };
        let (_, published) = self.feed.now();
        let entries = gathered.iter().map(Arc::as_ref);
        let events = change_events(app, published, entries).await;
        for (job, user) in unshared(app, &gathered) {
            self.feed.ring().unshare(job, user);
        }
        self.feed.publish(events, Some(newest));
    }

    fn hold(&mut self, digest: &[TaskProgress]) {
        for progress in digest {
            self.held_progress.insert(progress.task, progress.clone());
        }
        if self.progress_due.is_none() {
            self.progress_due = Some(Instant::now() + PROGRESS_EACH);
        }
    }

    fn tell_progress(&mut self, app: &App) {
        self.progress_due = None;
        let held = std::mem::take(&mut self.held_progress);
        let event = app.log.read(|state| progress_event(state, held.values()));
        self.feed.publish(event, None);
    }
}

/// Jobs that the entries took from users.
fn unshared(app: &App, entries: &[Arc<Applied>]) -> Vec<(JobId, UserId)> {
    let changes = entries.iter().flat_map(|entry| &entry.changes);
    let unshared = changes.filter_map(|change| match *change {
        Change::Unshared(job, user) => Some((job, user)),
        _ => None,
    });
    let is_shared = |state: &State, job: JobId, user: UserId| {
        let job = state.jobs.get(&job);
        job.is_some_and(|job| job.shares.contains_key(&user))
    };
    // It may be shared anew by now.
    app.log.read(|state| {
        unshared
            .filter(|(job, user)| !is_shared(state, *job, *user))
            .collect()
    })
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}

/// Entries that one client missed and that the ring no longer has: read from the log for it
/// alone.
pub(super) struct Missed {
    entries: VecDeque<Arc<Applied>>,
}

/// Entries that are told in one event while a client catches up.
const CATCH_UP_ENTRIES: usize = 256;

impl Missed {
    /// The entries after `position` up to `until`; `None` where the log no longer has them all.
    pub(super) fn read(log: &JobLog, position: u64, until: u64) -> Option<Self> {
        let mut entries = VecDeque::from(log.applied_since(position)?);
        let wanted = entries.partition_point(|applied| applied.index <= until);
        entries.truncate(wanted);
        Some(Self { entries })
    }

    /// The next events, and the entry up to which they tell; `None` when all was told.
    pub(super) async fn next_events(
        &mut self,
        app: &App,
        position: u64,
    ) -> Option<(Vec<Event>, u64)> {
        let count = self.entries.len().min(CATCH_UP_ENTRIES);
        let entries: Vec<_> = self.entries.drain(..count).collect();
        let newest = entries.last()?.index;
        let entries = entries.iter().map(Arc::as_ref);
        Some((change_events(app, position, entries).await, newest))
    }
}
