//! What the bench `events` and the program that makes its load say to each other, as JSON lines.

use serde::{Deserialize, Serialize};

/// The first line: the node serves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Ready {
    pub url: String,
    /// A bearer token of an operator, who sees every job.
    pub token: String,
    /// A session's secret of each member.
    pub sessions: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    Run(Run),
}

/// Frames that are to complete.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Run {
    pub jobs: usize,
    pub per_second: u32,
    pub seconds: u32,
}

/// The answer to [`Run`]: every commit in the order of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Applied {
    /// Their ids; job N is the one of member N, in turn.
    pub jobs: Vec<String>,
    pub commits: Vec<Sample>,
}

/// One frame that was committed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Sample {
    /// The log entry's.
    pub index: u64,
    /// A place in [`Applied::jobs`].
    pub job: u32,
    pub task: u32,
    /// When the entry was applied, by [`monotonic_ns`].
    pub at_ns: u64,
}

/// A clock that all processes of a machine share (CLOCK_MONOTONIC).
pub fn monotonic_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)
        .expect("this clock is always there");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}
