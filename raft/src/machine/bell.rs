//! Wakes the projection's thread: there is work, or it shall stop.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How the projection shall stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// After what was applied is in DuckDB.
    Caught,
    /// At once; DuckDB stays behind.
    AtOnce,
}

#[derive(Debug, Default)]
struct Rung {
    work: bool,
    stop: Option<Stop>,
}

/// One thread waits, any other rings.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<Rung>,
    changed: Condvar,
}

impl Bell {
    fn lock(&self) -> MutexGuard<'_, Rung> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ring(&self) {
        let mut rung = self.lock();
        if !rung.work {
            rung.work = true;
            self.changed.notify_all();
        }
    }

    /// The first order to stop counts, unless a later one is to stop at once.
    pub(crate) fn stop(&self, how: Stop) {
        let mut rung = self.lock();
        if rung.stop.is_none() || how == Stop::AtOnce {
            rung.stop = Some(how);
        }
        self.changed.notify_all();
    }

    /// Waits for work (which is then taken) or for the order to stop.
    pub(crate) fn wait(&self) -> Option<Stop> {
        let mut rung = self.lock();
        while !rung.work && rung.stop.is_none() {
            rung = self
                .changed
                .wait(rung)
                .unwrap_or_else(PoisonError::into_inner);
        }
        rung.work = false;
        rung.stop
    }

    /// Waits for `pause`, or less where the order to stop comes, which it returns.
    pub(crate) fn pause(&self, pause: Duration) -> Option<Stop> {
        let deadline = Instant::now() + pause;
        let mut rung = self.lock();
        while rung.stop.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            (rung, _) = self
                .changed
                .wait_timeout(rung, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
        rung.stop
    }
}
