//! A file as a browser's form sends it: multipart/form-data.

use std::time::Duration;

use axum::extract::multipart::{Field, Multipart};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use utoipa::ToSchema;

use super::scene::{MAX_PAUSE, UploadError};
use crate::problem::{Problem, ProblemKind};

/// What surrounds the file in a multipart body, generously.
const ENVELOPE_BYTES: u64 = 64 * 1024;
const DRAIN_BYTES: usize = 256 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// The body of an upload, as `curl -F file=@scene.blend` sends it.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "its shape is for the document; the body is read as it comes"
)]
pub(super) struct SceneUpload {
    #[schema(value_type = String, format = Binary)]
    file: (),
}

/// The least that the file has, by the length of the body; zero where that is not told. Says no
/// where that is too large already, before a byte is stored.
pub(super) fn least_length(headers: &HeaderMap, max_bytes: u64) -> Result<u64, Problem> {
    let length: Option<u64> = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse().ok());
    let least_bytes = length.unwrap_or(0).saturating_sub(ENVELOPE_BYTES);
    if least_bytes > max_bytes {
        return Err(UploadError::TooLarge { max_bytes }.into());
    }
    Ok(least_bytes)
}

/// The part's bytes as they come.
pub(super) fn pieces<'a>(
    field: &'a mut Field<'_>,
) -> impl Stream<Item = Result<Bytes, UploadError>> + Unpin + Send + 'a {
    let start = field;
    Box::pin(futures::stream::try_unfold(start, async |field| {
        let next = tokio::time::timeout(MAX_PAUSE, field.next()).await;
        let piece = next.map_err(|_| UploadError::Stalled)?.transpose();
        let piece = piece.map_err(|error| UploadError::Broken(error.body_text()))?;
        Ok(piece.map(|piece| (piece, field)))
    }))
}

/// The part called `file`.
pub(super) async fn file_part(multipart: &mut Multipart) -> Result<Field<'_>, Problem> {
    let bad = |what: String| Problem::new(ProblemKind::BadUpload, what);
    let next = tokio::time::timeout(MAX_PAUSE, multipart.next_field())
        .await
        .map_err(|_| Problem::from(UploadError::Stalled))?;
    let field = next.map_err(|error| bad(error.body_text()))?;
    match field {
        Some(field) if field.name() == Some("file") => Ok(field),
        Some(field) => Err(bad(format!(
            "the first part is called '{}'; send one part called 'file', as curl -F file=@scene.blend does",
            field.name().unwrap_or_default().escape_debug()
        ))),
        None => Err(bad(
            "the body has no parts; send one called 'file', as curl -F file=@scene.blend does"
                .to_owned(),
        )),
    }
}

/// Reads on for a moment after a refusal: a client that is still sending would otherwise see its
/// connection reset instead of the answer.
pub(super) async fn drain(mut field: Field<'_>) {
    let reading = async {
        let mut left_bytes = DRAIN_BYTES;
        while let Some(Ok(piece)) = field.next().await {
            left_bytes = left_bytes.saturating_sub(piece.len());
            if left_bytes == 0 {
                return;
            }
        }
    };
    // Time is up: then the client gets the reset.
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
}
