//! The events of the last while, which all of a node's streams share.

use std::collections::VecDeque;
use std::sync::Arc;

use jiggablend_raft::{JobId, UserId};

use super::event::{Event, Place};

/// Events that are kept.
const MAX_EVENTS: usize = 4096;
/// Memory that the kept events take: some ten seconds of a busy farm.
const MAX_BYTES: usize = 8 << 20;

/// Counts a node's events, whatever they are about.
pub(super) type Sequence = u64;

/// Where a stream goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum GoOn {
    /// With this event of the ring, or the next one that comes.
    At(Sequence),
    /// The ring knows nothing of the log's entries up to this one.
    AfterEntry(u64),
}

/// What the ring has at a place.
pub(super) enum Look {
    Event(Arc<Event>),
    /// It is still to come.
    NotYet,
    /// It was there.
    Gone,
}

pub(super) struct Ring {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    first: Sequence,
    /// The log's entries after this one are in the ring, up to `published`.
    complete_after: u64,
    published: u64,
}

impl Ring {
    pub(super) fn after(index: u64) -> Self {
        Self {
            events: VecDeque::new(),
            bytes: 0,
            first: 0,
            complete_after: index,
            published: index,
        }
    }

    /// The place of the event that comes next.
    pub(super) fn end(&self) -> Sequence {
        self.first + self.events.len() as u64
    }

    /// The newest log entry whose changes are published.
    pub(super) fn published(&self) -> u64 {
        self.published
    }

    /// The entries up to `index` are published with the events that were pushed.
    pub(super) fn set_published(&mut self, index: u64) {
        self.published = index;
    }

    /// Tells that user nothing more of the job.
    pub(super) fn unshare(&self, job: JobId, user: UserId) {
        for event in &self.events {
            event.unshare(job, user);
        }
    }

    /// Forgets all events before a reset: what came with the entries that were missed, such as
    /// that a job is shared with somebody no longer, may concern them.
    fn forget_all(&mut self) {
        self.first = self.end();
        self.events.clear();
        self.bytes = 0;
    }

    pub(super) fn push(&mut self, event: Event) {
        if let Place::Reset { index } = event.place {
            self.forget_all();
            self.complete_after = index;
        }
        self.bytes += event.size_bytes();
        self.events.push_back(Arc::new(event));
        while self.events.len() > MAX_EVENTS || (self.bytes > MAX_BYTES && self.events.len() > 1) {
            let Some(oldest) = self.events.pop_front() else {
                return;
            };
            self.bytes -= oldest.size_bytes();
            self.first += 1;
            match oldest.place {
                Place::Changes { index, .. } | Place::Reset { index } => {
                    self.complete_after = index;
                }
                Place::Passing => {}
            }
        }
    }

    pub(super) fn at(&self, place: Sequence) -> Look {
        let Some(offset) = place.checked_sub(self.first) else {
            return Look::Gone;
        };
        match self.events.get(offset as usize) {
            Some(event) => Look::Event(event.clone()),
            None => Look::NotYet,
        }
    }

    /// Where a stream goes on whose client has seen everything up to log entry `position`.
    pub(super) fn go_on(&self, position: u64) -> GoOn {
        if position < self.complete_after {
            return GoOn::AfterEntry(self.complete_after);
        }
        let is_new = |event: &Arc<Event>| match event.place {
            Place::Changes { index, .. } | Place::Reset { index } => index > position,
            Place::Passing => false,
        };
        match self.events.iter().position(is_new) {
            Some(offset) => GoOn::At(self.first + offset as u64),
            None => GoOn::At(self.end()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(after: u64, index: u64) -> Event {
        let last = true;
        Event::plain(Place::Changes { after, index, last }, "change", &index)
    }

    fn ring() -> Ring {
        let mut ring = Ring::after(10);
        ring.push(changes(10, 13));
        ring.push(Event::plain(Place::Passing, "progress", &0));
        ring.push(changes(13, 20));
        ring.set_published(20);
        ring
    }

    #[test]
    fn a_stream_goes_on_after_what_its_client_has_seen() {
        let ring = ring();
        assert_eq!(ring.go_on(10), GoOn::At(0));
        assert_eq!(ring.go_on(11), GoOn::At(0));
        assert_eq!(ring.go_on(13), GoOn::At(2), "progress is not replayed");
        assert_eq!(ring.go_on(20), GoOn::At(3));
        assert_eq!(ring.go_on(9), GoOn::AfterEntry(10));
    }

    #[test]
    fn old_events_go_and_are_said_to_be_gone() {
        let mut ring = ring();
        for index in 20..20 + MAX_EVENTS as u64 {
            ring.push(changes(index, index + 1));
        }
        assert!(matches!(ring.at(0), Look::Gone));
        assert_eq!(ring.end(), 3 + MAX_EVENTS as u64);
        assert!(matches!(ring.at(ring.end()), Look::NotYet));
        assert_eq!(ring.go_on(13), GoOn::AfterEntry(20));
        assert_eq!(ring.go_on(20), GoOn::At(3));
    }

    #[test]
    fn nothing_from_before_a_reset_is_told() {
        let mut ring = ring();
        ring.push(Event::plain(Place::Reset { index: 90 }, "reset", &90));
        ring.set_published(90);
        assert!(matches!(ring.at(2), Look::Gone));
        assert!(matches!(ring.at(3), Look::Event(_)));
        assert_eq!(ring.go_on(20), GoOn::AfterEntry(90));
        assert_eq!(ring.go_on(90), GoOn::At(4));
    }

    #[test]
    fn the_memory_of_old_events_is_bounded() {
        let mut ring = Ring::after(0);
        let large = "x".repeat(MAX_BYTES / 4);
        for index in 0..9 {
            let (after, last) = (index, true);
            let place = Place::Changes {
                after,
                index: after + 1,
                last,
            };
            ring.push(Event::plain(place, "change", &large));
        }
        assert!(ring.bytes <= MAX_BYTES, "{} bytes", ring.bytes);
        assert_eq!(ring.go_on(0), GoOn::AfterEntry(6));
    }
}
