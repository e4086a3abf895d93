//! What runners have sent for their leases: one output and one log each, as far as this node saw.
//!
//! What is uploaded is kept before anybody completes a task with it. So that a lease does not fill
//! the farm's disks, it has each of the two once; sending the same file again is how a runner makes
//! up for an answer that was lost.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::leases::{self, Lease};
use super::upload::Hash;
use crate::app::App;
use crate::problem::{Problem, ProblemKind};

/// When there are more, those of leases that are over are forgotten.
const MANY: usize = 4096;

type Key = (Lease, IsLog);
type IsLog = bool;

#[derive(Default)]
pub(crate) struct Sent(Mutex<HashMap<Key, File>>);

#[derive(Debug)]
struct File {
    hash: Hash,
    /// Requests that send it now.
    in_flight: usize,
    is_kept: bool,
}

impl Sent {
    /// Says no where the lease has another file of that kind, or another one is on its way.
    pub(super) fn claim(
        &self,
        app: &App,
        lease: Lease,
        is_log: IsLog,
        hash: Hash,
    ) -> Result<Claim, Problem> {
        let mut files = self.lock();
        if files.len() >= MANY {
            app.log.read(|state| {
                files.retain(|(lease, _), file| {
                    file.in_flight > 0 || leases::is_leased(state, *lease)
                });
            });
        }
        let key = (lease, is_log);
        let file = files.entry(key).or_insert(File {
            hash,
            in_flight: 0,
            is_kept: false,
        });
        if file.hash != hash {
            let what = if is_log { "log" } else { "output" };
            let why = format!(
                "this lease has sent another {what}, and has one; complete the task with that, or send the same file again"
            );
            return Err(Problem::new(ProblemKind::Conflict, why));
        }
        file.in_flight += 1;
        let app = app.clone();
        Ok(Claim { app, key })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, File>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request that sends a lease's file. Where none has it kept in the end, another may come.
pub(super) struct Claim {
    app: App,
    key: Key,
}

impl Claim {
    pub(super) fn kept(self) {
        if let Some(file) = self.app.sent.lock().get_mut(&self.key) {
            file.is_kept = true;
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut files = self.app.sent.lock();
        let Some(file) = files.get_mut(&self.key) else {
            return;
        };
        file.in_flight -= 1;
        if file.in_flight == 0 && !file.is_kept {
            files.remove(&self.key);
        }
    }
}
