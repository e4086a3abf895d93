//! Jobs and their tasks: how a scene expands into them, and how a job ends.

use std::collections::BTreeMap;

use super::index::JobNote;
use super::{Effect, Refusal, State, Touched};
use crate::{
    AttemptOutcome, Epoch, Failure, FileKind, FrameList, Job, JobId, JobSettings, JobState,
    NewFile, Owner, SceneFacts, Task, TaskCounts, TaskId, TaskKind, TaskState, TimestampMs,
    WebhookEvent,
};

impl State {
    pub(super) fn job_created(
        &mut self,
        id: JobId,
        name: &str,
        owner: Owner,
        settings: &JobSettings,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        if let Some(known) = self.jobs.get(&id) {
            return match known.was_asked_for_with(name, owner, settings) {
                true => Ok(Effect::Done),
                false => Err(Refusal::Conflict(format!(
                    "job {id} is there already and is another one; choose another id"
                ))),
            };
        }
        self.check_quota_for_job(owner)?;
        let job = Job {
            id,
            name: name.to_owned(),
            owner,
            settings: settings.clone(),
            frames_from_scene: false,
            shares: BTreeMap::new(),
            state: JobState::AwaitingScene,
            created_at: at,
            started_at: None,
            finished_at: None,
            scene: None,
            scene_facts: None,
            failure: None,
            counts: TaskCounts::default(),
            tasks: Vec::new(),
            attempts: Vec::new(),
            files: Vec::new(),
        };
        touched.note(JobNote::Created(owner, job.order()));
        touched.job(id);
        self.jobs.insert(id, job);
        Ok(Effect::Done)
    }

    pub(super) fn scene_added(
        &mut self,
        id: JobId,
        file: &NewFile,
        scene_frames: &FrameList,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let job = self.job_mut(id)?;
        if job.scene == Some(file.id) {
            return Ok(Effect::Done);
        }
        if job.scene.is_some() {
            return Err(Refusal::Conflict(format!("job {id} has a scene already")));
        }
        if job.state != JobState::AwaitingScene {
            return Err(Refusal::Conflict(format!(
                "job {id} is over and takes no scene; create a new job"
            )));
        }
        let owner = job.owner;
        self.check_new_file(file, FileKind::Scene)?;
        self.check_quota_for_bytes(owner, file.size_bytes)?;
        self.add_file(file, id, None, at, touched);

        let job = self.job_mut(id)?;
        job.scene = Some(file.id);
        job.state = JobState::Active;
        job.frames_from_scene = job.settings.frames.is_none();
        let frames = job
            .settings
            .frames
            .get_or_insert_with(|| scene_frames.clone());
        job.tasks = expand(frames, job.settings.video);
        job.counts = count(&job.tasks);
        for index in 0..job.tasks.len() as u32 {
            touched.task(TaskId { job: id, index });
        }
        touched.job(id);
        Ok(Effect::Done)
    }

    pub(super) fn scene_inspected(
        &mut self,
        id: JobId,
        facts: &SceneFacts,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let job = self.job_mut(id)?;
        if job.scene_facts.is_none() {
            job.scene_facts = Some(facts.clone());
            touched.job(id);
        }
        Ok(Effect::Done)
    }

    pub(super) fn job_cancelled(
        &mut self,
        id: JobId,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let job = self.job_mut(id)?;
        match job.state {
            JobState::Cancelled => return Ok(Effect::Done),
            JobState::Done | JobState::Failed => {
                return Err(Refusal::Conflict(format!(
                    "job {id} is over already and cannot be cancelled"
                )));
            }
            JobState::AwaitingScene | JobState::Active => {}
        }
        job.cancel_open_tasks(at, touched);
        job.finish(JobState::Cancelled, at, touched);
        touched.job(id);
        Ok(Effect::Done)
    }
}

/// One task a frame, in the order asked for, then the encode task where a video is wanted and
/// there is more than one frame to make it from.
fn expand(frames: &FrameList, video: bool) -> Vec<Task> {
    let new_task = |kind, state| Task {
        kind,
        state,
        epoch: Epoch::default(),
        failed_attempts: 0,
        avoid: None,
        output: None,
    };
    let mut tasks: Vec<Task> = frames
        .frames()
        .iter()
        .map(|frame| new_task(TaskKind::Frame(*frame), TaskState::Pending))
        .collect();
    if video && tasks.len() > 1 {
        tasks.push(new_task(TaskKind::Encode, TaskState::Waiting));
    }
    tasks
}

/// Counts the tasks anew; between commands `Job::counts` says the same.
pub(crate) fn count(tasks: &[Task]) -> TaskCounts {
    let mut counts = TaskCounts::default();
    for task in tasks {
        *counts.of(task.state) += 1;
    }
    counts
}

impl TaskCounts {
    fn of(&mut self, state: TaskState) -> &mut u32 {
        match state {
            TaskState::Waiting => &mut self.waiting,
            TaskState::Pending => &mut self.pending,
            TaskState::Leased { .. } => &mut self.leased,
            TaskState::Done => &mut self.done,
            TaskState::Failed => &mut self.failed,
            TaskState::Cancelled => &mut self.cancelled,
        }
    }
}

impl Job {
    /// Moves a task to another state and keeps the counts.
    pub(super) fn move_task(&mut self, index: u32, to: TaskState, touched: &mut Touched) {
        let id = TaskId {
            job: self.id,
            index,
        };
        let task = &mut self.tasks[index as usize];
        *self.counts.of(task.state) -= 1;
        *self.counts.of(to) += 1;
        if let TaskState::Leased { node } = task.state {
            touched.note(JobNote::LeaseEnded(self.owner, id, node));
        }
        if let TaskState::Leased { node } = to {
            touched.note(JobNote::Leased(self.owner, id, node));
        }
        task.state = to;
        touched.task(id);
    }

    /// True where a command that asks for such a job asks for this one.
    fn was_asked_for_with(&self, name: &str, owner: Owner, settings: &JobSettings) -> bool {
        let frames = match self.frames_from_scene {
            true => None,
            false => self.settings.frames.as_ref(),
        };
        self.name == name
            && self.owner == owner
            && settings.video == self.settings.video
            && settings.frames.as_ref() == frames
    }

    /// The place of a task's attempt with that epoch. Looked for from the end, where the
    /// running ones are.
    pub(super) fn attempt_position(&self, index: u32, epoch: Epoch) -> Option<usize> {
        self.attempts
            .iter()
            .rposition(|attempt| attempt.task == index && attempt.epoch == epoch)
    }

    /// Ends a task's newest attempt.
    pub(super) fn end_attempt(
        &mut self,
        index: u32,
        outcome: AttemptOutcome,
        log: Option<&NewFile>,
        at: TimestampMs,
        touched: &mut Touched,
    ) {
        let epoch = self.tasks[index as usize].epoch;
        let Some(position) = self.attempt_position(index, epoch) else {
            return;
        };
        let attempt = &mut self.attempts[position];
        attempt.ended_at = Some(at);
        attempt.outcome = outcome;
        attempt.log = log.map(|file| file.id);
        touched.attempt(self.id, position);
    }

    /// Cancels every task that is not finished; runners that work on one must stop.
    pub(super) fn cancel_open_tasks(&mut self, at: TimestampMs, touched: &mut Touched) {
        for index in 0..self.tasks.len() as u32 {
            match self.tasks[index as usize].state {
                TaskState::Waiting | TaskState::Pending => {}
                TaskState::Leased { node } => {
                    self.end_attempt(index, AttemptOutcome::Cancelled, None, at, touched);
                    let task = TaskId {
                        job: self.id,
                        index,
                    };
                    let epoch = self.tasks[index as usize].epoch;
                    touched.revoked(task, epoch, node);
                }
                TaskState::Done | TaskState::Failed | TaskState::Cancelled => continue,
            }
            self.move_task(index, TaskState::Cancelled, touched);
        }
    }

    /// Ends the job in one of the final states.
    pub(super) fn finish(&mut self, state: JobState, at: TimestampMs, touched: &mut Touched) {
        self.state = state;
        self.finished_at = Some(at);
        touched.note(JobNote::Ended(self.owner));
        let event = match state {
            JobState::Done => WebhookEvent::JobDone,
            JobState::Failed => WebhookEvent::JobFailed,
            JobState::Cancelled => WebhookEvent::JobCancelled,
            JobState::AwaitingScene | JobState::Active => return,
        };
        touched.job_event(event, self.id);
    }

    /// After a task's change: lets the encode task go when the last frame is in, and ends the
    /// job when nothing is left to do.
    pub(super) fn settle(&mut self, at: TimestampMs, touched: &mut Touched) {
        let TaskCounts {
            waiting,
            pending,
            leased,
            done,
            failed,
            ..
        } = self.counts;
        if self.state != JobState::Active || pending + leased > 0 {
            return;
        }
        if failed > 0 {
            self.failure = Some(self.failure_of_tasks());
            self.cancel_open_tasks(at, touched);
            self.finish(JobState::Failed, at, touched);
        } else if waiting > 0 {
            let encode = self.tasks.len() as u32 - 1;
            self.move_task(encode, TaskState::Pending, touched);
        } else if done as usize == self.tasks.len() {
            self.finish(JobState::Done, at, touched);
        }
    }

    /// Says in one line what failed: how many frames, and the newest failure's own words.
    fn failure_of_tasks(&self) -> Failure {
        let newest = self.attempts.iter().rev().find_map(|attempt| {
            let is_given_up = self.tasks[attempt.task as usize].state == TaskState::Failed;
            match &attempt.outcome {
                AttemptOutcome::Failed(failure) if is_given_up => Some(failure),
                _ => None,
            }
        });
        let newest = newest.expect("a failed task has a failed attempt");
        let frames = self
            .tasks
            .iter()
            .filter(|task| task.kind != TaskKind::Encode);
        let failed_frames = frames
            .clone()
            .filter(|task| task.state == TaskState::Failed)
            .count();
        let message = match failed_frames {
            0 => format!("the video failed: {}", newest.message),
            _ => format!(
                "{failed_frames} of {} frames failed: {}",
                frames.count(),
                newest.message
            ),
        };
        Failure {
            kind: newest.kind,
            message,
        }
    }
}
