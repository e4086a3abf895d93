//! A job's scene file: one stream of bytes, checked while it is kept.
//!
//! The bytes go straight into the content store and, beside it, through the check in a thread of
//! its own. The store sees the end of the stream only after the check has said that the file is
//! whole, so that nothing is kept under the name of a file that was refused.

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use jiggablend_raft::{
    Action, ContentId, FileId, FileKind, FrameList, JobId, NewFile, ProposeError, Refusal,
};
use jiggablend_transfer::{Chunking, Kept, StoreError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::io::StreamReader;

use super::promised::Promise;
use crate::access::{Access, Caller, check_again};
use crate::app::App;
use crate::blend::{BlendCheck, BlendError, BlendFacts};
use crate::problem::{Problem, ProblemKind};
use crate::views::FileView;

/// A packed scene may unpack to this many times the largest upload.
const MAX_UNPACKED_RATIO: u64 = 8;
/// How long members are waited for that the copies need.
const COPY_PATIENCE: Duration = Duration::from_secs(30);
/// Between the upload and the thread that checks it.
const PIECES_IN_FLIGHT: usize = 8;
const MEDIA_TYPE: &str = "application/x-blender";

/// A client that sends nothing for so long is not waited for.
pub(super) const MAX_PAUSE: Duration = Duration::from_secs(60);

/// Why the stream of a scene file ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum UploadError {
    #[error(transparent)]
    Blend(#[from] BlendError),
    #[error("the file is larger than {max_bytes} bytes, the most that this node takes")]
    TooLarge { max_bytes: u64 },
    #[error(
        "the job's owner may keep {left_bytes} more bytes; ask an admin for a larger quota, or send a smaller file"
    )]
    OverQuota { left_bytes: u64 },
    #[error("nothing of the file came for {} s; send it again", MAX_PAUSE.as_secs())]
    Stalled,
    #[error("the upload broke off: {0}; send it again")]
    Broken(String),
    #[error("the check of the file failed; send it again")]
    CheckFailed,
    #[error("another request has taken this upload over; ask for its offset and go on from there")]
    TakenOver,
    #[error("this node stops; ask another one for the upload's offset when it is back")]
    Stopped,
    #[error("more bytes came than the upload's length; nothing of them is kept")]
    TooLong,
}

/// What is known of a scene file before its bytes come.
pub(super) struct NewScene {
    pub(super) id: FileId,
    /// As the client calls it, made safe; `None` where it calls it nothing.
    pub(super) name: Option<String>,
}

/// Keeps the bytes on R nodes, if they are a whole .blend, and gives them to the job, which starts.
/// Where that fails nothing of the file is left behind, and the job still waits. `promise` is what
/// the file may take of its owner's quota, where that is not known to be enough.
pub(super) async fn give(
    app: &App,
    caller: &Caller,
    job: JobId,
    scene: NewScene,
    pieces: impl Stream<Item = Result<Bytes, UploadError>> + Unpin + Send,
    mut promise: Option<Promise>,
) -> Result<FileView, Problem> {
    let limits = Limits {
        node_bytes: app.config.max_upload_bytes,
        promise: promise.as_mut(),
    };
    let (kept, facts) = keep(app, limits, pieces).await?;
    let id = scene.id;
    let file = NewFile {
        id,
        kind: FileKind::Scene,
        name: scene.name.unwrap_or_else(|| "scene.blend".to_owned()),
        media_type: MEDIA_TYPE.to_owned(),
        content: ContentId(kept.stored.manifest.0),
        size_bytes: kept.stored.size_bytes,
        holders: holders(app, &kept),
    };
    let scene_frames = scene_frames(app, job, &facts)?;
    // The bytes may have taken hours.
    check_again(app, caller, Access::JobManager, true, job)?;
    let added = Action::SceneAdded {
        job,
        file,
        scene_frames,
    };
    match app.propose(caller, added).await {
        Ok(_) => {}
        // An earlier answer was lost on its way; the file is this one.
        Err(ProposeError::Refused(Refusal::Conflict(_))) if is_scene_of(app, job, id) => {}
        Err(ProposeError::Refused(Refusal::Conflict(_))) => {
            refuse_by_state(app, job)?;
            return Err(scene_is_there(job));
        }
        Err(error) => return Err(error.into()),
    }
    let view = app.log.read(|state| state.files.get(&id).map(FileView::of));
    view.ok_or_else(|| Problem::unknown_job(&job.to_string()))
}

fn is_scene_of(app: &App, job: JobId, file: FileId) -> bool {
    let scene = app.log.read(|state| state.jobs.get(&job)?.scene);
    scene == Some(file)
}

fn scene_is_there(job: JobId) -> Problem {
    Problem::new(
        ProblemKind::SceneIsThere,
        format!("job {job} has its scene file; create another job for another scene"),
    )
}

/// Says no where the job takes no scene file.
pub(super) fn refuse_by_state(app: &App, job: JobId) -> Result<(), Problem> {
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

/// Says no where the owner's quota has no room for so many bytes.
pub(super) fn refuse_by_quota(app: &App, job: JobId, more_bytes: u64) -> Result<(), Problem> {
    match quota_left(app, job) {
        Some(left_bytes) if left_bytes < more_bytes => {
            Err(UploadError::OverQuota { left_bytes }.into())
        }
        _ => Ok(()),
    }
}

/// How many bytes the job's owner may still keep; `None`: as many as there is room for.
fn quota_left(app: &App, job: JobId) -> Option<u64> {
    app.log.read(|state| {
        let owner = state.jobs.get(&job)?.owner;
        let most_bytes = state.quota_of(owner).bytes?;
        Some(most_bytes.saturating_sub(state.usage_of(owner).bytes))
    })
}

pub(super) fn empty_file() -> Problem {
    UploadError::Blend(BlendError::NotABlend).into()
}

/// Stores the bytes on R nodes, if they are a whole .blend.
async fn keep(
    app: &App,
    limits: Limits<'_>,
    pieces: impl Stream<Item = Result<Bytes, UploadError>> + Unpin + Send,
) -> Result<(Kept, BlendFacts), Problem> {
    let mut facts = None;
    let kept = {
        let checked = pin!(checked_pieces(pieces, limits, &mut facts));
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

/// The bytes as they come. The stream ends well only if they were a whole .blend; then `facts` has
/// what the check found.
fn checked_pieces<'a>(
    pieces: impl Stream<Item = Result<Bytes, UploadError>> + Unpin + Send + 'a,
    limits: Limits<'a>,
    facts: &'a mut Option<BlendFacts>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'a {
    let checking = Checking::start(limits.node_bytes.saturating_mul(MAX_UNPACKED_RATIO));
    let start = (pieces, checking, limits, facts, 0_u64);
    futures::stream::try_unfold(
        start,
        async |(mut pieces, mut checking, mut limits, facts, total)| {
            let Some(piece) = pieces.next().await else {
                *facts = Some(checking.finish().await?);
                return Ok(None);
            };
            let piece = piece?;
            let total = total + piece.len() as u64;
            limits.check(total)?;
            checking.push(piece.clone()).await?;
            Ok(Some((piece, (pieces, checking, limits, facts, total))))
        },
    )
    .map(|piece: Result<Bytes, UploadError>| piece.map_err(io::Error::other))
}

/// How many bytes a file may have.
struct Limits<'a> {
    /// What this node takes.
    node_bytes: u64,
    /// What the owner's quota lets it have.
    promise: Option<&'a mut Promise>,
}

impl Limits<'_> {
    fn check(&mut self, total_bytes: u64) -> Result<(), UploadError> {
        if total_bytes > self.node_bytes {
            let max_bytes = self.node_bytes;
            return Err(UploadError::TooLarge { max_bytes });
        }
        match &mut self.promise {
            Some(promise) => promise.grow_to(total_bytes),
            None => Ok(()),
        }
    }
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
            UploadError::OverQuota { .. } => ProblemKind::QuotaExceeded,
            UploadError::Stalled => ProblemKind::UploadStalled,
            UploadError::Broken(_) => ProblemKind::BadUpload,
            UploadError::CheckFailed => ProblemKind::Internal,
            UploadError::TakenOver => ProblemKind::Conflict,
            UploadError::Stopped => ProblemKind::NotReady,
            UploadError::TooLong => ProblemKind::TooLarge,
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
