//! Jobs that others may see.

use super::index::JobNote;
use super::{Effect, Refusal, State, Touched};
use crate::{JobId, Owner, ShareAccess, UserId};

const MAX_SHARES_OF_A_JOB: usize = 200;

impl State {
    pub(super) fn job_shared(
        &mut self,
        id: JobId,
        user: UserId,
        access: ShareAccess,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        self.user(user)?;
        let job = self.job_mut(id)?;
        if job.owner == Owner::User(user) {
            return Err(Refusal::Invalid(format!(
                "user {user} owns job {id}; share it with somebody else"
            )));
        }
        if job.shares.get(&user) == Some(&access) {
            return Ok(Effect::Done);
        }
        if job.shares.len() >= MAX_SHARES_OF_A_JOB && !job.shares.contains_key(&user) {
            return Err(Refusal::Conflict(format!(
                "job {id} is shared with {MAX_SHARES_OF_A_JOB} users already"
            )));
        }
        job.shares.insert(user, access);
        touched.note(JobNote::Shared(user, job.order()));
        touched.job(id);
        Ok(Effect::Done)
    }

    pub(super) fn job_unshared(
        &mut self,
        id: JobId,
        user: UserId,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        self.job_mut(id)?;
        self.unshare(id, user, touched);
        Ok(Effect::Done)
    }

    pub(super) fn unshare(&mut self, id: JobId, user: UserId, touched: &mut Touched) {
        if let Some(job) = self.jobs.get_mut(&id)
            && job.shares.remove(&user).is_some()
        {
            touched.note(JobNote::Unshared(user, job.order()));
            touched.unshared(id, user);
        }
    }
}
