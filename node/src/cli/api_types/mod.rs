//! What `docs/api.md` sends, as far as the command line reads it.
//!
//! Unknown fields and kinds are taken as they come: the node that answers may be newer.

mod accounts;
mod admin;

pub use accounts::*;
pub use admin::*;

use jiggablend_raft::{
    ContentId, Epoch, FileId, FileKind, FrameNumber, JobId, JobState, NodeId, Roles, RunnerFacts,
    ShareAccess, TaskCounts, TimestampMs,
};
use serde::{Deserialize, Serialize};

/// An RFC 9457 problem: the API's answer where it does not do what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    #[serde(rename = "type", default)]
    pub problem_type: String,
    #[serde(default)]
    pub title: String,
    #[serde(default)]
    pub status: u16,
    /// One line: what was being done, to what, and what to do next.
    pub detail: String,
}

impl Problem {
    /// The NAME of `urn:jiggablend:problem:NAME`.
    pub fn name(&self) -> &str {
        self.problem_type.rsplit(':').next().unwrap_or_default()
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    pub name: String,
}

/// Why something failed. The kind stays text: later farms know more kinds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    pub kind: String,
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSummary {
    pub id: JobId,
    pub name: String,
    pub owner: Owner,
    pub state: JobState,
    pub created_at_ms: TimestampMs,
    pub started_at_ms: Option<TimestampMs>,
    pub finished_at_ms: Option<TimestampMs>,
    pub frames: Option<String>,
    pub frame_counts: TaskCounts,
    pub failure: Option<Failure>,
    #[serde(default)]
    pub video: bool,
    pub waiting_for: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Job {
    #[serde(flatten)]
    pub summary: JobSummary,
    pub scene: Option<File>,
    pub scene_facts: Option<SceneFacts>,
    #[serde(default)]
    pub tasks: Vec<Task>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SceneFacts {
    pub blender_version: String,
    pub engine: String,
    pub width_px: u32,
    pub height_px: u32,
    pub fps: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    Frame,
    Encode,
    /// A kind that this program does not know yet.
    #[serde(other)]
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    Waiting,
    Pending,
    Leased,
    Done,
    Failed,
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    pub index: u32,
    pub kind: TaskKind,
    pub frame: Option<FrameNumber>,
    pub state: TaskState,
    /// The node that has the lease or made the output.
    pub node: Option<NodeId>,
    pub epoch: Epoch,
    #[serde(default)]
    pub failed_attempts: u32,
    pub render_ms: Option<u64>,
    pub failure: Option<Failure>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct File {
    pub id: FileId,
    pub kind: FileKind,
    pub name: String,
    pub size_bytes: u64,
    pub content: ContentId,
    pub created_at_ms: TimestampMs,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Farm {
    pub id: String,
    pub name: String,
    pub fingerprint: String,
    pub this_node: NodeId,
    pub leader: Option<NodeId>,
    pub term: u64,
    pub voters: Vec<NodeId>,
    pub standbys: Vec<NodeId>,
    pub applied_index: u64,
    pub last_log_index: u64,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Node {
    pub id: NodeId,
    pub name: String,
    pub web_address: Option<String>,
    pub version: String,
    pub roles: Roles,
    pub vote: Vote,
    pub is_leader: bool,
    pub is_this_node: bool,
    pub connected: bool,
    #[serde(default)]
    pub runner: RunnerFacts,
    #[serde(default)]
    pub working_on: Vec<Working>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vote {
    Voter,
    Standby,
    None,
}

/// One task that a node is at.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Working {
    pub frame: Option<FrameNumber>,
    pub fraction: Option<f64>,
}

/// How far a running task is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct TaskProgress {
    pub job: JobId,
    pub task: u32,
    pub epoch: Epoch,
    pub fraction: Option<f64>,
    #[serde(default)]
    pub text: String,
}

#[derive(Debug, Deserialize)]
pub struct JobList {
    pub jobs: Vec<JobSummary>,
    pub next_before: Option<JobId>,
}

#[derive(Debug, Deserialize)]
pub struct NodeList {
    pub nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
pub struct NewTicket {
    pub expires_at_ms: TimestampMs,
}

/// A job's state as people say it.
pub fn state_word(state: JobState) -> &'static str {
    match state {
        JobState::AwaitingScene => "awaits its scene",
        JobState::Active => "active",
        JobState::Done => "done",
        JobState::Failed => "failed",
        JobState::Cancelled => "cancelled",
    }
}

/// One try at a task: a lease and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Attempt {
    pub frame: Option<FrameNumber>,
    pub epoch: Epoch,
    pub node: NodeId,
    pub leased_at_ms: TimestampMs,
    pub ended_at_ms: Option<TimestampMs>,
    /// `running`, `committed`, `failed`, `lease_ended`, `cancelled`.
    pub outcome: String,
    pub failure: Option<Failure>,
    /// Why the lease ended without an outcome.
    pub reason: Option<String>,
}

/// With whom a job is shared.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Share {
    pub user: Person,
    pub access: ShareAccess,
}

#[derive(Debug, Deserialize)]
pub struct ShareList {
    pub shares: Vec<Share>,
}
