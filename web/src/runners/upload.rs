//! What a runner made comes in: one file, checked, and kept on R nodes before it is answered.
//!
//! The bytes go to a nameless file first, since a picture can only be checked as a whole; nothing
//! is kept that is not what the runner said it sends.

use std::io::{BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::time::Duration;

use axum::Json;
use axum::extract::multipart::{Field, Multipart, MultipartRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use bytes::Bytes;
use jiggablend_raft::{ContentId, Epoch, FileId, NewFile};
use jiggablend_transfer::{Chunking, StoreError};
use serde::Serialize;
use sha2::Digest as _;
use tokio::sync::SemaphorePermit;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::caller::RunnerCaller;
use super::handle::{self, Uploaded};
use super::leases::{Lease, TaskName};
use super::made::{Made, made_by};
use super::picture::check_png_of;
use super::shared::{invalid, refuse_unless_current, task_of};
use crate::app::App;
use crate::problem::{Problem, ProblemKind};
use crate::upload::holders;

/// A client that sends nothing for so long is not waited for.
const MAX_PAUSE: Duration = Duration::from_secs(60);
/// How long members are waited for that the copies need.
const COPY_PATIENCE: Duration = Duration::from_secs(30);
/// How long an upload waits for its picture's turn.
const PICTURE_PATIENCE: Duration = Duration::from_secs(60);
/// The size of an MP4's first box, and its kind.
const VIDEO_HEAD_BYTES: usize = 8;
const MAX_WORD_BYTES: usize = 256;

/// The parts of an upload, in this order: the words first, the file last.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "its shape is for the document; the body is read as it comes"
)]
struct RunnerUpload {
    /// `JOB.INDEX`
    task: String,
    epoch: Epoch,
    /// `output` (the frame or the video; where it is left out) or `log`.
    kind: Option<String>,
    /// Of the file's bytes, in hex; this or `sha256` must be there.
    blake3: Option<String>,
    sha256: Option<String>,
    #[schema(value_type = String, format = Binary)]
    file: (),
}

#[derive(Serialize, ToSchema)]
pub(crate) struct UploadedView {
    /// The handle to give to `complete`.
    file: String,
    #[schema(value_type = String)]
    content: ContentId,
    size_bytes: u64,
}

/// Takes the frame, the video or the log of a task that the runner has a lease for.
#[utoipa::path(
    post, path = "/api/runner/files/{jobId}/upload", tag = "runner",
    params(("jobId" = String, Path)),
    request_body(content = RunnerUpload, content_type = "multipart/form-data"),
    responses((status = 201, body = UploadedView)),
)]
pub(crate) async fn upload(
    State(app): State<App>,
    runner: RunnerCaller,
    Path(job): Path<String>,
    multipart: Result<Multipart, MultipartRejection>,
) -> Result<(StatusCode, Json<UploadedView>), Problem> {
    let place = app.runner_uploads.take(runner.0);
    let _place = place.ok_or_else(|| {
        let why = "too many files are being sent to this node, or too many of this runner's; try again in a moment";
        Problem::new(ProblemKind::Busy, why).retry_after_seconds(5)
    })?;
    let mut multipart =
        multipart.map_err(|error| Problem::new(ProblemKind::WrongMediaType, error.body_text()))?;
    let mut words = Words::default();
    let field = loop {
        let field = next_part(&mut multipart).await?;
        if field.name() == Some("file") {
            break field;
        }
        words.take(field).await?;
    };
    let said = words.checked()?;
    if said.lease.0.job.to_string() != job {
        let what = "task is of another job than the address says";
        return Err(invalid(what.to_owned()));
    }
    refuse_unless_current(&app, runner, said.lease).await?;
    let made = made_by(&app, said.lease, said.is_log)?;

    let claim = app.sent.claim(&app, said.lease, said.is_log, said.hash)?;

    let spooled = spool(&app, field, made.max_bytes(&app)).await?;
    let file = checked(&app, spooled, &said.hash, &made).await?;
    let reader = tokio::fs::File::from_std(file);
    let keeping = app
        .content
        .keep(reader, Chunking::Fixed, app.config.copies, COPY_PATIENCE);
    let kept = keeping.await.map_err(problem_of_store)?;
    claim.kept();
    // Copying may have taken a while.
    refuse_unless_current(&app, runner, said.lease).await?;

    let file = NewFile {
        id: FileId::new(),
        kind: made.kind(),
        name: made.name(),
        media_type: made.media_type().to_owned(),
        content: ContentId(kept.stored.manifest.0),
        size_bytes: kept.stored.size_bytes,
        holders: holders(&app, &kept),
    };
    let (content, size_bytes) = (file.content, file.size_bytes);
    let uploaded = Uploaded {
        runner: runner.0,
        lease: said.lease,
        file,
    };
    let farm = app.log.read(|state| state.farm.clone());
    let farm = farm.ok_or_else(|| {
        let why = "this node does not know its farm yet; try again when it has caught up";
        Problem::new(ProblemKind::NotReady, why).retry_after_seconds(2)
    })?;
    let view = UploadedView {
        file: handle::seal(&farm, &uploaded),
        content,
        size_bytes,
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// What the words before the file say, as they were sent.
#[derive(Debug, Default)]
struct Words {
    task: Option<String>,
    epoch: Option<String>,
    kind: Option<String>,
    blake3: Option<String>,
    sha256: Option<String>,
}

async fn next_part(multipart: &mut Multipart) -> Result<Field<'_>, Problem> {
    let next = tokio::time::timeout(MAX_PAUSE, multipart.next_field()).await;
    let next = next.map_err(|_| stalled())?;
    let part = next.map_err(|error| bad(error.body_text()))?;
    part.ok_or_else(|| {
        let why = "the body has no part called 'file'; send it last, after the words";
        bad(why.to_owned())
    })
}

/// The same, understood.
#[derive(Debug)]
struct Said {
    lease: Lease,
    is_log: bool,
    hash: Hash,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Blake3([u8; 32]),
    Sha256([u8; 32]),
}

impl Words {
    /// Reads one word; each may come once, so that their number is bounded.
    async fn take(&mut self, mut field: Field<'_>) -> Result<(), Problem> {
        let name = field.name().unwrap_or_default().to_owned();
        let place = match name.as_str() {
            "task" => &mut self.task,
            "epoch" => &mut self.epoch,
            "kind" => &mut self.kind,
            "blake3" => &mut self.blake3,
            "sha256" => &mut self.sha256,
            other => {
                let name: String = other.escape_debug().take(64).collect();
                return Err(invalid(format!(
                    "there is no part called '{name}'; send task, epoch, kind, blake3 or sha256, and file"
                )));
            }
        };
        if place.is_some() {
            return Err(invalid(format!("the part '{name}' comes twice")));
        }
        let mut word = Vec::new();
        while let Some(piece) = next_piece(&mut field).await? {
            word.extend_from_slice(&piece);
            if word.len() > MAX_WORD_BYTES {
                let limit = format!("the part '{name}' has more than {MAX_WORD_BYTES} bytes");
                return Err(invalid(limit));
            }
        }
        let word = String::from_utf8(word);
        let word = word.map_err(|_| invalid(format!("the part '{name}' is no text")))?;
        *place = Some(word.trim().to_owned());
        Ok(())
    }

    fn checked(self) -> Result<Said, Problem> {
        let missing = |what: &str| {
            bad(format!(
                "the part '{what}' is missing; send task, epoch, blake3 or sha256, and then file"
            ))
        };
        let TaskName(task) = task_of(&self.task.ok_or_else(|| missing("task"))?)?;
        let epoch = self.epoch.ok_or_else(|| missing("epoch"))?;
        let epoch = epoch
            .parse()
            .map(Epoch)
            .map_err(|_| invalid("epoch must be a whole number".to_owned()))?;
        let is_log = match self.kind.as_deref() {
            None | Some("output") => false,
            Some("log") => true,
            Some(_) => return Err(invalid("kind must be output or log".to_owned())),
        };
        let hash = match (self.blake3, self.sha256) {
            (Some(hex), None) => Hash::Blake3(of_hex("blake3", &hex)?),
            (None, Some(hex)) => Hash::Sha256(of_hex("sha256", &hex)?),
            (None, None) => return Err(missing("sha256")),
            (Some(_), Some(_)) => {
                return Err(invalid("give blake3 or sha256, not both".to_owned()));
            }
        };
        Ok(Said {
            lease: (task, epoch),
            is_log,
            hash,
        })
    }
}

fn of_hex(what: &str, text: &str) -> Result<[u8; 32], Problem> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| invalid(format!("{what} must have 64 hex digits")))?;
    Ok(bytes)
}

fn bad(what: String) -> Problem {
    Problem::new(ProblemKind::BadUpload, what)
}

async fn next_piece(field: &mut Field<'_>) -> Result<Option<Bytes>, Problem> {
    let next = tokio::time::timeout(MAX_PAUSE, field.chunk()).await;
    let next = next.map_err(|_| stalled())?;
    next.map_err(|error| {
        bad(format!(
            "the upload broke off: {}; send it again",
            error.body_text()
        ))
    })
}

fn stalled() -> Problem {
    let why = format!(
        "nothing of the file came for {} s; send it again",
        MAX_PAUSE.as_secs()
    );
    Problem::new(ProblemKind::UploadStalled, why)
}

/// A file of no name, on the disk where the node keeps content, and its hashes.
struct Spooled {
    file: std::fs::File,
    blake3: [u8; 32],
    sha256: [u8; 32],
}

struct Spool {
    file: std::fs::File,
    blake3: blake3::Hasher,
    sha256: sha2::Sha256,
}

impl Spool {
    fn write(&mut self, piece: &[u8]) -> std::io::Result<()> {
        self.blake3.update(piece);
        self.sha256.update(piece);
        self.file.write_all(piece)
    }
}

/// Takes the file's bytes in, as they come.
async fn spool(app: &App, mut field: Field<'_>, max_bytes: u64) -> Result<Spooled, Problem> {
    let folder = app.content.store().dir();
    let file = spawn_blocking(move || tempfile::tempfile_in(folder)).await;
    let mut spool = Spool {
        file: file
            .map_err(|_| interrupted())?
            .map_err(|error| unwritable(&error))?,
        blake3: blake3::Hasher::new(),
        sha256: sha2::Sha256::new(),
    };
    let mut size_bytes = 0;
    while let Some(piece) = next_piece(&mut field).await? {
        size_bytes += piece.len() as u64;
        if size_bytes > max_bytes {
            let why = format!("the file is larger than {max_bytes} bytes, the most for its kind");
            return Err(Problem::new(ProblemKind::TooLarge, why));
        }
        let written = spawn_blocking(move || spool.write(&piece).map(|()| spool)).await;
        spool = written
            .map_err(|_| interrupted())?
            .map_err(|error| unwritable(&error))?;
    }
    Ok(Spooled {
        file: spool.file,
        blake3: *spool.blake3.finalize().as_bytes(),
        sha256: spool.sha256.finalize().into(),
    })
}

/// The file, from its start, where it is what was said and what the task asks for.
async fn checked(
    app: &App,
    spooled: Spooled,
    hash: &Hash,
    made: &Made,
) -> Result<std::fs::File, Problem> {
    let is_what_was_sent = match hash {
        Hash::Blake3(said) => *said == spooled.blake3,
        Hash::Sha256(said) => *said == spooled.sha256,
    };
    if !is_what_was_sent {
        let why = "the bytes that came are not those of the hash; send the file again";
        return Err(Problem::new(ProblemKind::WrongHash, why));
    }
    let turn = match made {
        Made::Frame(..) => Some(picture_turn(app).await?),
        Made::Video | Made::Log => None,
    };
    let (mut file, made) = (spooled.file, *made);
    let checking = spawn_blocking(move || {
        let rewind = |file: &mut std::fs::File| file.seek(SeekFrom::Start(0));
        rewind(&mut file).map_err(|error| unwritable(&error))?;
        let wrong = |why: String| Problem::new(ProblemKind::WrongPicture, why);
        match made {
            Made::Frame(_, expected) => {
                let reader = BufReader::new(&mut file);
                check_png_of(reader, expected).map_err(|error| wrong(error.to_string()))?;
            }
            // As much as can be told without decoding it; the runner has done that.
            Made::Video => {
                let mut head = [0; VIDEO_HEAD_BYTES];
                let is_there = file.read_exact(&mut head).is_ok();
                if !is_there || head[4..] != *b"ftyp" {
                    return Err(wrong("the video is no MP4 file".to_owned()));
                }
            }
            Made::Log => {}
        }
        rewind(&mut file).map_err(|error| unwritable(&error))?;
        Ok(file)
    });
    let checked = checking.await;
    drop(turn);
    checked.map_err(|_| Problem::new(ProblemKind::WrongPicture, "the picture cannot be decoded"))?
}

/// The right to decode a picture now.
async fn picture_turn(app: &App) -> Result<SemaphorePermit<'_>, Problem> {
    let turn = tokio::time::timeout(PICTURE_PATIENCE, app.pictures.acquire()).await;
    let turn = turn.map_err(|_| {
        let why = "this node checks as many pictures as it can; send the file again in a moment";
        Problem::new(ProblemKind::Busy, why).retry_after_seconds(5)
    })?;
    Ok(turn.expect("nobody closes the semaphore"))
}

fn interrupted() -> Problem {
    let why = "this node stops; send the file to another one";
    Problem::new(ProblemKind::Busy, why).retry_after_seconds(2)
}

fn unwritable(error: &std::io::Error) -> Problem {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => disk_full(),
        _ => {
            tracing::error!(%error, "cannot take in a runner's file");
            cannot_keep()
        }
    }
}

fn disk_full() -> Problem {
    let why = "the disk of this node is full; send the file to another node";
    Problem::new(ProblemKind::StorageFull, why)
}

fn cannot_keep() -> Problem {
    let why = "this node cannot keep the file; its log says why; send it to another node";
    Problem::new(ProblemKind::Internal, why)
}

fn problem_of_store(error: StoreError) -> Problem {
    match error {
        StoreError::DiskFull(_) => disk_full(),
        StoreError::TooFewCopies { have, want, .. } => {
            let why =
                format!("only {have} of {want} copies of the file could be made; send it again");
            Problem::new(ProblemKind::TooFewCopies, why).retry_after_seconds(5)
        }
        StoreError::Source(source) => unwritable(&source),
        other => {
            tracing::error!(error = %other, "cannot keep a runner's file");
            cannot_keep()
        }
    }
}
