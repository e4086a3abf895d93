//! Jobs and what belongs to them.

use std::collections::{BTreeMap, BTreeSet};

use jiggablend_raft::{
    Attempt, AttemptOutcome, Epoch, Failure, File, FileId, FileKind, FrameNumber, Job, JobId,
    JobState, Node, NodeId, Owner, SceneFacts, State, Task, TaskCounts, TaskKind, TaskState,
    TimestampMs,
};
use serde::Serialize;
use utoipa::ToSchema;

#[derive(Serialize, ToSchema)]
pub(crate) struct OwnerView {
    id: String,
    name: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct JobSummary {
    id: JobId,
    name: String,
    owner: OwnerView,
    state: JobState,
    created_at_ms: TimestampMs,
    started_at_ms: Option<TimestampMs>,
    finished_at_ms: Option<TimestampMs>,
    frames: Option<String>,
    counts: TaskCounts,
    frame_counts: TaskCounts,
    failure: Option<Failure>,
    video: bool,
    waiting_for: Option<&'static str>,
}

#[derive(Serialize, ToSchema)]
struct SceneFactsView {
    blender_version: String,
    engine: String,
    width_px: u32,
    height_px: u32,
    fps: f64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct JobView {
    #[serde(flatten)]
    summary: JobSummary,
    scene: Option<FileView>,
    scene_facts: Option<SceneFactsView>,
    video_file: Option<FileView>,
    tasks: Vec<TaskView>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct TaskView {
    index: u32,
    kind: &'static str,
    frame: Option<FrameNumber>,
    state: &'static str,
    node: Option<NodeId>,
    epoch: Epoch,
    failed_attempts: u32,
    file: Option<FileId>,
    render_ms: Option<u64>,
    failure: Option<Failure>,
    log_file: Option<FileId>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct FileView {
    id: FileId,
    job: JobId,
    task: Option<u32>,
    kind: FileKind,
    name: String,
    media_type: String,
    size_bytes: u64,
    content: String,
    holders: Vec<NodeId>,
    created_at_ms: TimestampMs,
    url: String,
}

impl OwnerView {
    fn of(state: &State, owner: Owner) -> Self {
        match owner {
            // Not the e-mail address: those with whom a job is shared must not learn it.
            Owner::User(id) => Self {
                id: id.to_string(),
                name: match state.users.get(&id) {
                    Some(user) => user.name.clone(),
                    None => "a former user".to_owned(),
                },
            },
            Owner::Operator(node) => Self {
                id: format!("node-{node}"),
                name: match state.nodes.get(&node) {
                    Some(node) => format!("operator of {}", node.name),
                    None => format!("operator of node {node}"),
                },
            },
        }
    }
}

/// The job's name; for a job that was given none, its scene file's.
pub fn job_name(state: &State, job: &Job) -> String {
    if !job.name.is_empty() {
        return job.name.clone();
    }
    let scene = job.scene.and_then(|file| state.files.get(&file));
    match scene {
        Some(file) => file
            .name
            .strip_suffix(".blend")
            .unwrap_or(&file.name)
            .to_owned(),
        None => "untitled".to_owned(),
    }
}

impl JobSummary {
    pub(crate) fn of(state: &State, job: &Job) -> Self {
        Self {
            id: job.id,
            name: job_name(state, job),
            owner: OwnerView::of(state, job.owner),
            state: job.state,
            created_at_ms: job.created_at,
            started_at_ms: job.started_at,
            finished_at_ms: job.finished_at,
            frames: frames_text(job),
            counts: job.counts,
            frame_counts: frame_counts(job),
            failure: job.failure.clone(),
            video: job.settings.video,
            waiting_for: waiting_for(state, job),
        }
    }
}

/// What was asked for, else the range that the scene gave.
fn frames_text(job: &Job) -> Option<String> {
    if let Some(frames) = &job.settings.frames {
        return Some(frames.to_string());
    }
    let mut frames = job.tasks.iter().filter_map(|task| match task.kind {
        TaskKind::Frame(frame) => Some(frame),
        TaskKind::Encode => None,
    });
    let first = frames.next()?;
    Some(match frames.next_back() {
        Some(last) => format!("{first}-{last}"),
        None => first.to_string(),
    })
}

/// The job's counts without its encode task, which is the last one.
fn frame_counts(job: &Job) -> TaskCounts {
    let mut counts = job.counts;
    if let Some(encode) = encode_task(job) {
        let count = match encode.state {
            TaskState::Waiting => &mut counts.waiting,
            TaskState::Pending => &mut counts.pending,
            TaskState::Leased { .. } => &mut counts.leased,
            TaskState::Done => &mut counts.done,
            TaskState::Failed => &mut counts.failed,
            TaskState::Cancelled => &mut counts.cancelled,
        };
        *count = count.saturating_sub(1);
    }
    counts
}

fn encode_task(job: &Job) -> Option<&Task> {
    job.tasks
        .last()
        .filter(|task| task.kind == TaskKind::Encode)
}

/// What no member of the farm has, though the job's pending tasks need it.
fn waiting_for(state: &State, job: &Job) -> Option<&'static str> {
    if job.state != JobState::Active {
        return None;
    }
    let some_runner =
        |can: fn(&Node) -> bool| state.members().any(|node| node.roles.runner && can(node));
    let encode_is_pending = encode_task(job).is_some_and(|task| task.state == TaskState::Pending);
    if encode_is_pending && !some_runner(|node| node.runner.ffmpeg.is_some()) {
        return Some("a runner with ffmpeg");
    }
    let frames_are_pending = frame_counts(job).pending > 0;
    if frames_are_pending && !some_runner(|node| node.runner.blender_version.is_some()) {
        return Some("a runner with Blender");
    }
    None
}

impl SceneFactsView {
    fn of(facts: &SceneFacts) -> Self {
        Self {
            blender_version: facts.blender_version.clone(),
            engine: facts.engine.clone(),
            width_px: facts.width_px,
            height_px: facts.height_px,
            fps: f64::from(facts.fps_numerator) / f64::from(facts.fps_denominator.max(1)),
        }
    }
}

impl JobView {
    pub(crate) fn of(state: &State, job: &Job) -> Self {
        let file = |id: FileId| state.files.get(&id).map(FileView::of);
        let tasks = TaskView::of_all(job);
        Self {
            summary: JobSummary::of(state, job),
            scene: job.scene.and_then(file),
            scene_facts: job.scene_facts.as_ref().map(SceneFactsView::of),
            video_file: encode_task(job)
                .and_then(|encode| encode.output)
                .and_then(file),
            tasks,
        }
    }
}

/// What a task's view tells of its attempts.
#[derive(Default)]
struct TaskAttempts<'a> {
    newest: Option<&'a Attempt>,
    newest_failure: Option<&'a Failure>,
    newest_log: Option<FileId>,
}

impl<'a> TaskAttempts<'a> {
    /// Takes in the task's next attempt, newest first.
    fn take(&mut self, attempt: &'a Attempt) {
        self.newest = self.newest.or(Some(attempt));
        if let AttemptOutcome::Failed(failure) = &attempt.outcome {
            self.newest_failure = self.newest_failure.or(Some(failure));
        }
        self.newest_log = self.newest_log.or(attempt.log);
    }
}

/// The attempts of these tasks, which come by index. Looks from the end, where the newest ones are,
/// and no further than it must: each lease of a task is an attempt and raises its epoch by one.
fn attempts_of<'a>(
    job: &'a Job,
    tasks: impl Iterator<Item = (u32, &'a Task)>,
) -> Vec<(u32, TaskAttempts<'a>)> {
    let mut left = 0;
    let mut wanted: Vec<(u32, TaskAttempts<'a>)> = tasks
        .map(|(index, task)| {
            left += task.epoch.0;
            (index, TaskAttempts::default())
        })
        .collect();
    for attempt in job.attempts.iter().rev() {
        if left == 0 {
            break;
        }
        if let Ok(place) = wanted.binary_search_by_key(&attempt.task, |(index, _)| *index) {
            wanted[place].1.take(attempt);
            left -= 1;
        }
    }
    wanted
}

impl TaskView {
    /// The views of all of the job's tasks, by index.
    fn of_all(job: &Job) -> Vec<Self> {
        let all = (0..).zip(&job.tasks);
        Self::of_each(job, all).collect()
    }

    /// The views of these tasks of the job.
    pub(crate) fn of_some(job: &Job, indices: &BTreeSet<u32>) -> BTreeMap<u32, Self> {
        let some = indices
            .iter()
            .filter_map(|index| Some((*index, job.tasks.get(*index as usize)?)));
        Self::of_each(job, some)
            .map(|view| (view.index, view))
            .collect()
    }

    /// `tasks` come by index.
    fn of_each<'a>(
        job: &'a Job,
        tasks: impl Iterator<Item = (u32, &'a Task)> + Clone,
    ) -> impl Iterator<Item = Self> {
        let attempts = attempts_of(job, tasks.clone());
        tasks
            .zip(attempts)
            .map(|((index, task), (_, attempts))| Self::new(task, index, &attempts))
    }

    fn new(task: &Task, index: u32, attempts: &TaskAttempts<'_>) -> Self {
        let (node, render_ms) = match (task.state, attempts.newest) {
            (TaskState::Leased { node }, _) => (Some(node), None),
            (TaskState::Done, Some(attempt)) => match attempt.outcome {
                AttemptOutcome::Committed { render_ms } => (Some(attempt.node), Some(render_ms)),
                _ => (None, None),
            },
            _ => (None, None),
        };
        let (kind, frame) = match task.kind {
            TaskKind::Frame(frame) => ("frame", Some(frame)),
            TaskKind::Encode => ("encode", None),
        };
        let failure = match task.state {
            TaskState::Done => None,
            _ => attempts.newest_failure.cloned(),
        };
        Self {
            index,
            kind,
            frame,
            state: match task.state {
                TaskState::Waiting => "waiting",
                TaskState::Pending => "pending",
                TaskState::Leased { .. } => "leased",
                TaskState::Done => "done",
                TaskState::Failed => "failed",
                TaskState::Cancelled => "cancelled",
            },
            node,
            epoch: task.epoch,
            failed_attempts: task.failed_attempts,
            file: task.output,
            render_ms,
            failure,
            log_file: attempts.newest_log,
        }
    }
}

impl FileView {
    pub(crate) fn of(file: &File) -> Self {
        Self {
            id: file.id,
            job: file.job,
            task: file.task,
            kind: file.kind,
            name: file.name.clone(),
            media_type: file.media_type.clone(),
            size_bytes: file.size_bytes,
            content: file.content.to_string(),
            holders: file.holders.iter().copied().collect(),
            created_at_ms: file.created_at,
            url: format!("/api/jobs/{}/files/{}/download", file.job, file.id),
        }
    }
}
