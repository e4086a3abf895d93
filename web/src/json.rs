//! JSON bodies, with problems that say what is wrong with them.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::header;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use crate::problem::{Problem, ProblemKind};

/// A body that must be JSON of that shape.
pub(crate) struct ApiJson<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for ApiJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        // Also what keeps a foreign page's form from being read as JSON.
        let media_type = request.headers().get(header::CONTENT_TYPE);
        let is_json = media_type
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split(';').next())
            .is_some_and(|value| value.trim().eq_ignore_ascii_case("application/json"));
        if !is_json {
            return Err(Problem::new(
                ProblemKind::WrongMediaType,
                "the body must be JSON; send it with Content-Type: application/json",
            ));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|error| {
            let kind = match error.status() {
                axum::http::StatusCode::PAYLOAD_TOO_LARGE => ProblemKind::TooLarge,
                _ => ProblemKind::BadJson,
            };
            Problem::new(
                kind,
                format!("the body could not be read: {}", error.body_text()),
            )
        })?;
        parse(&bytes).map(Self)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        let (kind, what) = match error.classify() {
            Category::Data => (ProblemKind::InvalidRequest, "the body is not valid"),
            _ => (ProblemKind::BadJson, "the body is not JSON"),
        };
        Problem::new(kind, format!("{what}: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[serde(rename = "name")]
        _name: String,
    }

    #[test]
    fn a_body_of_another_shape_is_told_from_one_that_is_no_json() {
        let kind = |text: &str| parse::<Body>(text.as_bytes()).map_err(|problem| problem.kind());
        assert!(kind(r#"{"name": "a"}"#).is_ok());
        let unknown = kind(r#"{"name": "a", "colour": 1}"#);
        assert_eq!(unknown.err(), Some(ProblemKind::InvalidRequest));
        let wrong_type = kind(r#"{"name": 3}"#);
        assert_eq!(wrong_type.err(), Some(ProblemKind::InvalidRequest));
        assert_eq!(kind("{").err(), Some(ProblemKind::BadJson));
        assert_eq!(kind("").err(), Some(ProblemKind::BadJson));
    }
}
