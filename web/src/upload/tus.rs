//! tus 1.0.0 with creation, expiration and termination: uploads that go on after a break.
//!
//! The pieces lie on the node where the upload was created; its id names that node, and any other
//! node sends a call for it there. A piece is acknowledged when it is fsynced, and the last one
//! when the whole file is checked, on R nodes, and its job has started.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, BodyDataStream};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use jiggablend_raft::{FileId, JobId, TimestampMs};
use serde::Serialize;
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use super::parts::{Part, PartWriter, PartsError, Record, UploadId};
use super::promised::Promise;
use super::scene::{self, MAX_PAUSE, NewScene, UploadError};
use super::tus_headers::{
    EXTENSIONS, TUS_EXTENSION, TUS_MAX_SIZE, TUS_RESUMABLE, TUS_VERSION, UPLOAD_EXPIRES,
    UPLOAD_LENGTH, UPLOAD_OFFSET, VERSION, VersionHeader, check_piece_type, check_version,
    file_name, http_date, number,
};
use super::{Uploaded, place};
use crate::access::{Caller, OwnedJob};
use crate::app::App;
use crate::neighbours::forward;
use crate::problem::{Problem, ProblemKind};

/// What is written at a time.
const WRITE_BYTES: usize = 4 << 20;
/// So much of a piece at most is lost to a crash before its end.
const DURABLE_EVERY_BYTES: u64 = 64 << 20;
/// A request that was told to stop does so within moments; one that finishes a file takes longer,
/// and is not waited for to say how far the upload is.
const LOOK_PATIENCE: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 1 << 20;

/// A place to send a file's pieces to.
#[derive(Serialize, ToSchema)]
pub(crate) struct UploadView {
    upload: String,
    url: String,
    offset_bytes: u64,
    length_bytes: u64,
    expires_at_ms: TimestampMs,
}

/// Says what of tus this farm speaks.
#[utoipa::path(
    options, path = "/api/jobs/{id}/upload", tag = "jobs", params(("id" = JobId, Path)),
    responses((status = 204, headers(
        ("tus-version" = String), ("tus-extension" = String), ("tus-max-size" = u64),
    ))),
)]
pub(crate) async fn discover(State(app): State<App>) -> Response {
    let headers = [
        (TUS_RESUMABLE, VERSION),
        (TUS_VERSION, VERSION),
        (TUS_EXTENSION, EXTENSIONS),
        (TUS_MAX_SIZE, HeaderValue::from(app.config.max_upload_bytes)),
    ];
    (StatusCode::NO_CONTENT, headers).into_response()
}

/// Says what of tus this farm speaks.
#[utoipa::path(
    options, path = "/api/jobs/{id}/uploads/{upload}", tag = "jobs",
    params(("id" = JobId, Path), ("upload" = String, Path)),
    responses((status = 204, headers(
        ("tus-version" = String), ("tus-extension" = String), ("tus-max-size" = u64),
    ))),
)]
pub(crate) async fn discover_upload(app: State<App>) -> Response {
    discover(app).await
}

/// Makes a place for the pieces of a file on this node.
pub(super) fn create(app: &App, job: JobId, headers: &HeaderMap) -> Result<Response, Problem> {
    check_version(headers)?;
    let length_bytes = number(headers, &UPLOAD_LENGTH)?;
    let max_bytes = app.config.max_upload_bytes;
    if length_bytes > max_bytes {
        return Err(UploadError::TooLarge { max_bytes }.into());
    }
    if length_bytes == 0 {
        return Err(scene::empty_file());
    }
    scene::refuse_by_state(app, job)?;
    // Until the upload itself is counted.
    let _promise = Promise::of(app, job, length_bytes)?;
    let id = UploadId {
        node: app.config.node,
        file: FileId::new(),
    };
    let record = Record {
        job,
        name: file_name(headers)?,
        length_bytes,
        offset_bytes: 0,
        touched_at: TimestampMs::now(),
        is_done: false,
    };
    let expires_at = record.expires_at();
    app.parts.create(id, record).map_err(problem_of_parts)?;
    let url = format!("/api/jobs/{job}/uploads/{id}");
    let location = HeaderValue::try_from(&url).expect("ids are plain text");
    let headers = [
        (TUS_RESUMABLE, VERSION),
        (header::LOCATION, location),
        (UPLOAD_OFFSET, HeaderValue::from(0)),
        (UPLOAD_EXPIRES, http_date(expires_at)),
    ];
    let view = UploadView {
        upload: id.to_string(),
        url,
        offset_bytes: 0,
        length_bytes,
        expires_at_ms: expires_at,
    };
    Ok((StatusCode::CREATED, headers, Json(Uploaded::Upload(view))).into_response())
}

/// How much of the file has come.
#[utoipa::path(
    head, path = "/api/jobs/{id}/uploads/{upload}", tag = "jobs",
    params(("id" = JobId, Path), ("upload" = String, Path), VersionHeader),
    responses((status = 200, headers(
        ("upload-offset" = u64), ("upload-length" = u64), ("upload-expires" = String),
    ))),
)]
pub(crate) async fn offset(
    State(app): State<App>,
    OwnedJob(job): OwnedJob,
    Path((_, id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let id = parse_id(job, &id)?;
    if id.node != app.config.node {
        return forward(&app, id.node, request).await;
    }
    check_version(request.headers())?;
    let part = find(&app, job, id)?;
    // Whoever asks goes on from the answer, so nobody else may write any more.
    part.take_over();
    let alone = part.writing.clone().lock_owned();
    let _alone = tokio::time::timeout(LOOK_PATIENCE, alone).await;
    let record = part.record();
    Ok((StatusCode::OK, told(&record)).into_response())
}

/// The file's next bytes, from `Upload-Offset` on. The answer to the last ones comes when the job
/// has its scene.
#[utoipa::path(
    patch, path = "/api/jobs/{id}/uploads/{upload}", tag = "jobs",
    params(
        ("id" = JobId, Path), ("upload" = String, Path),
        VersionHeader, ("Upload-Offset" = u64, Header, description = "Where the piece begins"),
    ),
    request_body(content = String, content_type = "application/offset+octet-stream"),
    responses((status = 204, headers(("upload-offset" = u64), ("upload-expires" = String)))),
)]
pub(crate) async fn patch(
    State(app): State<App>,
    caller: Caller,
    OwnedJob(job): OwnedJob,
    Path((_, id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let id = parse_id(job, &id)?;
    if id.node != app.config.node {
        return forward(&app, id.node, request).await;
    }
    check_version(request.headers())?;
    check_piece_type(request.headers())?;
    let from_bytes = number(request.headers(), &UPLOAD_OFFSET)?;
    let part = find(&app, job, id)?;
    let place = place(&app, &caller)?;
    let taken_over = part.take_over();
    let Ok(alone) = tokio::time::timeout(MAX_PAUSE, part.writing.clone().lock_owned()).await else {
        return Err(busy(&part));
    };
    let record = part.record();
    if record.offset_bytes != from_bytes {
        return Err(other_offset(&record));
    }
    if record.is_done {
        return Ok((StatusCode::NO_CONTENT, told(&record)).into_response());
    }
    scene::refuse_by_state(&app, job)?;
    // A task of its own, which a client that hangs up does not end: what has come is to be counted,
    // and a file that is whole is to reach its job.
    let body = request.into_body();
    let receiver = app.clone();
    let receiving = app.tasks.spawn(async move {
        let (_alone, _place) = (alone, place);
        receive(&receiver, &part, body, taken_over).await?;
        let record = part.record();
        if record.offset_bytes == record.length_bytes {
            finish(&receiver, &caller, &part).await?;
        }
        Ok::<_, Problem>(told(&part.record()))
    });
    let received = receiving.await;
    let headers = received.map_err(|_| Problem::from(UploadError::CheckFailed))??;
    Ok((StatusCode::NO_CONTENT, headers).into_response())
}

/// Gives an upload up and frees its space.
#[utoipa::path(
    delete, path = "/api/jobs/{id}/uploads/{upload}", tag = "jobs",
    params(("id" = JobId, Path), ("upload" = String, Path), VersionHeader),
    responses((status = 204)),
)]
pub(crate) async fn remove(
    State(app): State<App>,
    OwnedJob(job): OwnedJob,
    Path((_, id)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    let id = parse_id(job, &id)?;
    if id.node != app.config.node {
        return forward(&app, id.node, request).await;
    }
    check_version(request.headers())?;
    let part = find(&app, job, id)?;
    part.take_over();
    let Ok(_alone) = tokio::time::timeout(MAX_PAUSE, part.writing.lock()).await else {
        return Err(busy(&part));
    };
    let parts = app.parts.clone();
    blocking(move || {
        parts.remove(id);
        Ok(())
    })
    .await?;
    Ok((StatusCode::NO_CONTENT, [(TUS_RESUMABLE, VERSION)]).into_response())
}

/// Writes what comes until the body ends, breaks off, or another request takes over. What came
/// whole is kept and counted in any case.
async fn receive(
    app: &App,
    part: &Arc<Part>,
    body: Body,
    taken_over: CancellationToken,
) -> Result<(), Problem> {
    let record = part.record();
    let room_bytes = record.length_bytes - record.offset_bytes;
    let (opening, of) = (app.parts.clone(), Arc::clone(part));
    let writer = blocking(move || opening.writer(&of)).await?;
    let mut receiving = Receiving {
        body: body.into_data_stream(),
        room_bytes,
        taken_over,
        stop: app.stop.clone(),
    };
    let mut writer = Some(writer);
    let mut since_durable = 0;
    let ended = loop {
        let (pieces, ended) = receiving.next_pieces().await;
        since_durable += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        let is_durable = ended.is_some() || since_durable >= DURABLE_EVERY_BYTES;
        if is_durable {
            since_durable = 0;
        }
        let mut held: PartWriter = writer.take().expect("the last turn gave it back");
        let written = blocking(move || {
            held.write(&pieces)?;
            if is_durable {
                held.make_durable()?;
            }
            Ok(held)
        });
        writer = Some(written.await?);
        if let Some(ended) = ended {
            break ended;
        }
    };
    ended.map_err(Problem::from)
}

/// A request's body, some of it at a time.
struct Receiving {
    body: BodyDataStream,
    /// What the file still lacks.
    room_bytes: u64,
    taken_over: CancellationToken,
    /// The web port stops.
    stop: CancellationToken,
}

impl Receiving {
    /// Some bytes, and how the body has ended where it has.
    async fn next_pieces(&mut self) -> (Vec<Bytes>, Option<Result<(), UploadError>>) {
        let mut pieces = Vec::new();
        let mut length = 0;
        while length < WRITE_BYTES {
            match self.next_piece().await {
                Ok(Some(piece)) => {
                    length += piece.len();
                    pieces.push(piece);
                }
                Ok(None) => return (pieces, Some(Ok(()))),
                Err(error) => return (pieces, Some(Err(error))),
            }
        }
        (pieces, None)
    }

    async fn next_piece(&mut self) -> Result<Option<Bytes>, UploadError> {
        let next = tokio::select! {
            next = tokio::time::timeout(MAX_PAUSE, self.body.next()) => next,
            () = self.taken_over.cancelled() => return Err(UploadError::TakenOver),
            () = self.stop.cancelled() => return Err(UploadError::Stopped),
        };
        let Some(piece) = next.map_err(|_| UploadError::Stalled)? else {
            return Ok(None);
        };
        let piece = piece.map_err(|error| UploadError::Broken(error.to_string()))?;
        let left_bytes = self.room_bytes.checked_sub(piece.len() as u64);
        self.room_bytes = left_bytes.ok_or(UploadError::TooLong)?;
        Ok(Some(piece))
    }
}

/// Gives the whole file to its job. A file that is refused goes; one that could not be kept now
/// stays, and an empty piece at its end tries again.
async fn finish(app: &App, caller: &Caller, part: &Arc<Part>) -> Result<(), Problem> {
    let record = part.record();
    // It was promised its bytes when it began; the quota may be another one since.
    scene::refuse_by_quota(app, record.job, record.length_bytes)?;
    let scene = NewScene {
        id: part.id.file,
        name: record.name,
    };
    let pieces = read_part(app.parts.bytes_path(part.id)).await;
    let given = scene::give(app, caller, record.job, scene, pieces, None).await;
    let (parts, part) = (app.parts.clone(), Arc::clone(part));
    match given {
        Ok(_) => blocking(move || parts.finish(&part)).await,
        Err(problem) if problem.is_the_clients() => {
            blocking(move || {
                parts.remove(part.id);
                Ok(())
            })
            .await?;
            Err(problem)
        }
        Err(problem) => Err(problem),
    }
}

async fn read_part(
    path: std::path::PathBuf,
) -> impl Stream<Item = Result<Bytes, UploadError>> + Unpin + Send {
    let cannot_read = |error: io::Error| UploadError::Broken(error.to_string());
    let opened = tokio::fs::File::open(path).await.map_err(cannot_read);
    match opened {
        Ok(file) => ReaderStream::with_capacity(file, READ_BYTES)
            .map(move |piece| piece.map_err(cannot_read))
            .boxed(),
        Err(error) => futures::stream::iter([Err(error)]).boxed(),
    }
}

fn told(record: &Record) -> HeaderMap {
    HeaderMap::from_iter([
        (TUS_RESUMABLE, VERSION),
        (UPLOAD_OFFSET, HeaderValue::from(record.offset_bytes)),
        (UPLOAD_LENGTH, HeaderValue::from(record.length_bytes)),
        (UPLOAD_EXPIRES, http_date(record.expires_at())),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ])
}

fn parse_id(job: JobId, text: &str) -> Result<UploadId, Problem> {
    text.parse().map_err(|()| unknown(job))
}

fn find(app: &App, job: JobId, id: UploadId) -> Result<Arc<Part>, Problem> {
    let part = app.parts.get(id).ok_or_else(|| unknown(job))?;
    let record = part.record();
    let is_there = record.job == job && record.expires_at() > TimestampMs::now();
    is_there.then_some(part).ok_or_else(|| unknown(job))
}

fn unknown(job: JobId) -> Problem {
    Problem::new(
        ProblemKind::UnknownUpload,
        format!("job {job} has no such upload, or it is expired; create another one"),
    )
}

fn busy(part: &Part) -> Problem {
    let why = format!(
        "upload {} is being finished by another request; ask for its offset in a moment",
        part.id
    );
    Problem::new(ProblemKind::Conflict, why)
}

fn other_offset(record: &Record) -> Problem {
    Problem::new(
        ProblemKind::Conflict,
        format!(
            "this upload goes on at byte {}; HEAD says so, send the bytes from there",
            record.offset_bytes
        ),
    )
    .header(UPLOAD_OFFSET, HeaderValue::from(record.offset_bytes))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PartsError> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|_| Problem::from(UploadError::CheckFailed))?;
    done.map_err(problem_of_parts)
}

fn problem_of_parts(error: PartsError) -> Problem {
    match error {
        PartsError::TooMany => {
            let why = format!("{error}; try again later, or at another node");
            Problem::new(ProblemKind::Busy, why).retry_after_seconds(60)
        }
        PartsError::Full => Problem::new(
            ProblemKind::StorageFull,
            format!("{error}; free space on it, or send the file to another node"),
        ),
        PartsError::Io { .. } => {
            tracing::error!(%error, "cannot keep the pieces of an upload");
            let why = "this node cannot keep the file; its log says why; send it to another node";
            Problem::new(ProblemKind::Internal, why)
        }
    }
}
