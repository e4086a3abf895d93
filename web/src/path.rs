//! Parts of a request's path.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::problem::{Problem, ProblemKind};

/// A part of the path. One that cannot be what it names is the name of nothing.
pub(crate) struct ApiPath<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for ApiPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        let Path(path) = path.map_err(|_| {
            let why = "the address names nothing that there is; check the id in it";
            Problem::new(ProblemKind::NotFound, why)
        })?;
        Ok(Self(path))
    }
}
