//! Jobs by age and owner, what owners use, and the leases of nodes.

use std::collections::{BTreeMap, BTreeSet};

use super::groups::Groups;
use crate::{Job, JobId, NodeId, Owner, TaskId, TaskState, TimestampMs, Usage, UserId};

/// Where a job is among others by age; also the cursor of a list of jobs.
pub type JobOrder = (TimestampMs, JobId);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct JobIndex {
    pub(crate) all: BTreeSet<JobOrder>,
    pub(crate) by_owner: Groups<Owner, JobOrder>,
    /// With users who are not its owner.
    pub(crate) shared: Groups<UserId, JobOrder>,
    pub(crate) leases: Groups<NodeId, TaskId>,
    pub(crate) usage: BTreeMap<Owner, Usage>,
}

/// A change of a job that the index must take in. Noted where it happens, taken in when the
/// command is through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobNote {
    Created(Owner, JobOrder),
    Ended(Owner),
    /// The job has a file of so many bytes more.
    Grew(Owner, u64),
    Leased(Owner, TaskId, NodeId),
    LeaseEnded(Owner, TaskId, NodeId),
    Shared(UserId, JobOrder),
    Unshared(UserId, JobOrder),
}

impl JobIndex {
    pub(crate) fn note(&mut self, note: JobNote) {
        match note {
            JobNote::Created(owner, order) => {
                self.all.insert(order);
                self.by_owner.add(owner, order);
                self.usage_mut(owner).jobs += 1;
            }
            JobNote::Ended(owner) => {
                let usage = self.usage_mut(owner);
                usage.jobs = usage.jobs.saturating_sub(1);
            }
            JobNote::Grew(owner, bytes) => {
                let usage = self.usage_mut(owner);
                usage.bytes = usage.bytes.saturating_add(bytes);
            }
            JobNote::Leased(owner, task, node) => {
                self.leases.add(node, task);
                self.usage_mut(owner).frames_in_flight += 1;
            }
            JobNote::LeaseEnded(owner, task, node) => {
                self.leases.remove(node, task);
                let usage = self.usage_mut(owner);
                usage.frames_in_flight = usage.frames_in_flight.saturating_sub(1);
            }
            JobNote::Shared(user, order) => self.shared.add(user, order),
            JobNote::Unshared(user, order) => self.shared.remove(user, order),
        }
    }

    fn usage_mut(&mut self, owner: Owner) -> &mut Usage {
        self.usage.entry(owner).or_default()
    }

    /// Takes in a job as it is; its files are noted by whoever has them.
    pub(super) fn job(&mut self, job: &Job) {
        self.note(JobNote::Created(job.owner, job.order()));
        for (index, task) in (0..).zip(&job.tasks) {
            if let TaskState::Leased { node } = task.state {
                let task = TaskId { job: job.id, index };
                self.note(JobNote::Leased(job.owner, task, node));
            }
        }
        for user in job.shares.keys() {
            self.note(JobNote::Shared(*user, job.order()));
        }
        if job.state.is_final() {
            self.note(JobNote::Ended(job.owner));
        }
    }
}

impl Job {
    /// Where the job is among others by age.
    pub fn order(&self) -> JobOrder {
        (self.created_at, self.id)
    }
}
