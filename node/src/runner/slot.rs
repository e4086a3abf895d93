//! A slot: takes one assignment after the other and does it, with one Blender that stays up as
//! long as its scene is wanted. What a slot made is stored and reported behind its back
//! (`finish.rs`), so that Blender never waits for the network or the disk.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiggablend_raft::{Failure, FailureKind, FileKind, FrameNumber};

use super::blender::Blender;
use super::encode::{self, Encoder, FrameRate};
use super::finish::{self, Ended, Made};
use super::queue::SceneKey;
use super::scenes::{SceneFile, unwritable};
use super::scratch::Folder;
use super::{Assignment, ContentRef, Held, Progress, Shared, Work};

/// How often a running attempt is looked at; also the highest rate of progress messages.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Progress is told this often even where nothing moves: the attempt lives.
const TELL_AT_LEAST_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Slot {
    shared: Arc<Shared>,
    number: usize,
    warm: Option<Warm>,
}

/// A Blender with a scene open.
struct Warm {
    blender: Blender,
    key: SceneKey,
    /// The file stays on disk while Blender may read from it.
    _scene: Arc<SceneFile>,
}

impl Slot {
    pub(super) fn new(shared: Arc<Shared>, number: usize) -> Self {
        Self {
            shared,
            number,
            warm: None,
        }
    }

    /// Works until the runner stops.
    pub(super) async fn run(mut self) {
        let stop = self.shared.stop.clone();
        let mut changes = self.shared.changed.subscribe();
        let mut idle_since = tokio::time::Instant::now();
        while !stop.is_cancelled() {
            changes.borrow_and_update();
            let taken = self.shared.queue().take(self.number);
            if let Some((assignment, held)) = taken {
                self.attempt(assignment, held).await;
                idle_since = tokio::time::Instant::now();
                continue;
            }
            let idle_end = idle_since + self.shared.config.idle_limit;
            tokio::select! {
                () = stop.cancelled() => {}
                _ = changes.changed() => {}
                () = tokio::time::sleep_until(idle_end), if self.warm.is_some() => self.cool_down().await,
            }
        }
        self.cool_down().await;
    }

    /// Does one assignment and hands over what came of it. A lease that is taken back meanwhile
    /// ends the process that works for it, and gives nothing.
    async fn attempt(&mut self, assignment: Assignment, held: Held) {
        let shared = Arc::clone(&self.shared);
        let cancel = held.cancel.clone();
        let work = async {
            // Bounds what is made and not yet reported.
            let permit = Arc::clone(&shared.finishing)
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            (self.work(&assignment, &held).await, permit)
        };
        let done = tokio::select! {
            biased;
            () = cancel.cancelled() => None,
            done = work => Some(done),
        };
        let is_wanted = shared.queue().slot_done(self.number, assignment.lease());
        let Some((ended, permit)) = done else {
            self.cool_down().await;
            return;
        };
        if let Err(failure) = &ended.result
            && must_restart(failure.kind)
        {
            self.cool_down().await;
        }
        if is_wanted {
            let finishing = finish::finish(Arc::clone(&shared), assignment, held, ended, permit);
            shared.tasks.spawn(finishing);
        }
    }

    async fn work(&mut self, assignment: &Assignment, held: &Held) -> Ended {
        let folder = match self.shared.scratch.attempt() {
            Ok(folder) => folder,
            Err(error) => return Ended::without_a_start(unwritable(&error)),
        };
        match &assignment.work {
            Work::Frame { frame, scene } => {
                self.render(assignment, *frame, scene, held, folder).await
            }
            Work::Encode {
                frames,
                fps_numerator,
                fps_denominator,
            } => {
                // The job's frames are in: its Blender has nothing left to do.
                self.cool_down().await;
                let frames = frames.iter().map(|(_, frame)| frame.clone()).collect();
                let rate = FrameRate {
                    numerator: *fps_numerator,
                    denominator: *fps_denominator,
                };
                self.encode(assignment, frames, rate, folder).await
            }
        }
    }

    async fn render(
        &mut self,
        assignment: &Assignment,
        frame: FrameNumber,
        scene: &ContentRef,
        held: &Held,
        folder: Folder,
    ) -> Ended {
        let mut started = Instant::now();
        let opened = self.open(assignment, scene, held).await;
        let result = match (opened, &mut self.warm) {
            (Err(failure), _) => Err(failure),
            (Ok(()), None) => unreachable!("an open scene without a Blender"),
            (Ok(()), Some(warm)) => {
                started = Instant::now();
                let printed = warm.blender.shared_log();
                let _shown = self.shared.live_logs.show(assignment.lease(), printed);
                let watcher = warm.blender.watcher();
                let look = || match watcher.stats() {
                    Some(stats) => (stats.fraction, stats.text),
                    None => (None, "rendering".to_owned()),
                };
                let rendering = warm.blender.render(frame, folder.path());
                self.shared
                    .watched(assignment, look, rendering)
                    .await
                    .map(|picture| Made {
                        path: picture.path,
                        expected: Some(picture.expected),
                        kind: FileKind::Frame,
                        name: format!("frame_{:04}.png", frame.0),
                        media_type: "image/png",
                    })
            }
        };
        let log = self
            .warm
            .as_ref()
            .map(|warm| warm.blender.take_log())
            .unwrap_or_default();
        Ended {
            result,
            log,
            started,
            folder: Some(folder),
        }
    }

    /// Makes sure that a Blender of this slot has the scene open: fetches the scene and starts
    /// Blender at the same time, where that is needed.
    async fn open(
        &mut self,
        assignment: &Assignment,
        scene: &ContentRef,
        held: &Held,
    ) -> Result<(), Failure> {
        let key = assignment.scene_key();
        if self.warm.as_ref().map(|warm| warm.key) == key {
            return Ok(());
        }
        self.cool_down().await;
        let (Some(key), Some(file)) = (key, &held.scene) else {
            unreachable!("a frame without a scene");
        };
        let shared = Arc::clone(&self.shared);
        let program = shared.found.blender.as_ref().map_err(|why_not| Failure {
            kind: FailureKind::EngineMissing,
            message: why_not.clone(),
        })?;
        shared.tell(assignment, None, "opening the scene");
        let opening = async {
            let (path, blender) = tokio::join!(
                shared.scenes.fetch(file, scene),
                Blender::start(program, &shared.scratch)
            );
            let mut blender = blender?;
            let facts = blender.open(path?).await?;
            Ok((blender, facts))
        };
        let look = || (None, "opening the scene".to_owned());
        let (blender, facts) = shared.watched(assignment, look, opening).await?;
        let outbox = Arc::clone(&shared.outbox);
        let stop = shared.stop.clone();
        shared.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = outbox.inspected(key.job, facts) => {}
            }
        });
        self.warm = Some(Warm {
            blender,
            key,
            _scene: Arc::clone(file),
        });
        shared.queue().slot_opened(self.number, Some(key));
        Ok(())
    }

    async fn encode(
        &self,
        assignment: &Assignment,
        frames: Vec<ContentRef>,
        rate: FrameRate,
        folder: Folder,
    ) -> Ended {
        let started = Instant::now();
        let mut log = String::new();
        let result = self
            .make_video(assignment, frames, rate, folder.path(), &mut log)
            .await;
        Ended {
            result,
            log,
            started,
            folder: Some(folder),
        }
    }

    async fn make_video(
        &self,
        assignment: &Assignment,
        frames: Vec<ContentRef>,
        rate: FrameRate,
        folder: &Path,
        log: &mut String,
    ) -> Result<Made, Failure> {
        let ffmpeg = self.shared.found.ffmpeg.as_ref().ok_or_else(|| Failure {
            kind: FailureKind::EncodeFailed,
            message: "no ffmpeg with libx264 on this node; install ffmpeg, or name one with \
                      JIGGABLEND_FFMPEG"
                .to_owned(),
        })?;
        let frame_count = frames.len();
        let fetching =
            encode::fetch_frames(&*self.shared.storage, assignment.task.job, frames, folder);
        let look = || (None, "fetching frames".to_owned());
        self.shared.watched(assignment, look, fetching).await?;

        let mut encoder = Encoder::start(ffmpeg, folder, frame_count, rate)?;
        let printed = encoder.shared_log();
        let _shown = self.shared.live_logs.show(assignment.lease(), printed);
        let encoded = encoder.watcher();
        let look = || {
            let (done, all) = (encoded(), frame_count);
            let fraction = (done as f32 / all.max(1) as f32).min(1.0);
            (Some(fraction), format!("encoded {done} of {all} frames"))
        };
        let result = self
            .shared
            .watched(assignment, look, encoder.finish())
            .await;
        *log = encoder.take_log();
        Ok(Made {
            path: result?,
            expected: None,
            kind: FileKind::Video,
            name: "video.mp4".to_owned(),
            media_type: "video/mp4",
        })
    }

    /// Ends this slot's Blender, if it has one.
    async fn cool_down(&mut self) {
        if let Some(warm) = self.warm.take() {
            warm.blender.end().await;
        }
        self.shared.queue().slot_opened(self.number, None);
    }
}

/// After these, the process is gone or its state unknown: the next attempt gets a fresh Blender.
fn must_restart(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Crashed | FailureKind::TimedOut)
}

impl Shared {
    /// Waits for `work` and tells how far it is meanwhile, within the time that an attempt has.
    async fn watched<T>(
        &self,
        assignment: &Assignment,
        look: impl Fn() -> (Option<f32>, String),
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let telling = async {
            let mut told = (None, String::new());
            let mut told_at = Instant::now();
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                let seen = look();
                if seen != told || told_at.elapsed() >= TELL_AT_LEAST_EVERY {
                    self.tell(assignment, seen.0, &seen.1);
                    told = seen;
                    told_at = Instant::now();
                }
            }
        };
        let limit = self.config.attempt_limit;
        tokio::select! {
            biased;
            result = work => result,
            () = telling => unreachable!("telling has no end"),
            () = tokio::time::sleep(limit) => Err(Failure {
                kind: FailureKind::TimedOut,
                message: format!(
                    "stopped after {} s; raise --frame-time-limit on the node, or make the frame lighter",
                    limit.as_secs()
                ),
            }),
        }
    }

    fn tell(&self, assignment: &Assignment, fraction: Option<f32>, text: &str) {
        self.outbox.progress(Progress {
            task: assignment.task,
            epoch: assignment.epoch,
            fraction,
            text: text.to_owned(),
        });
    }
}
