//! Why work came to nothing: how leases end without a word, and how attempts fail.

use serde::{Deserialize, Serialize};

/// Why leases ended without a word from the runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseEnd {
    /// The runner's stream to the leader is gone for longer than the lease's time.
    NodeLost,
    /// The runner said that it does not have the lease, for example after its restart.
    NotRunning,
    /// The runner stops or is being drained.
    Released,
}

/// Why an attempt failed: a kind for programs, a message for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Failure {
    pub kind: FailureKind,
    /// One line: what happened and what to do next.
    pub message: String,
}

/// The kinds of failure. Later rooms add kinds; programs must accept ones that they don't know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum FailureKind {
    /// Blender cannot open the scene file.
    SceneUnreadable,
    NoCamera,
    /// The scene's render engine is not in this Blender.
    EngineMissing,
    /// Blender ended by a signal or left before it answered.
    Crashed,
    /// The picture is missing, does not decode or has the wrong size.
    WrongPicture,
    /// Blender reported an error while rendering.
    RenderError,
    TimedOut,
    DiskFull,
    /// ffmpeg could not make the video.
    EncodeFailed,
    /// Content could not be fetched or stored.
    ContentUnavailable,
}

impl FailureKind {
    /// True where no other node could do better: the job stops with this one message.
    pub fn stops_job(self) -> bool {
        matches!(self, Self::SceneUnreadable | Self::NoCamera)
    }
}
