//! Query strings, with problems that say what is wrong with them.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::json::in_plain_words;
use crate::problem::{Problem, ProblemKind};

/// A query string that must be of that shape.
pub(crate) struct ApiQuery<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(error) => Err(Problem::new(
                ProblemKind::InvalidRequest,
                format!(
                    "the query string is not valid: {}",
                    in_plain_words(&error.body_text())
                ),
            )),
        }
    }
}
