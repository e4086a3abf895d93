//! Leases: who works on what, and the fence that lets only the newest lease commit (I5).

use std::collections::{BTreeMap, BTreeSet};

use super::{Effect, MAX_FAILED_ATTEMPTS, Refusal, State, Touched};
use crate::{
    Attempt, AttemptOutcome, Epoch, Failure, FileKind, JobId, JobState, LeaseEnd, NewFile, NodeId,
    Owner, TaskId, TaskKind, TaskState, TimestampMs, WebhookEvent,
};

impl State {
    pub(super) fn tasks_leased(
        &mut self,
        node: NodeId,
        leases: &[(TaskId, Epoch)],
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        self.member(node)?;
        let mut taken = 0;
        let mut changed_jobs = BTreeSet::new();
        // What the owners' quotas leave, less what this command takes.
        let mut left: BTreeMap<Owner, Option<u32>> = BTreeMap::new();
        for &(id, epoch) in leases {
            let Some(owner) = self.jobs.get(&id.job).map(|job| job.owner) else {
                continue;
            };
            let left = left.entry(owner).or_insert_with(|| self.leases_left(owner));
            let Some(job) = self.jobs.get_mut(&id.job) else {
                continue;
            };
            let Some(task) = job.tasks.get_mut(id.index as usize) else {
                continue;
            };
            // Proposed again after a lost answer: this very lease is there already.
            if task.state == (TaskState::Leased { node }) && task.epoch == epoch {
                taken += 1;
                continue;
            }
            if task.state != TaskState::Pending || task.epoch.next() != epoch || *left == Some(0) {
                continue;
            }
            *left = left.map(|left| left - 1);
            task.epoch = epoch;
            job.move_task(id.index, TaskState::Leased { node }, touched);
            if job.started_at.is_none() {
                job.started_at = Some(at);
                touched.job_event(WebhookEvent::JobStarted, id.job);
            }
            job.attempts.push(Attempt {
                task: id.index,
                epoch,
                node,
                leased_at: at,
                ended_at: None,
                outcome: AttemptOutcome::Running,
                log: None,
            });
            touched.attempt(id.job, job.attempts.len() - 1);
            changed_jobs.insert(id.job);
            taken += 1;
        }
        note_jobs(changed_jobs, touched);
        Ok(Effect::Leases(taken))
    }

    pub(super) fn leases_ended(
        &mut self,
        leases: &[(TaskId, Epoch)],
        reason: LeaseEnd,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let ended = self.end_leases(leases, reason, at, touched);
        Ok(Effect::Leases(ended))
    }

    /// Makes tasks pending again whose lease is the named one, and counts them.
    pub(super) fn end_leases(
        &mut self,
        leases: &[(TaskId, Epoch)],
        reason: LeaseEnd,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> u32 {
        let mut ended = 0;
        let mut changed_jobs = BTreeSet::new();
        for &(id, epoch) in leases {
            let Some(node) = self.lease_holder(id, epoch) else {
                continue;
            };
            let Some(job) = self.jobs.get_mut(&id.job) else {
                continue;
            };
            let outcome = AttemptOutcome::LeaseEnded(reason);
            job.end_attempt(id.index, outcome, None, at, touched);
            job.move_task(id.index, TaskState::Pending, touched);
            touched.revoked(id, epoch, node);
            changed_jobs.insert(id.job);
            ended += 1;
        }
        note_jobs(changed_jobs, touched);
        ended
    }

    /// The node that has the task's lease, if `epoch` is the task's current one.
    fn lease_holder(&self, id: TaskId, epoch: Epoch) -> Option<NodeId> {
        match self.task(id)? {
            task if task.epoch != epoch => None,
            task => match task.state {
                TaskState::Leased { node } => Some(node),
                _ => None,
            },
        }
    }

    /// The node that has the lease, or the refusal that fences a stale one off.
    fn fence(&self, id: TaskId, epoch: Epoch) -> Result<NodeId, Refusal> {
        self.lease_holder(id, epoch).ok_or_else(|| {
            Refusal::StaleLease(format!(
                "the lease with epoch {epoch} of task {id} is over; its result is not taken"
            ))
        })
    }

    fn existing_task(&self, id: TaskId) -> Result<&crate::Task, Refusal> {
        self.task(id)
            .ok_or_else(|| Refusal::NotFound(format!("there is no task {id}")))
    }

    #[allow(clippy::too_many_arguments)] // the command's own parts, one by one
    pub(super) fn task_committed(
        &mut self,
        id: TaskId,
        epoch: Epoch,
        output: &NewFile,
        log: Option<&NewFile>,
        render_ms: u64,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let task = self.existing_task(id)?;
        let is_same_commit =
            task.state == TaskState::Done && task.epoch == epoch && task.output == Some(output.id);
        if is_same_commit {
            return Ok(Effect::Done);
        }
        let output_kind = match task.kind {
            TaskKind::Frame(_) => FileKind::Frame,
            TaskKind::Encode => FileKind::Video,
        };
        self.fence(id, epoch)?;
        self.check_new_file(output, output_kind)?;
        self.check_log(log, Some(output))?;

        self.add_file(output, id.job, Some(id.index), at, touched);
        if let Some(log) = log {
            self.add_file(log, id.job, Some(id.index), at, touched);
        }
        let job = self.job_mut(id.job)?;
        let outcome = AttemptOutcome::Committed { render_ms };
        job.end_attempt(id.index, outcome, log, at, touched);
        job.tasks[id.index as usize].output = Some(output.id);
        job.move_task(id.index, TaskState::Done, touched);
        job.settle(at, touched);
        touched.job(id.job);
        Ok(Effect::Done)
    }

    pub(super) fn task_failed(
        &mut self,
        id: TaskId,
        epoch: Epoch,
        failure: &Failure,
        log: Option<&NewFile>,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        self.existing_task(id)?;
        if self.failed_so_already(id, epoch, failure, log) {
            return Ok(Effect::Done);
        }
        let node = self.fence(id, epoch)?;
        self.check_log(log, None)?;

        if let Some(log) = log {
            self.add_file(log, id.job, Some(id.index), at, touched);
        }
        let job = self.job_mut(id.job)?;
        let outcome = AttemptOutcome::Failed(failure.clone());
        job.end_attempt(id.index, outcome, log, at, touched);
        let task = &mut job.tasks[id.index as usize];
        task.failed_attempts += 1;
        task.avoid = Some(node);
        let may_try_again = task.failed_attempts < MAX_FAILED_ATTEMPTS && !failure.kind.stops_job();
        let next_state = match may_try_again {
            true => TaskState::Pending,
            false => TaskState::Failed,
        };
        job.move_task(id.index, next_state, touched);
        if failure.kind.stops_job() {
            job.failure = Some(failure.clone());
            job.cancel_open_tasks(at, touched);
            job.finish(JobState::Failed, at, touched);
        } else {
            job.settle(at, touched);
        }
        touched.job(id.job);
        Ok(Effect::Done)
    }

    /// True where this very failure is in the state: its answer was lost, and it is told again.
    fn failed_so_already(
        &self,
        id: TaskId,
        epoch: Epoch,
        failure: &Failure,
        log: Option<&NewFile>,
    ) -> bool {
        let Some(job) = self.jobs.get(&id.job) else {
            return false;
        };
        let Some(position) = job.attempt_position(id.index, epoch) else {
            return false;
        };
        let attempt = &job.attempts[position];
        let is_same_log = attempt.log == log.map(|file| file.id);
        is_same_log && attempt.outcome == AttemptOutcome::Failed(failure.clone())
    }

    fn check_log(&self, log: Option<&NewFile>, output: Option<&NewFile>) -> Result<(), Refusal> {
        let Some(log) = log else {
            return Ok(());
        };
        if output.is_some_and(|output| output.id == log.id) {
            return Err(Refusal::Invalid(format!(
                "file {} cannot be both output and log",
                log.id
            )));
        }
        self.check_new_file(log, FileKind::Log)
    }
}

fn note_jobs(jobs: BTreeSet<JobId>, touched: &mut Touched) {
    for job in jobs {
        touched.job(job);
    }
}
