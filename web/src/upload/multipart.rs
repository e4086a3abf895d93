//! A file as a browser's form sends it: multipart/form-data.

use std::time::Duration;

use axum::extract::multipart::{Field, Multipart};
use axum::http::{HeaderMap, header};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use utoipa::ToSchema;

use super::scene::{MAX_PAUSE, UploadError};
use crate::files::safe_file_name;
use crate::problem::{Problem, ProblemKind};

/// What surrounds the file in a multipart body, generously.
const ENVELOPE_BYTES: u64 = 64 * 1024;
/// Of parts before the file.
const MAX_SKIPPED_PARTS: usize = 16;
const MAX_SKIPPED_BYTES: usize = 32 * 1024;
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

/// The next part of the body.
pub(super) async fn next_part(multipart: &mut Multipart) -> Result<Field<'_>, Problem> {
    let next = tokio::time::timeout(MAX_PAUSE, multipart.next_field())
        .await
        .map_err(|_| Problem::from(UploadError::Stalled))?;
    let field = next.map_err(|error| bad(error.body_text()))?;
    field.ok_or_else(|| {
        let why = "the body has no part called 'file'; send one, as curl -F file=@scene.blend does";
        bad(why.to_owned())
    })
}

/// The parts before the file: what else a form sends, which is nothing to us.
#[derive(Default)]
pub(super) struct Skipped {
    parts: usize,
    bytes: usize,
}

impl Skipped {
    pub(super) async fn skip(&mut self, mut field: Field<'_>) -> Result<(), Problem> {
        self.parts += 1;
        let mut pieces = pieces(&mut field);
        while let Some(piece) = pieces.next().await {
            self.bytes += piece?.len();
            if self.bytes > MAX_SKIPPED_BYTES {
                break;
            }
        }
        if self.parts <= MAX_SKIPPED_PARTS && self.bytes <= MAX_SKIPPED_BYTES {
            return Ok(());
        }
        Err(bad(format!(
            "before the part called 'file' come more than {MAX_SKIPPED_PARTS} others, or more than {} KiB; send it first",
            MAX_SKIPPED_BYTES / 1024
        )))
    }
}

fn bad(what: String) -> Problem {
    Problem::new(ProblemKind::BadUpload, what)
}

/// What the file is called where it comes from, made safe.
pub(super) fn file_name(field: &Field<'_>) -> Option<String> {
    field
        .file_name()
        .map(decoded_name)
        .as_deref()
        .and_then(safe_file_name)
}

/// Browsers write a quote and line breaks as percent codes, and those alone: see "multipart form
/// data" in the HTML standard.
fn decoded_name(name: &str) -> String {
    name.replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_browsers_write_it() {
        assert_eq!(decoded_name("a %22best%22.blend"), "a \"best\".blend");
        assert_eq!(decoded_name("100%.blend"), "100%.blend");
        assert_eq!(
            decoded_name("a%20b.blend"),
            "a%20b.blend",
            "nothing else is encoded"
        );
        let name = safe_file_name(&decoded_name("a%0D%0Ab.blend"));
        assert_eq!(name.as_deref(), Some("ab.blend"));
    }
}
