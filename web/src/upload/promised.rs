//! What uploads in flight on this node will take of their owners' bytes.
//!
//! The job log counts files that are there. So that many uploads at once do not store more than
//! the quota together, each promises its bytes before they are stored.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiggablend_raft::{JobId, Owner};

use super::scene::UploadError;
use crate::app::App;
use crate::problem::Problem;

/// Bytes of the uploads that come at once; those that come in pieces are counted where they lie.
#[derive(Default)]
pub(crate) struct Promised(Mutex<HashMap<Owner, u64>>);

impl Promised {
    fn lock(&self) -> MutexGuard<'_, HashMap<Owner, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of one upload; given back when it is dropped.
pub(super) struct Promise {
    app: App,
    owner: Owner,
    bytes: u64,
}

impl Promise {
    /// So many bytes of the job's owner. Says no where their quota has not so many left.
    pub(super) fn of(app: &App, job: JobId, bytes: u64) -> Result<Self, Problem> {
        let owner = app
            .log
            .read(|state| state.jobs.get(&job).map(|job| job.owner));
        let owner = owner.ok_or_else(|| Problem::unknown_job(&job.to_string()))?;
        let mut promise = Self {
            app: app.clone(),
            owner,
            bytes: 0,
        };
        promise.grow_to(bytes)?;
        Ok(promise)
    }

    /// More of them, for an upload that did not say how long it is.
    pub(super) fn grow_to(&mut self, bytes: u64) -> Result<(), UploadError> {
        if bytes < self.bytes {
            return Ok(());
        }
        let mut promised = self.app.promised.lock();
        let of_owner = promised.get(&self.owner).copied().unwrap_or(0);
        let of_others = of_owner.saturating_sub(self.bytes);
        if let Some(left_bytes) = self.left_bytes(of_others)
            && left_bytes < bytes
        {
            return Err(UploadError::OverQuota { left_bytes });
        }
        promised.insert(self.owner, of_others.saturating_add(bytes));
        self.bytes = bytes;
        Ok(())
    }

    /// What the quota leaves beside what is stored and what others have been promised; `None`: as
    /// many as there is room for.
    fn left_bytes(&self, promised_bytes: u64) -> Option<u64> {
        let (owner, parts) = (self.owner, &self.app.parts);
        self.app.log.read(|state| {
            let most_bytes = state.quota_of(owner).bytes?;
            let in_pieces = parts.promised_bytes(|job| {
                let job = state.jobs.get(&job);
                job.is_some_and(|job| job.owner == owner)
            });
            let used_bytes = state.usage_of(owner).bytes;
            let taken_bytes = [promised_bytes, in_pieces]
                .into_iter()
                .fold(used_bytes, u64::saturating_add);
            Some(most_bytes.saturating_sub(taken_bytes))
        })
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        let mut promised = self.app.promised.lock();
        let left = promised.get(&self.owner).copied().unwrap_or(0);
        match left.saturating_sub(self.bytes) {
            0 => promised.remove(&self.owner),
            left => promised.insert(self.owner, left),
        };
    }
}
