//! Renders: takes assignments, drives Blender and ffmpeg, keeps what comes out.
//!
//! The runner knows nothing of Raft. It is given [`Assignment`]s that hold all they need, and
//! gives [`Outcome`]s and live [`Progress`] back through an [`Outbox`].
//!
//! In the order in which things happen: `find` looks for the programs, `queue` says which
//! assignment a slot takes, `scenes` brings its scene file, `slot` has `blender` (or `encode`)
//! do the work in a `process`, `progress` reads how far it is, `finish` has the `picture` checked,
//! stored and reported. Bytes come from a [`Storage`] and go to one: the mesh, or, where a runner
//! speaks only HTTP, a node's web port.

mod blender;
mod encode;
mod find;
mod finish;
mod live_logs;
mod log;
mod picture;
mod process;
mod progress;
mod queue;
mod scenes;
mod scratch;
mod slot;
mod storage;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod testing;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiggablend_raft::{
    ContentId, Epoch, Failure, FrameNumber, NewFile, RunnerFacts, SceneFacts, TaskId,
};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use find::Found;
use live_logs::LiveLogs;
use queue::Queue;
pub(crate) use scenes::unwritable;
use scenes::{SceneFile, Scenes};
use scratch::Scratch;
use slot::Slot;
pub use storage::{KeepError, MeshStorage, NodeIds, Source, Storage, ToKeep};

/// A lease with everything that is needed to do the work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    pub task: TaskId,
    pub epoch: Epoch,
    pub work: Work,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    Frame {
        frame: FrameNumber,
        scene: ContentRef,
    },
    /// All frames in playing order.
    Encode {
        frames: Vec<(FrameNumber, ContentRef)>,
        fps_numerator: u32,
        fps_denominator: u32,
    },
}

/// Content and the peers that are known to have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRef {
    pub content: ContentId,
    pub size_bytes: u64,
    /// PeerIds in text form.
    pub holders: Vec<String>,
}

/// How an attempt ended. Its bytes are on R nodes already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Committed {
        output: NewFile,
        log: Option<NewFile>,
        render_ms: u64,
    },
    Failed {
        failure: Failure,
        log: Option<NewFile>,
    },
}

/// Where a running frame is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub task: TaskId,
    pub epoch: Epoch,
    /// 0.0 to 1.0, where the engine says it.
    pub fraction: Option<f32>,
    /// Blender's own words, for example `Sample 12/64`.
    pub text: String,
}

/// Where the runner's results go. The node proposes them to the job log, again and again until
/// they are applied or refused.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Returns when the outcome is in the log, or was refused (then the work was for nothing).
    async fn finished(&self, task: TaskId, epoch: Epoch, outcome: Outcome);
    /// What Blender said of a scene when it was first opened for this job.
    async fn inspected(&self, job: jiggablend_raft::JobId, facts: SceneFacts);
    /// Never waits: progress may be dropped.
    fn progress(&self, progress: Progress);
}

/// How to start a runner.
#[derive(Debug, Clone)]
pub struct RunnerConfig {
    /// The Blender to use: the program, its folder, or a Python that has the `bpy` module.
    /// `None` takes `blender` from the PATH.
    pub blender: Option<PathBuf>,
    /// `None` takes `ffmpeg` from the PATH.
    pub ffmpeg: Option<PathBuf>,
    /// Off: this machine serves, stores and encodes, and its Blender is not looked for.
    pub render: bool,
    /// Frames that are rendered at once.
    pub slots: u32,
    /// Working space of this runner alone. What an earlier one left there is removed.
    pub scratch: PathBuf,
    /// How long a Blender without work stays up.
    pub idle_limit: Duration,
    /// A step of an attempt (opening the scene, rendering, encoding) that takes longer fails.
    pub attempt_limit: Duration,
}

impl RunnerConfig {
    /// One slot, an hour a frame, and the ffmpeg that JIGGABLEND_FFMPEG names.
    pub fn new(scratch: PathBuf) -> Self {
        Self {
            blender: None,
            ffmpeg: std::env::var_os("JIGGABLEND_FFMPEG").map(PathBuf::from),
            render: true,
            slots: 1,
            scratch,
            idle_limit: Duration::from_secs(30),
            attempt_limit: Duration::from_secs(60 * 60),
        }
    }
}

/// Does the work that this node has leases for. Cheap to clone.
#[derive(Clone)]
pub struct Runner {
    facts: RunnerFacts,
    /// `None` where there is no scratch folder to work in.
    shared: Option<Arc<Shared>>,
}

/// What all slots and all ends of attempts share.
struct Shared {
    config: RunnerConfig,
    found: Found,
    storage: Arc<dyn Storage>,
    scenes: Scenes,
    scratch: Scratch,
    outbox: Arc<dyn Outbox>,
    queue: Mutex<Queue<Held>>,
    live_logs: LiveLogs,
    /// Counts what could give a slot something to do.
    changed: watch::Sender<u64>,
    /// Bounds the attempts that are made and not yet reported.
    finishing: Arc<Semaphore>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What this runner keeps for an assignment while it has it.
#[derive(Clone)]
struct Held {
    cancel: CancellationToken,
    scene: Option<Arc<SceneFile>>,
}

impl Runner {
    /// Finds Blender and ffmpeg and starts the slots. Never fails: what a machine cannot do is in
    /// its [`Runner::facts`].
    pub async fn start(
        config: RunnerConfig,
        storage: Arc<dyn Storage>,
        outbox: Arc<dyn Outbox>,
    ) -> Self {
        let scratch = match Scratch::open(&config.scratch) {
            Ok(scratch) => scratch,
            Err(error) => {
                let folder = config.scratch.display();
                let why_not = format!("cannot use the scratch folder {folder}: {error}");
                let facts = RunnerFacts {
                    why_not: Some(why_not),
                    ..RunnerFacts::default()
                };
                return Self {
                    facts,
                    shared: None,
                };
            }
        };
        let slot_count = config.slots.max(1);
        let found = find::find(&config, &scratch).await;
        let facts = found.facts.clone();
        let shared = Arc::new(Shared {
            scenes: Scenes::new(Arc::clone(&storage), scratch.clone()),
            queue: Mutex::new(Queue::new(slot_count as usize)),
            live_logs: LiveLogs::default(),
            changed: watch::channel(0).0,
            finishing: Arc::new(Semaphore::new(2 * slot_count as usize + 2)),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            config,
            found,
            storage,
            scratch,
            outbox,
        });
        for number in 0..slot_count as usize {
            let slot = Slot::new(Arc::clone(&shared), number);
            shared.tasks.spawn(slot.run());
        }
        Self {
            facts,
            shared: Some(shared),
        }
    }

    /// What this machine can do, or why it cannot.
    pub fn facts(&self) -> RunnerFacts {
        self.facts.clone()
    }

    /// Takes an assignment; its scene is fetched while others run. Does nothing where it is held
    /// already.
    pub fn assign(&self, assignment: Assignment) {
        let Some(shared) = &self.shared else {
            tracing::warn!(task = %assignment.task, "this node cannot run tasks; left to the leader");
            return;
        };
        let older = shared
            .queue()
            .older_leases(assignment.task, assignment.epoch);
        for (task, epoch) in older {
            self.revoke(task, epoch);
        }
        let held = Held {
            cancel: shared.stop.child_token(),
            scene: match &assignment.work {
                Work::Frame { scene, .. } => Some(shared.scenes.file(assignment.task.job, scene)),
                Work::Encode { .. } => None,
            },
        };
        let is_new = shared.queue().assign(assignment.clone(), held.clone());
        if is_new {
            shared.prefetch(&assignment, held);
            shared.changed.send_modify(|count| *count += 1);
        }
    }

    /// Gives a lease up: what runs for it is killed, and no outcome is given.
    pub fn revoke(&self, task: TaskId, epoch: Epoch) {
        if let Some(shared) = &self.shared
            && let Some((_, held)) = shared.queue().remove((task, epoch))
        {
            held.cancel.cancel();
        }
    }

    /// The leases that are queued, running or waiting to be reported.
    pub fn holding(&self) -> Vec<(TaskId, Epoch)> {
        self.shared
            .as_ref()
            .map(|shared| shared.queue().holding())
            .unwrap_or_default()
    }

    /// What a running attempt has printed, from line number `from` on, and the number of the next
    /// line; `None` where it does not run here.
    pub fn log_lines(&self, task: TaskId, epoch: Epoch, from: u64) -> Option<(Vec<String>, u64)> {
        let shared = self.shared.as_ref()?;
        let (mut lines, next) = shared.live_logs.lines((task, epoch), from)?;
        for line in &mut lines {
            *line = shared.scratch.hidden_in(line);
        }
        Some((lines, next))
    }

    /// Ends every process and gives no more outcomes.
    pub async fn shutdown(&self) {
        if let Some(shared) = &self.shared {
            shared.stop.cancel();
            shared.tasks.close();
            shared.tasks.wait().await;
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue<Held>> {
        // The queue is whole whatever happened to its last user.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches the scene of an assignment that still waits.
    fn prefetch(self: &Arc<Self>, assignment: &Assignment, held: Held) {
        let (Work::Frame { scene, .. }, Some(file)) = (&assignment.work, held.scene) else {
            return;
        };
        let scene = scene.clone();
        let shared = Arc::clone(self);
        self.tasks.spawn(async move {
            tokio::select! {
                () = held.cancel.cancelled() => {}
                fetched = shared.scenes.fetch(&file, &scene) => {
                    if let Err(failure) = fetched {
                        // The slot tries again, and that counts.
                        tracing::info!("a scene is not here yet: {}", failure.message);
                    }
                }
            }
        });
    }
}
