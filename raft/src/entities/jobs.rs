//! Jobs, their tasks and attempts, and their files.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::{
    ContentId, Epoch, Failure, FileId, FrameNumber, JobId, JobSettings, LeaseEnd, NodeId,
    TimestampMs, UserId,
};

/// Whose a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    User(UserId),
    /// Whoever owns that node's machine, through its command line.
    Operator(NodeId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum JobState {
    AwaitingScene,
    /// It has tasks that are not finished.
    Active,
    /// Every task is done.
    Done,
    /// Nothing is left to do and something failed; `Job::failure` says what.
    Failed,
    Cancelled,
}

impl JobState {
    /// True where nothing will change any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

/// What somebody may do with a job that is not theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum ShareAccess {
    /// See it and download its files.
    View,
    /// Cancel it and change it too; not share it.
    Manage,
}

/// A job and its tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub name: String,
    pub owner: Owner,
    pub settings: JobSettings,
    /// `settings.frames` named none; it has the scene's own range since the scene came.
    pub frames_from_scene: bool,
    /// Who else may see it, and what they may do.
    pub shares: BTreeMap<UserId, ShareAccess>,
    pub state: JobState,
    pub created_at: TimestampMs,
    /// The first lease.
    pub started_at: Option<TimestampMs>,
    pub finished_at: Option<TimestampMs>,
    pub scene: Option<FileId>,
    pub scene_facts: Option<SceneFacts>,
    /// Why it failed, in one line.
    pub failure: Option<Failure>,
    pub counts: TaskCounts,
    /// By task index: frames in the order asked for, then the encode task if there is one.
    pub tasks: Vec<Task>,
    /// In the order in which they were leased.
    pub attempts: Vec<Attempt>,
    /// The job's files in the order in which they came: scene, frames, logs, video.
    pub files: Vec<FileId>,
}

/// What Blender says of a scene.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SceneFacts {
    pub blender_version: String,
    pub engine: String,
    pub width_px: u32,
    pub height_px: u32,
    /// Frames per second as a fraction: 24/1, 30000/1001.
    pub fps_numerator: u32,
    pub fps_denominator: u32,
}

/// How many of a job's tasks are in each state; kept with every change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct TaskCounts {
    pub waiting: u32,
    pub pending: u32,
    pub leased: u32,
    pub done: u32,
    pub failed: u32,
    pub cancelled: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    Frame(FrameNumber),
    /// Makes the video from all frames.
    Encode,
}

/// A unit of work that one runner does at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub kind: TaskKind,
    pub state: TaskState,
    /// The epoch of its newest lease; 0 before the first.
    pub epoch: Epoch,
    /// Attempts that failed by the task's own fault; lost leases do not count.
    pub failed_attempts: u32,
    /// The node of the last failed attempt: the next one goes elsewhere if it can.
    pub avoid: Option<NodeId>,
    pub output: Option<FileId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Other tasks must be done first.
    Waiting,
    Pending,
    Leased {
        node: NodeId,
    },
    Done,
    Failed,
    Cancelled,
}

/// One lease of a task and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub task: u32,
    pub epoch: Epoch,
    pub node: NodeId,
    pub leased_at: TimestampMs,
    pub ended_at: Option<TimestampMs>,
    pub outcome: AttemptOutcome,
    pub log: Option<FileId>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    Running,
    Committed { render_ms: u64 },
    Failed(Failure),
    LeaseEnded(LeaseEnd),
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum FileKind {
    Scene,
    Frame,
    Video,
    Log,
}

/// A file of a job, as content in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    pub id: FileId,
    pub job: JobId,
    /// The task that made it; `None` for the scene.
    pub task: Option<u32>,
    pub kind: FileKind,
    pub name: String,
    pub media_type: String,
    pub content: ContentId,
    pub size_bytes: u64,
    pub created_at: TimestampMs,
    /// The nodes that have fsynced every chunk of it.
    pub holders: BTreeSet<NodeId>,
}
