//! Small pictures of frames, made when they are asked for.

use std::collections::{HashMap, VecDeque};
use std::io::Cursor;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::TryStreamExt;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use jiggablend_raft::{ContentId, File, FileId, JobId};
use serde::Deserialize;
use tokio::sync::Semaphore;
use utoipa::IntoParams;

use super::range::names_etag;
use super::{find, headers, stream};
use crate::access::{Access, Caller, OwnedJob, check_again};
use crate::app::App;
use crate::problem::{Problem, ProblemKind};
use crate::query::ApiQuery;

const DEFAULT_WIDTH: u32 = 256;
const JPEG_QUALITY: u8 = 82;
/// Pictures that are made small at a time: each takes a core, and memory for all its pixels.
const MADE_AT_A_TIME: usize = 2;
/// How long a request waits for its turn.
const TURN_PATIENCE: Duration = Duration::from_secs(20);
const MAX_FILE_BYTES: u64 = 256 << 20;
const MAX_SIDE_PX: u32 = 16 * 1024;
const MAX_PICTURE_BYTES: u64 = 512 << 20;
/// A picture that is much higher than wide does not become a tall preview.
const MAX_HEIGHT_PX: u32 = 2048;
/// Of all previews that this node remembers.
const CACHE_BYTES: usize = 32 << 20;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewQuery {
    /// In pixels; a smaller picture stays as it is.
    #[param(minimum = 64, maximum = 1024)]
    width: Option<u32>,
}

/// A picture, smaller.
#[utoipa::path(
    get, path = "/api/jobs/{id}/files/{file}/preview", tag = "files",
    params(("id" = JobId, Path), ("file" = FileId, Path), PreviewQuery,
        ("If-None-Match" = Option<String>, Header, description = "304 where it has one of these ETags")),
    responses(
        (status = 200, content((String = "image/jpeg"), (String = "image/png"))),
        (status = 304, description = "The client has it"),
    ),
)]
pub(crate) async fn preview(
    State(app): State<App>,
    caller: Caller,
    OwnedJob(job): OwnedJob,
    Path((_, id)): Path<(String, String)>,
    ApiQuery(query): ApiQuery<PreviewQuery>,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let width_px = query.width.unwrap_or(DEFAULT_WIDTH);
    if !(64..=1024).contains(&width_px) {
        let why = "width must be 64 to 1024";
        return Err(Problem::new(ProblemKind::InvalidRequest, why));
    }
    let file = find(&app, job, &id)?;
    let format = format_of(&file)?;
    let etag = HeaderValue::try_from(format!("\"{}-{width_px}\"", file.content));
    let etag = etag.expect("hex digits in quotes");
    if names_etag(request.get(header::IF_NONE_MATCH), &etag) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    let key = (file.content, width_px);
    let made = match app.previews.known(key) {
        Some(made) => made,
        None => {
            let made = make(&app, &file, format, width_px).await?;
            app.previews.remember(key, made.clone());
            // It may have waited long for its turn.
            check_again(&app, &caller, Access::JobReader, false, job)?;
            made
        }
    };
    let mut headers = headers::of_picture(made.media_type, etag);
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(made.bytes.len()));
    Ok((headers, made.bytes).into_response())
}

fn format_of(file: &File) -> Result<ImageFormat, Problem> {
    let format = match &*file.media_type {
        "image/png" => Some(ImageFormat::Png),
        "image/jpeg" => Some(ImageFormat::Jpeg),
        _ => None,
    };
    match format {
        Some(format) if file.size_bytes <= MAX_FILE_BYTES => Ok(format),
        Some(_) => Err(no_preview(file, "it is too large")),
        None => Err(no_preview(file, "it is neither PNG nor JPEG")),
    }
}

fn no_preview(file: &File, why: &str) -> Problem {
    Problem::new(
        ProblemKind::NoPreview,
        format!(
            "file {} has no preview: {why}; download it instead",
            file.id
        ),
    )
}

async fn make(
    app: &App,
    file: &File,
    format: ImageFormat,
    width_px: u32,
) -> Result<Preview, Problem> {
    let turn = tokio::time::timeout(TURN_PATIENCE, app.previews.turns.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        let why = "this node makes as many previews as it can; try again in a moment";
        return Err(Problem::new(ProblemKind::Busy, why).retry_after_seconds(5));
    };
    let bytes = stream(app, file).await?;
    let whole = Vec::with_capacity(usize::try_from(file.size_bytes).unwrap_or_default());
    let whole = bytes.try_fold(whole, async |mut whole: Vec<u8>, piece| {
        whole.extend_from_slice(&piece);
        Ok(whole)
    });
    let whole = whole.await.map_err(|error| {
        tracing::warn!(file = %file.id, %error, "cannot read a picture for its preview");
        let why = "the picture could not be read as a whole; try again in a moment";
        Problem::new(ProblemKind::ContentUnavailable, why).retry_after_seconds(10)
    })?;
    let made = tokio::task::spawn_blocking(move || shrink(whole, format, width_px)).await;
    match made {
        Ok(Ok(made)) => Ok(made),
        Ok(Err(error)) => Err(no_preview(file, &error.to_string())),
        Err(_) => Err(no_preview(file, "it cannot be decoded")),
    }
}

/// Decodes within bounds of pixels and memory, and encodes what the page shows.
fn shrink(bytes: Vec<u8>, format: ImageFormat, width_px: u32) -> image::ImageResult<Preview> {
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE_PX);
    limits.max_image_height = Some(MAX_SIDE_PX);
    limits.max_alloc = Some(MAX_PICTURE_BYTES);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let picture = reader.decode()?;
    let is_small = picture.width() <= width_px && picture.height() <= MAX_HEIGHT_PX;
    let small = match is_small {
        true => picture,
        false => picture.thumbnail(width_px, MAX_HEIGHT_PX),
    };
    let mut encoded = Vec::new();
    if is_opaque(&small) {
        let encoder = JpegEncoder::new_with_quality(&mut encoded, JPEG_QUALITY);
        small.to_rgb8().write_with_encoder(encoder)?;
    } else {
        small
            .to_rgba8()
            .write_to(&mut Cursor::new(&mut encoded), ImageFormat::Png)?;
        return Ok(Preview {
            media_type: "image/png",
            bytes: encoded.into(),
        });
    }
    Ok(Preview {
        media_type: "image/jpeg",
        bytes: encoded.into(),
    })
}

fn is_opaque(picture: &DynamicImage) -> bool {
    !picture.color().has_alpha() || picture.to_rgba8().pixels().all(|pixel| pixel[3] == u8::MAX)
}

#[derive(Debug, Clone)]
struct Preview {
    media_type: &'static str,
    bytes: Bytes,
}

type Key = (ContentId, u32);

/// The previews that this node has made, the newest ones, and whose turn it is to make one.
pub(crate) struct Previews {
    turns: Semaphore,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    previews: HashMap<Key, Preview>,
    /// The oldest first.
    order: VecDeque<Key>,
    bytes: usize,
}

impl Default for Previews {
    fn default() -> Self {
        Self {
            turns: Semaphore::new(MADE_AT_A_TIME),
            cache: Mutex::default(),
        }
    }
}

impl Previews {
    fn known(&self, key: Key) -> Option<Preview> {
        let cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        cache.previews.get(&key).cloned()
    }

    fn remember(&self, key: Key, preview: Preview) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let added_bytes = preview.bytes.len();
        if cache.previews.insert(key, preview).is_some() {
            return;
        }
        cache.order.push_back(key);
        cache.bytes += added_bytes;
        while cache.bytes > CACHE_BYTES
            && let Some(oldest) = cache.order.pop_front()
        {
            let gone = cache.previews.remove(&oldest);
            cache.bytes -= gone.map_or(0, |preview| preview.bytes.len());
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn png(picture: &DynamicImage) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut cursor = Cursor::new(&mut bytes);
        picture.write_to(&mut cursor, ImageFormat::Png).unwrap();
        bytes
    }

    fn size_of(preview: &Preview) -> (u32, u32) {
        let picture = image::load_from_memory(&preview.bytes).unwrap();
        (picture.width(), picture.height())
    }

    #[test]
    fn pictures_become_as_wide_as_asked_and_never_wider_than_they_are() {
        let opaque = png(&DynamicImage::new_rgb16(400, 200));
        let preview = shrink(opaque.clone(), ImageFormat::Png, 100).unwrap();
        assert_eq!(preview.media_type, "image/jpeg");
        assert_eq!(size_of(&preview), (100, 50));
        let preview = shrink(opaque, ImageFormat::Png, 1024).unwrap();
        assert_eq!(size_of(&preview), (400, 200));

        let transparent = png(&DynamicImage::new_rgba8(400, 200));
        let preview = shrink(transparent, ImageFormat::Png, 100).unwrap();
        assert_eq!(preview.media_type, "image/png");
        assert_eq!(size_of(&preview), (100, 50));
    }

    #[test]
    fn a_picture_that_claims_too_many_pixels_is_not_decoded() {
        // A PNG's head that names 60,000 x 60,000 pixels.
        let mut bomb = png(&DynamicImage::new_rgb8(1, 1));
        bomb[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
        bomb[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
        let mut crc = crc32fast::Hasher::new();
        crc.update(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&crc.finalize().to_be_bytes());
        let refused = shrink(bomb, ImageFormat::Png, 100);
        assert!(
            matches!(refused, Err(image::ImageError::Limits(_))),
            "{refused:?}"
        );
    }

    #[test]
    fn the_cache_is_bounded_and_forgets_the_oldest() {
        let previews = Previews::default();
        let preview = Preview {
            media_type: "image/png",
            bytes: vec![0; CACHE_BYTES / 4].into(),
        };
        let key = |seed| (ContentId([seed; 32]), 64);
        for seed in 0..6 {
            previews.remember(key(seed), preview.clone());
        }
        let known: Vec<u8> = (0..6)
            .filter(|seed| previews.known(key(*seed)).is_some())
            .collect();
        assert_eq!(known, [2, 3, 4, 5]);
    }
}
