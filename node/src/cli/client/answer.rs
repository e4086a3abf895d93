//! What a node answered: its body, or why it or every node will not do it.

use bytes::Bytes;
use reqwest::{RequestBuilder, Response, StatusCode};

use super::certificates::complaint;
use super::way;
use crate::cli::CliError;
use crate::cli::api_types::Problem;

/// Why one node did not do what was asked for.
#[derive(Debug)]
pub enum AttemptError {
    /// Another node, or this one later, may do it.
    Elsewhere {
        error: CliError,
        /// Something moved, so that patience starts anew.
        progressed: bool,
    },
    /// Every node would say the same.
    Final(CliError),
}

impl From<CliError> for AttemptError {
    fn from(error: CliError) -> Self {
        Self::Final(error)
    }
}

impl AttemptError {
    /// The node at `url` could not; nothing moved.
    pub fn elsewhere(url: &str, reason: impl std::fmt::Display) -> Self {
        Self::Elsewhere {
            error: CliError::Node {
                url: url.to_owned(),
                reason: reason.to_string(),
            },
            progressed: false,
        }
    }

    /// The connection to `url` failed.
    pub fn lost(url: &str, error: &reqwest::Error) -> Self {
        match way::not_near(error) {
            Some(not_near) => Self::Final(in_the_open(url, not_near)),
            None => match complaint(&innermost(error)) {
                None => Self::elsewhere(url, innermost(error)),
                Some(reason) => Self::Elsewhere {
                    error: CliError::Certificate {
                        url: url.to_owned(),
                        reason,
                    },
                    progressed: false,
                },
            },
        }
    }
}

/// The error where a secret would travel in the open.
pub fn in_the_open(url: &str, why: impl std::fmt::Display) -> CliError {
    CliError::Usage(format!(
        "will not send a password or token to {url} in the open: {why}; use https, or say --insecure"
    ))
}

/// Sends; that the connection fails is a reason to try another node.
pub async fn send(url: &str, request: RequestBuilder) -> Result<Response, AttemptError> {
    request
        .send()
        .await
        .map_err(|error| AttemptError::lost(url, &error))
}

/// The body of a good answer; an error otherwise.
pub async fn whole_body(
    url: &str,
    response: Response,
    exists: bool,
) -> Result<Bytes, AttemptError> {
    let response = good_answer(url, response, exists).await?;
    response
        .bytes()
        .await
        .map_err(|error| AttemptError::lost(url, &error))
}

/// The answer itself where its status is a success. With `exists`, a 404 says that the node is
/// behind, not that there is no such thing.
pub async fn good_answer(
    url: &str,
    response: Response,
    exists: bool,
) -> Result<Response, AttemptError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.bytes().await.unwrap_or_default();
    let error = CliError::Problem(problem_of(url, status, &body));
    if may_differ_elsewhere(status) || (exists && status == StatusCode::NOT_FOUND) {
        return Err(AttemptError::Elsewhere {
            error,
            progressed: false,
        });
    }
    Err(AttemptError::Final(error))
}

/// True where the status speaks of the node, not of the request.
fn may_differ_elsewhere(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::BAD_GATEWAY
            | StatusCode::GATEWAY_TIMEOUT
            | StatusCode::INSUFFICIENT_STORAGE
    )
}

/// The node's own words, or that it had none.
pub fn problem_of(url: &str, status: StatusCode, body: &[u8]) -> Problem {
    serde_json::from_slice(body).unwrap_or_else(|_| Problem {
        problem_type: String::new(),
        title: String::new(),
        status: status.as_u16(),
        detail: format!("{url} answered {status} without saying why"),
    })
}

/// The innermost cause: `Connection refused` says more than three wrappers around it.
pub fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "did not answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
