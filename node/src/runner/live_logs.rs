//! The logs of attempts while they run, for people who watch.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::log::Log;
use super::process;
use super::queue::Lease;

/// Which attempt prints into which log now.
#[derive(Default)]
pub(super) struct LiveLogs {
    logs: Mutex<HashMap<Lease, Arc<Mutex<Log>>>>,
}

impl LiveLogs {
    /// The attempt prints into that log until the answer is dropped.
    pub(super) fn show(&self, lease: Lease, log: Arc<Mutex<Log>>) -> Shown<'_> {
        self.logs().insert(lease, log);
        Shown { logs: self, lease }
    }

    /// The attempt's lines from number `from` on, as far as they are kept, and the number of the
    /// next one; `None` where it does not run.
    pub(super) fn lines(&self, lease: Lease, from: u64) -> Option<(Vec<String>, u64)> {
        let log = self.logs().get(&lease).cloned()?;
        let lines = process::lock(&log).lines_from(from);
        Some(lines)
    }

    fn logs(&self) -> MutexGuard<'_, HashMap<Lease, Arc<Mutex<Log>>>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends with the attempt.
pub(super) struct Shown<'a> {
    logs: &'a LiveLogs,
    lease: Lease,
}

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        self.logs.logs().remove(&self.lease);
    }
}

#[cfg(test)]
mod tests {
    use jiggablend_raft::{Epoch, JobId, TaskId};

    use super::*;

    #[test]
    fn a_log_is_seen_line_by_line_until_its_attempt_ends() {
        let live = LiveLogs::default();
        let task = TaskId {
            job: JobId::new(),
            index: 0,
        };
        let lease = (task, Epoch(1));
        let log = Arc::new(Mutex::new(Log::default()));
        assert_eq!(live.lines(lease, 0), None);
        let shown = live.show(lease, Arc::clone(&log));
        process::lock(&log).push("one".into());
        process::lock(&log).push("two".into());
        let (lines, next) = live.lines(lease, 0).expect("it runs");
        assert_eq!((lines, next), (vec!["one".into(), "two".into()], 2));
        process::lock(&log).push("three".into());
        assert_eq!(live.lines(lease, next), Some((vec!["three".into()], 3)));
        assert_eq!(live.lines((task, Epoch(2)), 0), None);
        drop(shown);
        assert_eq!(live.lines(lease, 3), None);
    }
}
