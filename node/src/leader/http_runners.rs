//! The HTTP runners that the leader hears of, through whichever members they talk to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiggablend_raft::NodeId;

/// An HTTP runner of which nothing is heard for this long counts as gone; its leases then run on
/// for their time. It says something every two seconds, over networks of all kinds.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_secs(8);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct HttpRunnersThere {
    heard_at: BTreeMap<NodeId, Instant>,
}

impl HttpRunnersThere {
    /// Takes a sign of life. True where it is the first.
    pub(super) fn heard(&mut self, runner: NodeId, now: Instant) -> bool {
        self.heard_at.insert(runner, now).is_none()
    }

    /// True where it was there.
    pub(super) fn forget(&mut self, runner: NodeId) -> bool {
        self.heard_at.remove(&runner).is_some()
    }

    /// Those that are silent for too long; they are not there any more.
    pub(super) fn take_silent(&mut self, now: Instant) -> Vec<NodeId> {
        let is_silent = |at: &Instant| now.duration_since(*at) >= SILENCE_LIMIT;
        let silent: Vec<NodeId> = self
            .heard_at
            .iter()
            .filter(|(_, at)| is_silent(at))
            .map(|(runner, _)| *runner)
            .collect();
        self.heard_at.retain(|_, at| !is_silent(at));
        silent
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = NodeId> {
        self.heard_at.keys().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runner_is_there_for_as_long_as_it_is_heard_of() {
        let mut there = HttpRunnersThere::default();
        let start = Instant::now();
        assert!(there.heard(NodeId(7), start));
        assert!(there.heard(NodeId(8), start));
        let later = start + SILENCE_LIMIT / 2;
        assert!(!there.heard(NodeId(7), later), "known already");
        assert_eq!(there.take_silent(start + SILENCE_LIMIT), [NodeId(8)]);
        assert_eq!(there.ids().collect::<Vec<_>>(), [NodeId(7)]);
        assert_eq!(there.take_silent(later + SILENCE_LIMIT), [NodeId(7)]);
        assert_eq!(there.take_silent(later + SILENCE_LIMIT), []);
    }
}
