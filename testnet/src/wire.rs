//! What `docs/api.md` sends, as far as a testnet looks at it. Ids stay text: a client's view.

use serde::Deserialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    AwaitingScene,
    Active,
    Done,
    Failed,
    Cancelled,
}

impl JobState {
    /// True where nothing will change any more.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    Waiting,
    Pending,
    Leased,
    Done,
    Failed,
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    Frame,
    Encode,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Failure {
    pub kind: String,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct TaskCounts {
    pub waiting: u32,
    pub pending: u32,
    pub leased: u32,
    pub done: u32,
    pub failed: u32,
    pub cancelled: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct JobSummary {
    pub id: String,
    pub name: String,
    pub state: JobState,
    pub frames: Option<String>,
    pub frame_counts: TaskCounts,
    pub failure: Option<Failure>,
    pub video: bool,
    pub waiting_for: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Job {
    #[serde(flatten)]
    pub summary: JobSummary,
    pub scene: Option<File>,
    pub video_file: Option<File>,
    pub tasks: Vec<Task>,
}

impl Job {
    /// The tasks that render, in the order in which they were asked for.
    pub fn frame_tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks
            .iter()
            .filter(|task| task.kind == TaskKind::Frame)
    }

    /// How many frames are committed.
    pub fn frames_done(&self) -> usize {
        self.frame_tasks()
            .filter(|task| task.state == TaskState::Done)
            .count()
    }

    /// One line for an error message: state, counts, what it waits for, why it failed.
    pub fn in_one_line(&self) -> String {
        let JobSummary {
            state,
            frame_counts,
            waiting_for,
            failure,
            ..
        } = &self.summary;
        format!("job {state:?}, {frame_counts:?}, waiting for {waiting_for:?}, failure {failure:?}")
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Task {
    pub index: u32,
    pub kind: TaskKind,
    pub frame: Option<i32>,
    pub state: TaskState,
    /// The node that has the lease or made the output.
    pub node: Option<u64>,
    pub epoch: u32,
    pub failed_attempts: u32,
    pub file: Option<String>,
    pub render_ms: Option<u64>,
    pub failure: Option<Failure>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    Scene,
    Frame,
    Video,
    Log,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct File {
    pub id: String,
    pub task: Option<u32>,
    pub kind: FileKind,
    pub name: String,
    pub media_type: String,
    pub size_bytes: u64,
    /// The hash of the file's manifest, in hexadecimal.
    pub content: String,
    pub holders: Vec<u64>,
    pub url: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Farm {
    pub id: String,
    pub name: String,
    pub this_node: u64,
    pub leader: Option<u64>,
    pub term: u64,
    pub voters: Vec<u64>,
    pub standbys: Vec<u64>,
    pub applied_index: u64,
    pub last_log_index: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vote {
    Voter,
    Standby,
    None,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Node {
    pub id: u64,
    pub name: String,
    pub vote: Vote,
    pub is_leader: bool,
    pub connected: bool,
    pub runner: Runner,
    pub working_on: Vec<Working>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Runner {
    pub blender_version: Option<String>,
    /// Why it does not render, and what to do about it.
    pub why_not: Option<String>,
    pub slots: u32,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Working {
    pub job: String,
    pub task: u32,
    pub frame: Option<i32>,
}
