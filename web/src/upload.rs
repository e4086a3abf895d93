//! A job's scene file comes in: one stream, checked while it is kept.
//!
//! The bytes go straight into the content store and, beside it, through the check in a thread of
//! its own. The store sees the end of the stream only after the check has said that the file is
//! whole, so that nothing is kept under the name of a file that was refused.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::multipart::{Field, Multipart, MultipartError, MultipartRejection};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use jiggablend_raft::{
    Action, ContentId, FileId, FileKind, FrameList, JobId, NewFile, ProposeError, Refusal,
};
use jiggablend_transfer::{Chunking, Kept, StoreError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::io::StreamReader;

use utoipa::ToSchema;

use crate::access::{Caller, OwnedJob};
use crate::app::App;
use crate::blend::{BlendCheck, BlendError, BlendFacts};
use crate::files::safe_file_name;
use crate::problem::{Problem, ProblemKind};
use crate::views::FileView;

/// A packed scene may unpack to this many times the largest upload.
const MAX_UNPACKED_RATIO: u64 = 8;
/// A client that sends nothing for so long is not waited for.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// How long members are waited for that the copies need.
const COPY_PATIENCE: Duration = Duration::from_secs(30);
/// Between the upload and the thread that checks it.
const PIECES_IN_FLIGHT: usize = 8;
/// What surrounds the file in a multipart body, generously.
const ENVELOPE_BYTES: u64 = 64 * 1024;
const DRAIN_BYTES: usize = 256 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(5);
const MEDIA_TYPE: &str = "application/x-blender";

/// Why the stream of a scene file ended before its end.
#[derive(Debug, thiserror::Error)]
enum UploadError {
    #[error(transparent)]
    Blend(#[from] BlendError),
    #[error("the file is larger than {max_bytes} bytes, the most that this node takes")]
    TooLarge { max_bytes: u64 },
    #[error("nothing of the file came for {} s; send it again", MAX_PAUSE.as_secs())]
    Stalled,
    #[error("the upload broke off: {0}; send it again")]
    Broken(String),
    #[error("the check of the file failed; send it again")]
    CheckFailed,
}

/// The body of an upload, as `curl -F file=@scene.blend` sends it.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "its shape is for the document; the body is read as it comes"
)]
struct SceneUpload {
    #[schema(value_type = String, format = Binary)]
    file: (),
}

/// Gives a job its scene file, and the job starts.
#[utoipa::path(
    post, path = "/api/jobs/{id}/upload", tag = "jobs", params(("id" = JobId, Path)),
    request_body(content = SceneUpload, content_type = "multipart/form-data"),
    responses((status = 201, body = FileView)),
)]
pub(crate) async fn upload(
    State(app): State<App>,
    caller: Caller,
    OwnedJob(job): OwnedJob,
    headers: HeaderMap,
    multipart: Result<Multipart, MultipartRejection>,
) -> Result<Response, Problem> {
    let Ok(_slot) = Arc::clone(&app.uploads).try_acquire_owned() else {
        let why = "too many files are being sent to this node; try again in a moment";
        return Err(Problem::new(ProblemKind::Busy, why).retry_after_seconds(5));
    };
    let max_bytes = app.config.max_upload_bytes;
    refuse_by_length(&headers, max_bytes)?;
    refuse_by_state(&app, job)?;
    let mut multipart =
        multipart.map_err(|error| Problem::new(ProblemKind::WrongMediaType, error.body_text()))?;
    let mut field = file_part(&mut multipart).await?;
    let file_name = field.file_name().and_then(safe_file_name);

    let (kept, facts) = match keep(&app, &mut field, max_bytes).await {
        Ok(kept) => kept,
        Err(problem) => {
            drain(field).await;
            return Err(problem);
        }
    };
    let file = NewFile {
        id: FileId::new(),
        kind: FileKind::Scene,
        name: file_name.unwrap_or_else(|| "scene.blend".to_owned()),
        media_type: MEDIA_TYPE.to_owned(),
        content: ContentId(kept.stored.manifest.0),
        size_bytes: kept.stored.size_bytes,
        holders: holders(&app, &kept),
    };
    let id = file.id;
    let scene_frames = scene_frames(&app, job, &facts)?;
    let added = Action::SceneAdded {
        job,
        file,
        scene_frames,
    };
    match app.propose(&caller, added).await {
        Ok(_) => {}
        Err(ProposeError::Refused(Refusal::Conflict(_))) => {
            refuse_by_state(&app, job)?;
            return Err(scene_is_there(job));
        }
        Err(error) => return Err(error.into()),
    }
    let view = app.log.read(|state| state.files.get(&id).map(FileView::of));
    let view = view.ok_or_else(|| Problem::unknown_job(&job.to_string()))?;
    Ok((StatusCode::CREATED, Json(view)).into_response())
}

/// Says no before a byte is stored, where the length of the body tells already.
fn refuse_by_length(headers: &HeaderMap, max_bytes: u64) -> Result<(), Problem> {
    let length: Option<u64> = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok())
        .and_then(|length| length.parse().ok());
    match length {
        Some(length) if length > max_bytes.saturating_add(ENVELOPE_BYTES) => {
            Err(UploadError::TooLarge { max_bytes }.into())
        }
        _ => Ok(()),
    }
}

fn scene_is_there(job: JobId) -> Problem {
    Problem::new(
        ProblemKind::SceneIsThere,
        format!("job {job} has its scene file; create another job for another scene"),
    )
}

fn refuse_by_state(app: &App, job: JobId) -> Result<(), Problem> {
    app.log.read(|state| {
        let Some(found) = state.jobs.get(&job) else {
            return Err(Problem::unknown_job(&job.to_string()));
        };
        if found.scene.is_some() {
            return Err(scene_is_there(job));
        }
        if found.state.is_final() {
            return Err(Problem::new(
                ProblemKind::JobIsOver,
                format!("job {job} is over and takes no scene file; create another job"),
            ));
        }
        Ok(())
    })
}

async fn file_part(multipart: &mut Multipart) -> Result<Field<'_>, Problem> {
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
async fn drain(mut field: Field<'_>) {
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

/// Stores the part's bytes on R nodes, if they are a whole .blend.
async fn keep(
    app: &App,
    field: &mut Field<'_>,
    max_bytes: u64,
) -> Result<(Kept, BlendFacts), Problem> {
    let mut facts = None;
    let kept = {
        let checked = pin!(checked_pieces(field, max_bytes, &mut facts));
        let reader = StreamReader::new(checked);
        let keeping = app.content.keep(
            reader,
            Chunking::ContentDefined,
            app.config.copies,
            COPY_PATIENCE,
        );
        keeping.await.map_err(problem_of_store)?
    };
    let facts = facts.ok_or(UploadError::CheckFailed)?;
    Ok((kept, facts))
}

/// The part's bytes as they come. The stream ends well only if they were a whole .blend; then
/// `facts` has what the check found.
fn checked_pieces<'a>(
    pieces: impl Stream<Item = Result<Bytes, MultipartError>> + Unpin + Send + 'a,
    max_bytes: u64,
    facts: &'a mut Option<BlendFacts>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'a {
    let checking = Checking::start(max_bytes.saturating_mul(MAX_UNPACKED_RATIO));
    let start = (pieces, checking, facts, 0_u64);
    futures::stream::try_unfold(
        start,
        move |(mut pieces, mut checking, facts, total)| async move {
            let next = tokio::time::timeout(MAX_PAUSE, pieces.next()).await;
            let Some(piece) = next.map_err(|_| UploadError::Stalled)? else {
                *facts = Some(checking.finish().await?);
                return Ok(None);
            };
            let piece = piece.map_err(|error| UploadError::Broken(error.body_text()))?;
            let total = total + piece.len() as u64;
            if total > max_bytes {
                return Err(UploadError::TooLarge { max_bytes });
            }
            checking.push(piece.clone()).await?;
            Ok(Some((piece, (pieces, checking, facts, total))))
        },
    )
    .map(|piece| piece.map_err(io::Error::other))
}

/// The check in a thread of its own, since unpacking takes longer than an async thread may.
/// The thread ends with the check, or when this is dropped.
struct Checking {
    pieces: Option<mpsc::Sender<Bytes>>,
    verdict: JoinHandle<Result<BlendFacts, BlendError>>,
}

impl Checking {
    fn start(max_unpacked_bytes: u64) -> Self {
        let (sender, mut receiver) = mpsc::channel::<Bytes>(PIECES_IN_FLIGHT);
        let verdict = tokio::task::spawn_blocking(move || {
            let mut check = BlendCheck::new(max_unpacked_bytes);
            while let Some(piece) = receiver.blocking_recv() {
                check.push(&piece)?;
            }
            check.finish()
        });
        Self {
            pieces: Some(sender),
            verdict,
        }
    }

    async fn push(&mut self, piece: Bytes) -> Result<(), UploadError> {
        let Some(pieces) = &self.pieces else {
            return Err(UploadError::CheckFailed);
        };
        if pieces.send(piece).await.is_ok() {
            return Ok(());
        }
        // The thread stops listening only when it has found a fault.
        match self.finish().await {
            Ok(_) => Err(UploadError::CheckFailed),
            Err(error) => Err(error),
        }
    }

    async fn finish(&mut self) -> Result<BlendFacts, UploadError> {
        self.pieces = None;
        let verdict = (&mut self.verdict).await;
        let facts = verdict.map_err(|_| UploadError::CheckFailed)??;
        Ok(facts)
    }
}

/// The nodes that hold what was kept.
pub(crate) fn holders(app: &App, kept: &Kept) -> Vec<jiggablend_raft::NodeId> {
    app.log.read(|state| {
        let peers = kept.holders.iter();
        peers
            .filter_map(|peer| state.node_by_peer(&peer.to_string()))
            .map(|node| node.id)
            .collect()
    })
}

/// The range of the scene that was open when the file was saved. A job that names its own frames
/// does not need it.
fn scene_frames(app: &App, job: JobId, facts: &BlendFacts) -> Result<FrameList, Problem> {
    let own_frames = app.log.read(|state| {
        let job = state.jobs.get(&job)?;
        job.settings.frames.clone()
    });
    let Some(scene) = facts.scenes.first() else {
        return own_frames.ok_or_else(|| {
            Problem::new(
                ProblemKind::NoScene,
                "the .blend holds no scene to render; save it with one, or give the job its frames",
            )
        });
    };
    let range = FrameList::range(scene.first, scene.last);
    range.or_else(|error| {
        own_frames.ok_or_else(|| {
            Problem::new(
                ProblemKind::BadFrames,
                format!(
                    "the frame range of scene '{}' cannot be rendered: {error}; correct it in Blender, or give the job its frames",
                    scene.name.escape_debug()
                ),
            )
        })
    })
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        let kind = match &error {
            UploadError::Blend(BlendError::NotABlend) => ProblemKind::NotABlend,
            UploadError::Blend(BlendError::Truncated { .. }) => ProblemKind::TruncatedBlend,
            UploadError::Blend(BlendError::Damaged(_)) => ProblemKind::DamagedBlend,
            UploadError::Blend(BlendError::TooLarge { .. }) | UploadError::TooLarge { .. } => {
                ProblemKind::TooLarge
            }
            UploadError::Stalled => ProblemKind::UploadStalled,
            UploadError::Broken(_) => ProblemKind::BadUpload,
            UploadError::CheckFailed => ProblemKind::Internal,
        };
        Self::new(kind, error.to_string())
    }
}

/// What the store says, without the paths that are in it.
fn problem_of_store(error: StoreError) -> Problem {
    match error {
        StoreError::Source(source) => match source.downcast::<UploadError>() {
            Ok(of_upload) => of_upload.into(),
            Err(other) => UploadError::Broken(other.to_string()).into(),
        },
        StoreError::DiskFull(_) => Problem::new(
            ProblemKind::StorageFull,
            "the disk of this node is full; free space on it, or send the file to another node",
        ),
        StoreError::TooFewCopies { have, want, .. } => Problem::new(
            ProblemKind::TooFewCopies,
            format!(
                "only {have} of {want} copies of the file could be made; try again when more nodes are connected"
            ),
        )
        .retry_after_seconds(10),
        other => {
            tracing::error!(error = %other, "cannot keep an uploaded scene file");
            Problem::new(
                ProblemKind::Internal,
                "this node cannot keep the file; its log says why; send it to another node",
            )
        }
    }
}
