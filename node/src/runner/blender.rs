//! One Blender process: started with the driver inside, given a scene, fed frame by frame.
//!
//! The protocol is described at the top of `driver.py`.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiggablend_raft::{Device, Failure, FailureKind, FrameNumber, SceneFacts};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::find::BlenderProgram;
use super::log::Log;
use super::picture::ExpectedSize;
use super::process::{self, Group};
use super::progress::{RenderStats, read_printed_stats, read_told_stats};
use super::scratch::{Folder, Scratch};

/// Runs inside Blender.
const DRIVER: &str = include_str!("driver.py");
/// No message of the driver is longer.
const MAX_MESSAGE_BYTES: u64 = 256 * 1024;
/// How long a Blender that closed its end may take to be gone.
const EXIT_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Order<'a> {
    Devices,
    Open {
        scene: &'a Path,
    },
    Render {
        frame: FrameNumber,
        folder: &'a Path,
    },
}

#[derive(Debug, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
enum Answer {
    Ready { version: String },
    Devices { devices: Vec<Device> },
    Opened(Opened),
    Progress { text: String },
    Rendered(Rendered),
    Failed { kind: FailureKind, message: String },
}

#[derive(Debug, Deserialize)]
struct Opened {
    version: String,
    engine: String,
    scene: String,
    width: u32,
    height: u32,
    fps_numerator: u32,
    fps_denominator: u32,
}

#[derive(Debug, Deserialize)]
struct Rendered {
    file: PathBuf,
    width: u32,
    height: u32,
    cropped: bool,
}

/// A picture as Blender left it; not checked yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RenderedPicture {
    pub(super) path: PathBuf,
    pub(super) expected: ExpectedSize,
}

/// A Blender process that has said hello. It and all that it started die with this value.
#[derive(Debug)]
pub(super) struct Blender {
    version: String,
    group: Group,
    orders: OwnedWriteHalf,
    answers: BufReader<OwnedReadHalf>,
    /// Answers so far, as the driver counts them.
    answered: u64,
    progress: watch::Sender<String>,
    /// After the group: removed when nothing writes there any more.
    _home: Folder,
}

impl Blender {
    /// Starts Blender and waits until the driver in it answers.
    pub(super) async fn start(
        program: &BlenderProgram,
        scratch: &Scratch,
    ) -> Result<Self, Failure> {
        let cannot_start = |error: io::Error| Failure {
            kind: if error.kind() == io::ErrorKind::StorageFull {
                FailureKind::DiskFull
            } else {
                FailureKind::Crashed
            },
            message: format!("cannot start {}: {error}", program.path().display()),
        };
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(cannot_start)?;
        ours.set_nonblocking(true).map_err(cannot_start)?;
        let ours = UnixStream::from_std(ours).map_err(cannot_start)?;

        let home = scratch.process().map_err(cannot_start)?;
        let driver = home.path().join("driver.py");
        std::fs::write(&driver, DRIVER).map_err(cannot_start)?;
        let mut command = process::command(program.path(), home.path());
        command.args(program.arguments(&driver));
        let socket = Stdio::from(std::os::fd::OwnedFd::from(theirs));
        let group = Group::start(command, socket).map_err(cannot_start)?;

        let (answers, orders) = ours.into_split();
        let mut blender = Self {
            version: String::new(),
            group,
            orders,
            answers: BufReader::new(answers),
            answered: 0,
            progress: watch::channel(String::new()).0,
            _home: home,
        };
        match blender.next_answer().await? {
            Answer::Ready { version } => blender.version = version,
            other => return Err(out_of_turn(&other)),
        }
        Ok(blender)
    }

    /// As Blender writes it, for example `3.4.1` or `4.5.15 LTS`.
    pub(super) fn version(&self) -> &str {
        &self.version
    }

    /// The process group that this Blender leads.
    #[cfg(test)]
    pub(super) fn group_id(&self) -> nix::unistd::Pid {
        self.group.id()
    }

    /// What Cycles can compute with.
    pub(super) async fn devices(&mut self) -> Result<Vec<Device>, Failure> {
        match self.ask(&Order::Devices).await? {
            Answer::Devices { devices } => Ok(devices),
            other => Err(out_of_turn(&other)),
        }
    }

    /// Opens a scene file, without its user interface and without running its scripts.
    pub(super) async fn open(&mut self, scene: &Path) -> Result<SceneFacts, Failure> {
        // What stands there from another scene says nothing of this one.
        self.take_log();
        let opened = match self.ask(&Order::Open { scene }).await? {
            Answer::Opened(opened) => opened,
            other => return Err(out_of_turn(&other)),
        };
        let log = self.group.output().log();
        if let Some(engine) = log.find_last(|line| missing_engine(line, &opened.scene)) {
            return Err(Failure {
                kind: FailureKind::EngineMissing,
                message: format!(
                    "the scene is for the render engine {engine}, which Blender {} here does not \
                     have; use Cycles, EEVEE or Workbench, or a node whose Blender has it",
                    self.version
                ),
            });
        }
        Ok(SceneFacts {
            blender_version: opened.version,
            engine: opened.engine,
            width_px: opened.width,
            height_px: opened.height,
            fps_numerator: opened.fps_numerator,
            fps_denominator: opened.fps_denominator,
        })
    }

    /// Renders one frame of the open scene into `folder`. A [`Blender::watcher`] sees how far it
    /// is meanwhile.
    pub(super) async fn render(
        &mut self,
        frame: FrameNumber,
        folder: &Path,
    ) -> Result<RenderedPicture, Failure> {
        self.progress.send_replace(String::new());
        match self.ask(&Order::Render { frame, folder }).await? {
            Answer::Rendered(rendered) => Ok(RenderedPicture {
                path: rendered.file,
                expected: ExpectedSize {
                    width_px: rendered.width,
                    height_px: rendered.height,
                    is_cropped: rendered.cropped,
                },
            }),
            other => Err(out_of_turn(&other)),
        }
    }

    /// Looks at a render while it runs.
    pub(super) fn watcher(&self) -> Watcher {
        Watcher {
            told: self.progress.subscribe(),
            log: self.group.output().shared_log(),
        }
    }

    /// What Blender prints, for whoever watches.
    pub(super) fn shared_log(&self) -> Arc<Mutex<Log>> {
        self.group.output().shared_log()
    }

    /// What Blender printed since the last time.
    pub(super) fn take_log(&self) -> String {
        self.group.output().log().take()
    }

    /// Ends the process and all that it started, and waits until it is gone.
    pub(super) async fn end(mut self) {
        self.group.kill();
        if let Err(error) = self.group.wait().await {
            tracing::warn!(%error, "cannot wait for a Blender that was ended");
        }
    }

    async fn ask(&mut self, order: &Order<'_>) -> Result<Answer, Failure> {
        let mut line = serde_json::to_vec(order).expect("an order is always valid JSON");
        line.push(b'\n');
        if self.orders.write_all(&line).await.is_err() {
            return Err(self.crashed().await);
        }
        match self.next_answer().await? {
            Answer::Failed { kind, message } => Err(Failure { kind, message }),
            answer => Ok(answer),
        }
    }

    /// The next message that is not progress, with the log up to it complete.
    async fn next_answer(&mut self) -> Result<Answer, Failure> {
        loop {
            let mut line = Vec::new();
            let read = (&mut self.answers)
                .take(MAX_MESSAGE_BYTES)
                .read_until(b'\n', &mut line)
                .await;
            if read.is_err() || !line.ends_with(b"\n") {
                return Err(self.crashed().await);
            }
            let answer = serde_json::from_slice(&line).map_err(|error| Failure {
                kind: FailureKind::Crashed,
                message: format!("the driver inside Blender talks nonsense: {error}"),
            })?;
            if let Answer::Progress { text } = answer {
                self.progress.send_replace(text);
                continue;
            }
            self.answered += 1;
            self.group.output().synced(self.answered).await;
            return Ok(answer);
        }
    }

    /// Blender closed its end without an answer: how it ended, and its last words.
    async fn crashed(&mut self) -> Failure {
        let status = match tokio::time::timeout(EXIT_PATIENCE, self.group.wait()).await {
            Ok(Ok(status)) => process::describe(status),
            Ok(Err(error)) => format!("an unknown status ({error})"),
            Err(_) => {
                self.group.kill();
                "no exit at all (it was killed)".to_owned()
            }
        };
        let last_words = self.group.output().log().last_words(3);
        Failure {
            kind: FailureKind::Crashed,
            message: format!("Blender ended with {status}; its last words: {last_words}"),
        }
    }
}

/// Sees how far a render is.
#[derive(Debug)]
pub(super) struct Watcher {
    told: watch::Receiver<String>,
    log: Arc<Mutex<Log>>,
}

impl Watcher {
    /// What Blender said last. Before 4.x it only prints it.
    pub(super) fn stats(&self) -> Option<RenderStats> {
        read_told_stats(&self.told.borrow())
            .or_else(|| process::lock(&self.log).find_last(read_printed_stats))
    }
}

fn out_of_turn(answer: &Answer) -> Failure {
    Failure {
        kind: FailureKind::Crashed,
        message: format!("the driver inside Blender answered out of turn: {answer:?}"),
    }
}

/// Blender renders with another engine where it lacks the scene's, and only prints this:
/// `Error: Engine 'X' not available for scene 'Scene' (an add-on may need to be installed …)`.
fn missing_engine(line: &str, scene: &str) -> Option<String> {
    let (_, rest) = line.split_once("Engine '")?;
    let (engine, rest) = rest.split_once("' not available for scene '")?;
    rest.starts_with(&format!("{scene}'"))
        .then(|| engine.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
