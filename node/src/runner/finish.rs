//! The end of an attempt, while its slot works on already: check the picture, keep it and the log
//! on R nodes, report.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jiggablend_raft::{Failure, FailureKind, FileKind, NewFile};
use tokio::sync::OwnedSemaphorePermit;

use super::picture::{self, ExpectedSize};
use super::queue::Lease;
use super::scratch::Folder;
use super::{Assignment, Held, KeepError, Outcome, Shared, Source, ToKeep};

/// What a slot made.
pub(super) struct Made {
    pub(super) path: PathBuf,
    /// The size that a picture must have; a video was checked where it was made.
    pub(super) expected: Option<ExpectedSize>,
    pub(super) kind: FileKind,
    pub(super) name: String,
    pub(super) media_type: &'static str,
}

/// An attempt as it leaves its slot.
pub(super) struct Ended {
    pub(super) result: Result<Made, Failure>,
    pub(super) log: String,
    pub(super) started: Instant,
    /// Holds what was made until it is stored.
    pub(super) folder: Option<Folder>,
}

impl Ended {
    /// It failed before anything ran.
    pub(super) fn without_a_start(failure: Failure) -> Self {
        Self {
            result: Err(failure),
            log: String::new(),
            started: Instant::now(),
            folder: None,
        }
    }
}

/// Brings an attempt to its outcome and reports it. A lease that is taken back meanwhile reports
/// nothing.
pub(super) async fn finish(
    shared: Arc<Shared>,
    assignment: Assignment,
    held: Held,
    ended: Ended,
    _permit: OwnedSemaphorePermit,
) {
    let lease = assignment.lease();
    let reporting = async {
        let outcome = outcome_of(&shared, lease, ended).await;
        shared
            .outbox
            .finished(assignment.task, assignment.epoch, outcome)
            .await;
    };
    tokio::select! {
        biased;
        () = held.cancel.cancelled() => {}
        () = reporting => {
            shared.queue().remove(lease);
        }
    }
}

async fn outcome_of(shared: &Shared, lease: Lease, ended: Ended) -> Outcome {
    let Ended {
        result,
        log,
        started,
        folder,
    } = ended;
    let kept = async {
        let made = result?;
        if let Some(expected) = made.expected {
            let path = made.path.clone();
            tokio::task::spawn_blocking(move || picture::check(&path, expected))
                .await
                .map_err(|_| Failure {
                    kind: FailureKind::WrongPicture,
                    message: "the picture that Blender wrote cannot be decoded".to_owned(),
                })??;
        }
        let render_ms = started.elapsed().as_millis() as u64;
        let output = keep_made(shared, lease, &made).await?;
        Ok::<_, Failure>((output, render_ms))
    };
    let log = shared.scratch.hidden_in(&log);
    let (kept, log) = tokio::join!(kept, keep_log(shared, lease, &log));
    let kept = kept.map_err(|failure| Failure {
        message: shared.scratch.hidden_in(&failure.message),
        ..failure
    });
    let is_full = kept.is_err() && shared.scratch.is_full();
    drop(folder);
    match kept {
        Ok::<_, Failure>((output, render_ms)) => Outcome::Committed {
            output,
            log,
            render_ms,
        },
        Err(failure) if is_full => Outcome::Failed {
            failure: Failure {
                kind: FailureKind::DiskFull,
                message: format!(
                    "the disk of this node is full; free some space ({})",
                    failure.message
                ),
            },
            log,
        },
        Err(failure) => Outcome::Failed { failure, log },
    }
}

/// The attempt's log as a file of the job. A log that cannot be kept is no reason to lose a frame.
async fn keep_log(shared: &Shared, lease: Lease, log: &str) -> Option<NewFile> {
    if log.is_empty() {
        return None;
    }
    let to_keep = ToKeep {
        source: Source::Text(log),
        kind: FileKind::Log,
        name: "log.txt",
        media_type: "text/plain",
    };
    match shared.storage.keep(lease, to_keep).await {
        Ok(file) => Some(file),
        Err(error) => {
            tracing::warn!("cannot keep an attempt's log: {error}");
            None
        }
    }
}

/// Keeps what was made. Where too few nodes can be reached, waits for them as long as the lease
/// stands: what is rendered is not thrown away because a node is down.
async fn keep_made(shared: &Shared, lease: Lease, made: &Made) -> Result<NewFile, Failure> {
    loop {
        let to_keep = ToKeep {
            source: Source::File(&made.path),
            kind: made.kind,
            name: &made.name,
            media_type: made.media_type,
        };
        match shared.storage.keep(lease, to_keep).await {
            Ok(file) => return Ok(file),
            Err(KeepError::Failed(failure)) => return Err(failure),
            Err(error @ KeepError::TooFewCopies(_)) => {
                tracing::warn!("{} waits for another node to keep it: {error}", made.name);
            }
        }
    }
}
