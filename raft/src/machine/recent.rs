//! The events of the last while, for those who come back and ask for what they missed.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::Applied;

/// Events that are kept.
const MAX_EVENTS: usize = 65_536;
/// Changes in all kept events: a job of a million frames makes one event with as many.
const MAX_CHANGES: usize = 4_000_000;

pub(super) struct RecentEvents {
    events: VecDeque<Arc<Applied>>,
    changes: usize,
    /// Every event after this index is here.
    complete_after: u64,
}

impl RecentEvents {
    /// No events yet, complete for everything after `index`.
    pub(super) fn after(index: u64) -> Self {
        Self {
            events: VecDeque::new(),
            changes: 0,
            complete_after: index,
        }
    }

    pub(super) fn push(&mut self, applied: Arc<Applied>) {
        self.changes += applied.changes.len();
        self.events.push_back(applied);
        while self.events.len() > MAX_EVENTS || self.changes > MAX_CHANGES {
            let Some(oldest) = self.events.pop_front() else {
                return;
            };
            self.changes -= oldest.changes.len();
            self.complete_after = oldest.index;
        }
    }

    /// The events after `index`, or `None` where some of them are gone.
    pub(super) fn since(&self, index: u64) -> Option<Vec<Arc<Applied>>> {
        if index < self.complete_after {
            return None;
        }
        let first = self.events.partition_point(|event| event.index <= index);
        Some(self.events.range(first..).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Change, NodeId};

    fn event(index: u64) -> Arc<Applied> {
        let changes = vec![Change::Node(NodeId(index))];
        Arc::new(Applied { index, changes })
    }

    fn indexes(events: Option<Vec<Arc<Applied>>>) -> Option<Vec<u64>> {
        Some(events?.iter().map(|event| event.index).collect())
    }

    #[test]
    fn events_after_an_index_come_in_order() {
        let mut recent = RecentEvents::after(10);
        for index in [11, 13, 14] {
            recent.push(event(index));
        }
        assert_eq!(indexes(recent.since(10)), Some(vec![11, 13, 14]));
        assert_eq!(indexes(recent.since(12)), Some(vec![13, 14]));
        assert_eq!(indexes(recent.since(14)), Some(vec![]));
        assert_eq!(indexes(recent.since(9)), None, "it started after 10");
    }

    #[test]
    fn old_events_go_and_are_said_to_be_gone() {
        let mut recent = RecentEvents::after(0);
        let last = MAX_EVENTS as u64 + 5;
        for index in 1..=last {
            recent.push(event(index));
        }
        assert_eq!(indexes(recent.since(4)), None);
        assert_eq!(recent.since(5).map(|events| events.len()), Some(MAX_EVENTS));
    }
}
