//! What can go wrong with a command, as one line for people and as JSON for programs.

use std::path::PathBuf;

use jiggablend_raft::{JobId, JobState};
use serde_json::{Value, json};

use super::api_types::{Problem, state_word};

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The arguments are wrong.
    #[error("{0}")]
    Usage(String),
    /// The farm's own answer.
    #[error("{}", .0.detail)]
    Problem(Problem),
    #[error(
        "no node of the farm answers; tried {} ({reason}); start one with `jiggablend node start`, or name one with --url",
        .tried.join(", ")
    )]
    NoNode { tried: Vec<String>, reason: String },
    /// One node did not do what was asked for; another may.
    #[error("{url}: {reason}")]
    Node { url: String, reason: String },
    #[error(
        "no farm is known: {} is not there, and nobody signed in; sign in at a farm with `jiggablend login URL`, start a node with `jiggablend node start`, or name one with --data, or --url and --token",
        .0.display()
    )]
    NoEndpoint(PathBuf),
    /// A data directory in which no node was ever started: one that was named, or this machine's.
    #[error(
        "no node was started in {}; start one with `jiggablend node start`, {}", .dir.display(),
        match .was_named {
            true => "name the data directory of one that was, or leave --data (JIGGABLEND_DATA) out",
            false => "or name one with --data, or --url",
        }
    )]
    NoNodeIn { dir: PathBuf, was_named: bool },
    /// A node that is not believed to be the one that was asked for.
    #[error("will not speak with {url}: {reason}")]
    Certificate { url: String, reason: String },
    #[error("{doing} {}: {reason}", .path.display())]
    File {
        /// For example `cannot read`.
        doing: &'static str,
        path: PathBuf,
        reason: String,
    },
    #[error("{0}")]
    Refused(String),
    /// The job that was waited for is over and is not done.
    #[error("job {job} {}{}", state_word(*.state), .why.as_deref().map(|why| format!(": {why}")).unwrap_or_default())]
    JobNotDone {
        job: JobId,
        state: JobState,
        why: Option<String>,
    },
    #[error("interrupted")]
    Interrupted,
}

impl CliError {
    /// An I/O error at a path; `doing` reads for example `cannot read`.
    pub fn file(
        doing: &'static str,
        path: impl Into<PathBuf>,
        error: impl std::fmt::Display,
    ) -> Self {
        Self::File {
            doing,
            path: path.into(),
            reason: error.to_string(),
        }
    }

    /// 2 for wrong usage, 1 for all else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            _ => 1,
        }
    }

    /// A name for programs: the API's problem name where the farm said no.
    fn kind(&self) -> &str {
        match self {
            Self::Usage(_) => "usage",
            Self::Problem(problem) => problem.name(),
            Self::NoNode { .. } => "no-node",
            Self::Node { .. } => "node-failed",
            Self::NoEndpoint(_) | Self::NoNodeIn { .. } => "no-endpoint",
            Self::Certificate { .. } => "certificate",
            Self::File { .. } => "file",
            Self::Refused(_) => "refused",
            Self::JobNotDone { .. } => "job-not-done",
            Self::Interrupted => "interrupted",
        }
    }

    /// `{"error": {"kind", "detail", …}}`, as `--json` shows it on stderr.
    pub fn to_json(&self) -> Value {
        let mut error = json!({"kind": self.kind(), "detail": self.to_string()});
        match self {
            Self::Problem(problem) => error["status"] = json!(problem.status),
            Self::NoNode { tried, .. } => error["tried"] = json!(tried),
            Self::JobNotDone { job, state, .. } => {
                error["job"] = json!(job);
                error["state"] = json!(state);
            }
            _ => {}
        }
        json!({ "error": error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_keeps_its_name_and_status_in_json() {
        let error = CliError::Problem(Problem {
            problem_type: "urn:jiggablend:problem:not-a-blend".into(),
            title: "not a .blend file".into(),
            status: 422,
            detail: "cat.png is not a .blend file; send one that Blender saved".into(),
        });
        let shown = error.to_json();
        assert_eq!(shown["error"]["kind"], "not-a-blend");
        assert_eq!(shown["error"]["status"], 422);
        assert_eq!(error.exit_code(), 1);
    }

    #[test]
    fn no_answer_names_every_node_that_was_tried_and_what_to_do() {
        let error = CliError::NoNode {
            tried: vec!["http://a:1".into(), "http://b:2".into()],
            reason: "connection refused".into(),
        };
        let text = error.to_string();
        assert!(text.contains("http://a:1, http://b:2"));
        assert!(text.contains("jiggablend node start"));
        assert!(text.contains("--url"));
    }
}
