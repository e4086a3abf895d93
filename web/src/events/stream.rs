//! One client's stream: what comes next of the feed, and when it ends.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use jiggablend_raft::TimestampMs;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior};

use super::event::{Event, Place};
use super::feed::{Missed, leader_event, reset_event};
use super::ring::{GoOn, Look, Sequence};
use crate::access::Caller;
use crate::app::App;

/// How soon a stream ends after its session, at the latest.
const RECHECK_EACH: Duration = Duration::from_millis(500);
/// So often at least something is sent, that proxies and clients see a live connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
const HEARTBEAT_TEXT: &[u8] = b": heartbeat\n\n";

pub(super) struct EventStream {
    app: App,
    caller: Caller,
    /// The client has seen everything up to this log entry.
    position: u64,
    source: Source,
    feed_end: watch::Receiver<Sequence>,
    leader_was_said: bool,
    recheck: Interval,
    sent_at: Instant,
    _slot: OwnedSemaphorePermit,
}

/// Where the client's next event comes from.
enum Source {
    /// This one of the feed.
    Feed(Sequence),
    /// The log: the feed no longer has what the client missed.
    Log(Box<CatchingUp>),
    /// Neither has it.
    Reset,
}

struct CatchingUp {
    missed: Missed,
    rendered: VecDeque<Event>,
    /// The client has seen everything up to here when `rendered` is empty.
    then_at: u64,
    /// Then the feed goes on.
    until: u64,
}

impl EventStream {
    /// Starts after that entry, or at the newest one.
    pub(super) fn start(
        app: App,
        caller: Caller,
        after: Option<u64>,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        let mut recheck = tokio::time::interval(RECHECK_EACH);
        recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (end, published) = app.feed.now();
        let mut stream = Self {
            position: after.unwrap_or(published),
            source: Source::Feed(end),
            feed_end: app.feed.watch(),
            leader_was_said: false,
            recheck,
            sent_at: Instant::now(),
            app,
            caller,
            _slot: slot,
        };
        if stream.position > stream.app.log.applied_index() {
            // The client has seen what this node never had.
            stream.source = Source::Reset;
        } else if after.is_some() {
            stream.go_on();
        }
        stream
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        futures::stream::unfold(self, |mut stream| async move {
            let bytes = stream.next().await?;
            stream.sent_at = Instant::now();
            Some((Ok(bytes), stream))
        })
    }

    /// What is sent next; `None` when the stream is over.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.app.stop.is_cancelled() || !self.is_still_allowed() {
                return None;
            }
            if !self.leader_was_said {
                self.leader_was_said = true;
                let leadership = *self.app.log.leadership().borrow();
                return leader_event(&leadership).for_caller(&self.caller);
            }
            if let Some(bytes) = self.next_of_source().await {
                return Some(bytes);
            }
            if self.sent_at.elapsed() >= HEARTBEAT {
                return Some(Bytes::from_static(HEARTBEAT_TEXT));
            }
        }
    }

    /// Looks up the caller anew: a session that ended ends its streams, a role that changed
    /// changes what they show.
    fn is_still_allowed(&mut self) -> bool {
        let now = TimestampMs::now();
        let again = self.app.log.read(|state| {
            self.app.in_touch.check_for(&self.caller, state).ok()?;
            self.caller.again(state, now)
        });
        match again {
            Some(caller) => {
                self.caller = caller;
                true
            }
            None => false,
        }
    }

    /// One step: the next event, or `None` where that was none of the caller's or where it was
    /// waited for. Returns often, so that the caller's rights are looked at often.
    async fn next_of_source(&mut self) -> Option<Bytes> {
        match &mut self.source {
            Source::Reset => {
                let (end, _) = self.app.feed.now();
                self.source = Source::Feed(end);
                self.position = self.app.log.applied_index();
                reset_event(self.position).for_caller(&self.caller)
            }
            Source::Log(catching_up) => {
                if let Some(event) = catching_up.rendered.pop_front() {
                    return event.for_caller(&self.caller);
                }
                self.position = catching_up.then_at;
                if !catching_up.render_more(&self.app).await {
                    self.position = self.position.max(catching_up.until);
                    self.go_on();
                }
                None
            }
            Source::Feed(place) => match self.app.feed.at(*place) {
                Look::Event(event) => {
                    *place += 1;
                    self.take(&event)
                }
                Look::NotYet => {
                    self.wait().await;
                    None
                }
                // The client reads too slowly.
                Look::Gone => {
                    self.go_on();
                    None
                }
            },
        }
    }

    /// The feed's event, unless the client has seen what it tells.
    fn take(&mut self, event: &Event) -> Option<Bytes> {
        match event.place {
            Place::Passing => {}
            Place::Reset { index } => self.position = self.position.max(index),
            Place::Changes { index, .. } if index <= self.position => return None,
            Place::Changes { after, index, .. } if after < self.position => {
                self.read_missed(index);
                return None;
            }
            Place::Changes { index, last, .. } => {
                if last {
                    self.position = index;
                }
            }
        }
        event.for_caller(&self.caller)
    }

    /// Finds the place in the feed that comes after the position, or what is missed before it.
    fn go_on(&mut self) {
        match self.app.feed.go_on(self.position) {
            GoOn::At(place) => self.source = Source::Feed(place),
            GoOn::AfterEntry(until) => self.read_missed(until),
        }
    }

    /// Goes on with what the log has after the position, up to entry `until`.
    fn read_missed(&mut self, until: u64) {
        self.source = match Missed::read(&self.app.log, self.position, until) {
            Some(missed) => Source::Log(Box::new(CatchingUp {
                missed,
                rendered: VecDeque::new(),
                then_at: self.position,
                until,
            })),
            None => Source::Reset,
        };
    }

    /// Waits for the feed, for as long as nothing else must be looked at.
    async fn wait(&mut self) {
        tokio::select! {
            // The feed lives as long as the port, and tells when it stops.
            _ = self.feed_end.changed() => {}
            _ = self.recheck.tick() => {}
        }
    }
}

impl CatchingUp {
    /// False when all was rendered.
    async fn render_more(&mut self, app: &App) -> bool {
        match self.missed.next_events(app, self.then_at).await {
            Some((events, newest)) => {
                self.rendered.extend(events);
                self.then_at = newest;
                true
            }
            None => false,
        }
    }
}
