//! What can go wrong with a farm on this machine.

use std::path::PathBuf;
use std::time::Duration;

pub type Result<T, E = TestnetError> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum TestnetError {
    #[error("{doing}: {source}")]
    Io {
        doing: String,
        #[source]
        source: std::io::Error,
    },
    /// The request did not get an answer.
    #[error("{doing}: {source}")]
    Http {
        doing: String,
        #[source]
        source: reqwest::Error,
    },
    /// The node answered with a problem (RFC 9457).
    #[error("{doing}: {status} {name}: {detail}")]
    Problem {
        doing: String,
        status: u16,
        /// The NAME of `urn:jiggablend:problem:NAME`; empty where the answer is no problem.
        name: String,
        detail: String,
    },
    #[error("{doing}: the answer cannot be read: {reason}")]
    Answer { doing: String, reason: String },
    #[error("waited {} s for {what}; last seen: {last_seen}", waited.as_secs())]
    Timeout {
        what: String,
        waited: Duration,
        last_seen: String,
    },
    /// It was waited for something that cannot come any more.
    #[error("waited for {what}, which cannot come any more: {why}")]
    Hopeless { what: String, why: String },
    #[error("{program} failed ({status}); its last words:\n{last_words}")]
    Program {
        program: String,
        status: String,
        last_words: String,
    },
    #[error("node {node} ended ({status}); the end of {log}:\n{last_words}", log = log.display())]
    NodeEnded {
        node: String,
        status: String,
        log: PathBuf,
        last_words: String,
    },
    /// What was asked for makes no sense; says what to do.
    #[error("{0}")]
    Usage(String),
}

impl TestnetError {
    /// For `map_err` on I/O: says what was being done.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }

    /// For `map_err` on requests: says what was being done.
    pub fn http(doing: impl Into<String>) -> impl FnOnce(reqwest::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Http { doing, source }
    }
}
