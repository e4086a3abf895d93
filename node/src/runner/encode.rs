//! Makes the video from a job's frames with ffmpeg.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use futures::{StreamExt, TryStreamExt};
use jiggablend_raft::{Failure, FailureKind, JobId};

use super::log::Log;
use super::process::{self, Group};
use super::{ContentRef, Storage};

/// Frames that are fetched at once.
const FETCHES_AT_ONCE: usize = 8;
/// Visually lossless to most eyes, at a size that can be sent around.
const CRF: &str = "18";

/// Writes the frames into `folder` as `000001.png` and so on, in the order given.
pub(super) async fn fetch_frames(
    storage: &dyn Storage,
    job: JobId,
    frames: Vec<ContentRef>,
    folder: &Path,
) -> Result<(), Failure> {
    let exports = frames.into_iter().enumerate().map(|(index, frame)| {
        let path = folder.join(format!("{:06}.png", index + 1));
        async move { storage.export(job, &frame, &path).await }
    });
    futures::stream::iter(exports)
        .buffer_unordered(FETCHES_AT_ONCE)
        .try_collect()
        .await
}

/// Frames per second as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FrameRate {
    pub(super) numerator: u32,
    pub(super) denominator: u32,
}

/// An ffmpeg that turns the pictures of a folder into `video.mp4` beside them.
#[derive(Debug)]
pub(super) struct Encoder {
    ffmpeg: PathBuf,
    folder: PathBuf,
    frame_count: usize,
    group: Group,
}

impl Encoder {
    /// Starts ffmpeg on the pictures that [`fetch_frames`] wrote.
    pub(super) fn start(
        ffmpeg: &Path,
        folder: &Path,
        frame_count: usize,
        rate: FrameRate,
    ) -> Result<Self, Failure> {
        let mut command = process::command(ffmpeg, folder);
        let rate = format!("{}/{}", rate.numerator, rate.denominator);
        command
            .args(["-hide_banner", "-nostdin", "-y", "-loglevel", "warning"])
            .args(["-nostats", "-progress", "pipe:1"])
            .args(["-framerate", &rate, "-start_number", "1", "-i", "%06d.png"])
            // H.264 as every player takes it: even sides, 4:2:0.
            .args(["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2,format=yuv420p"])
            .args(["-c:v", "libx264", "-crf", CRF, "-preset", "medium"])
            .args(["-movflags", "+faststart", "video.mp4"]);
        let group = Group::start(command, Stdio::null())
            .map_err(|error| failed(format!("cannot start ffmpeg: {error}")))?;
        Ok(Self {
            ffmpeg: ffmpeg.to_owned(),
            folder: folder.to_owned(),
            frame_count,
            group,
        })
    }

    /// Frames that are in the video so far.
    pub(super) fn watcher(&self) -> impl Fn() -> usize + use<> {
        let log = self.group.output().shared_log();
        move || process::lock(&log).find_last(encoded_frames).unwrap_or(0)
    }

    /// What ffmpeg prints, for whoever watches.
    pub(super) fn shared_log(&self) -> Arc<Mutex<Log>> {
        self.group.output().shared_log()
    }

    /// Waits for the video and checks that it decodes to as many frames as went in.
    pub(super) async fn finish(&mut self) -> Result<PathBuf, Failure> {
        let status = self
            .group
            .wait()
            .await
            .map_err(|error| failed(format!("cannot wait for ffmpeg: {error}")))?;
        if !status.success() {
            let words = self.group.output().log().last_words(3);
            let how = process::describe(status);
            return Err(failed(format!("ffmpeg ended with {how}: {words}")));
        }
        let video = self.folder.join("video.mp4");
        let decoded = self.count_frames(&video).await?;
        if decoded != self.frame_count {
            return Err(failed(format!(
                "the video has {decoded} frames, and {} went in; see the attempt's log",
                self.frame_count
            )));
        }
        Ok(video)
    }

    /// Decodes the whole video; an error in it is an error here.
    async fn count_frames(&mut self, video: &Path) -> Result<usize, Failure> {
        let mut command = process::command(&self.ffmpeg, &self.folder);
        command
            .args(["-hide_banner", "-nostdin", "-loglevel", "error", "-xerror"])
            .args(["-nostats", "-progress", "pipe:1", "-i"])
            .arg(video)
            .args(["-map", "0:v:0", "-f", "null", "-"]);
        let mut group = Group::start(command, Stdio::null())
            .map_err(|error| failed(format!("cannot start ffmpeg: {error}")))?;
        let status = group
            .wait()
            .await
            .map_err(|error| failed(format!("cannot wait for ffmpeg: {error}")))?;
        let mut log = group.output().log();
        let frames = log.find_last(encoded_frames).unwrap_or(0);
        if !status.success() {
            let words = log.last_words(3);
            return Err(failed(format!("the video does not decode: {words}")));
        }
        log.take();
        Ok(frames)
    }

    /// What ffmpeg printed.
    pub(super) fn take_log(&self) -> String {
        self.group.output().log().take()
    }
}

fn failed(message: String) -> Failure {
    Failure {
        kind: FailureKind::EncodeFailed,
        message,
    }
}

/// `frame=12` in the output of `-progress`.
fn encoded_frames(line: &str) -> Option<usize> {
    line.strip_prefix("frame=")?.trim().parse().ok()
}
