//! Renders: takes assignments, drives Blender and ffmpeg, keeps what comes out.
//!
//! The runner knows nothing of Raft. It is given [`Assignment`]s that hold all they need, and
//! gives [`Outcome`]s and live [`Progress`] back through an [`Outbox`].

use async_trait::async_trait;
use jiggablend_raft::{ContentId, Epoch, Failure, FrameNumber, NewFile, SceneFacts, TaskId};
use serde::{Deserialize, Serialize};

/// A lease with everything that is needed to do the work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    pub task: TaskId,
    pub epoch: Epoch,
    pub work: Work,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    Frame {
        frame: FrameNumber,
        scene: ContentRef,
    },
    /// All frames in playing order.
    Encode {
        frames: Vec<(FrameNumber, ContentRef)>,
        fps_numerator: u32,
        fps_denominator: u32,
    },
}

/// Content and the peers that are known to have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRef {
    pub content: ContentId,
    pub size_bytes: u64,
    /// PeerIds in text form.
    pub holders: Vec<String>,
}

/// How an attempt ended. Its bytes are on R nodes already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Committed {
        output: NewFile,
        log: Option<NewFile>,
        render_ms: u64,
    },
    Failed {
        failure: Failure,
        log: Option<NewFile>,
    },
}

/// Where a running frame is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub task: TaskId,
    pub epoch: Epoch,
    /// 0.0 to 1.0, where the engine says it.
    pub fraction: Option<f32>,
    /// Blender's own words, for example `Sample 12/64`.
    pub text: String,
}

/// Where the runner's results go. The node proposes them to the job log, again and again until
/// they are applied or refused.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Returns when the outcome is in the log, or was refused (then the work was for nothing).
    async fn finished(&self, task: TaskId, epoch: Epoch, outcome: Outcome);
    /// What Blender said of a scene when it was first opened for this job.
    async fn inspected(&self, job: jiggablend_raft::JobId, facts: SceneFacts);
    /// Never waits: progress may be dropped.
    fn progress(&self, progress: Progress);
    /// The node ids of these peers, for `NewFile::holders`.
    fn node_ids(&self, peers: &[jiggablend_transfer::PeerId]) -> Vec<jiggablend_raft::NodeId>;
}
