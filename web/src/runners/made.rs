//! What an attempt makes: its name, its kind, and how large it may be.

use jiggablend_raft::{FileKind, FrameNumber, TaskKind};

use super::leases::Lease;
use super::picture::{ExpectedSize, max_png_bytes};
use crate::app::App;
use crate::problem::Problem;

const MAX_LOG_BYTES: u64 = 4 << 20;

/// What the attempt makes, and what must be so for it to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Made {
    Frame(FrameNumber, Option<ExpectedSize>),
    Video,
    Log,
}

impl Made {
    pub(super) fn kind(self) -> FileKind {
        match self {
            Self::Frame(..) => FileKind::Frame,
            Self::Video => FileKind::Video,
            Self::Log => FileKind::Log,
        }
    }

    pub(super) fn name(self) -> String {
        match self {
            Self::Frame(frame, _) => format!("frame_{:04}.png", frame.0),
            Self::Video => "video.mp4".to_owned(),
            Self::Log => "log.txt".to_owned(),
        }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Frame(..) => "image/png",
            Self::Video => "video/mp4",
            Self::Log => "text/plain",
        }
    }

    /// More is nothing that a task asks for.
    pub(super) fn max_bytes(self, app: &App) -> u64 {
        match self {
            Self::Frame(_, expected) => max_png_bytes(expected),
            Self::Video => app.config.max_upload_bytes,
            Self::Log => MAX_LOG_BYTES,
        }
    }
}

/// What that lease's task asks for.
pub(super) fn made_by(app: &App, (task, _): Lease, is_log: bool) -> Result<Made, Problem> {
    if is_log {
        return Ok(Made::Log);
    }
    app.log.read(|state| {
        let job = state.jobs.get(&task.job);
        let kind = state.task(task).map(|task| task.kind);
        match (job, kind) {
            (Some(job), Some(TaskKind::Frame(frame))) => {
                let facts = job.scene_facts.as_ref();
                let expected = facts.map(|facts| ExpectedSize {
                    width_px: facts.width_px,
                    height_px: facts.height_px,
                    // Whether a border crops it is not known here.
                    tolerance_px: 1,
                });
                Ok(Made::Frame(frame, expected))
            }
            (Some(_), Some(TaskKind::Encode)) => Ok(Made::Video),
            _ => Err(Problem::unknown_job(&task.job.to_string())),
        }
    })
}
