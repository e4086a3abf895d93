//! What can be written into the job log.
//!
//! A command carries everything that applying it needs: time, ids, hashes. `apply` adds nothing
//! of its own (I2). Commands that create something carry its id, so that proposing one twice,
//! as a retry across a failover does, makes one thing.

use serde::{Deserialize, Serialize};

use crate::{
    ContentId, Epoch, FarmId, FileId, FileKind, FrameList, JobId, NodeId, Owner, Roles,
    RunnerFacts, SceneFacts, SecretHash, TaskId, TimestampMs, UserId, UserRole,
};

/// One entry of the job log: who asks for what, and when they asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The proposer's clock.
    pub at: TimestampMs,
    pub actor: Actor,
    pub action: Action,
}

/// On whose behalf a command is proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The leader's own duties: scheduling, expiry, repair.
    Farm,
    /// A node, for itself or its runner.
    Node(NodeId),
    /// A signed-in user.
    User(UserId),
    /// Whoever owns the machine of that node, through its command line.
    Operator(NodeId),
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// The first entry of a new farm. Admits its first node.
    FarmCreated {
        farm: FarmId,
        name: String,
        /// Ed25519 public key whose hash is the farm's id.
        public_key: [u8; 32],
        /// Its secret half, with which any member proves the farm's identity to a joiner.
        secret_key: [u8; 32],
        first_node: NewNode,
    },
    /// A joiner shows a ticket's secret and becomes a member; the ticket is spent in this entry.
    NodeAdmitted {
        ticket: SecretHash,
        node: NewNode,
    },
    /// A member tells where it is now and what it can do. Refused for nodes that were removed.
    NodeAnnounced {
        node: NodeId,
        /// Mesh addresses (multiaddrs) at which other members can dial it.
        addresses: Vec<String>,
        /// `http://host:port` of its web page, as others can reach it.
        web_address: Option<String>,
        version: String,
        runner: RunnerFacts,
        /// Hash of the token in its data directory, with which its own command line signs in.
        operator_token: SecretHash,
    },
    /// The node is a member no longer; its leases end.
    NodeRemoved {
        node: NodeId,
    },

    TicketCreated {
        ticket: SecretHash,
        roles: Roles,
        expires_at: TimestampMs,
        reusable: bool,
    },
    TicketRevoked {
        ticket: SecretHash,
    },

    /// Refused with `Conflict` where the e-mail address has a local account already.
    UserCreated {
        user: UserId,
        email: String,
        /// argon2id in PHC format.
        password_hash: String,
        role: UserRole,
    },
    SessionCreated {
        session: SecretHash,
        user: UserId,
        expires_at: TimestampMs,
    },
    SessionEnded {
        session: SecretHash,
    },
    /// Drops sessions and tickets whose time is over at the command's `at`.
    ExpiredRemoved,

    /// A job waits for its scene file.
    JobCreated {
        job: JobId,
        name: String,
        owner: Owner,
        settings: JobSettings,
    },
    /// The scene file is on R nodes: the job expands into tasks. Refused where the job has one.
    SceneAdded {
        job: JobId,
        file: NewFile,
        /// What the frames are when the job's settings name none: the scene's own range.
        scene_frames: FrameList,
    },
    /// What Blender said of the scene when a runner first opened it. The first word stands.
    SceneInspected {
        job: JobId,
        facts: SceneFacts,
    },
    JobCancelled {
        job: JobId,
    },

    /// The leader gives tasks to a runner. A lease is taken only where the task is pending and
    /// `epoch` is the one after the task's; others in the same command are unharmed.
    TasksLeased {
        node: NodeId,
        leases: Vec<(TaskId, Epoch)>,
    },
    /// The leader takes leases back: the runner is gone or cannot run them. The tasks are
    /// pending again; this is no failure of the task.
    LeasesEnded {
        leases: Vec<(TaskId, Epoch)>,
        reason: LeaseEnd,
    },
    /// A task's output is on R nodes. Counts only if `epoch` is the task's current lease (I5).
    TaskCommitted {
        task: TaskId,
        epoch: Epoch,
        /// The frame or the video.
        output: NewFile,
        log: Option<NewFile>,
        /// From the start of the render to the checked picture.
        render_ms: u64,
    },
    /// The attempt failed. Counts only if `epoch` is the task's current lease.
    TaskFailed {
        task: TaskId,
        epoch: Epoch,
        failure: Failure,
        log: Option<NewFile>,
    },

    /// A node has (or no longer has) all chunks of a file.
    ReplicaAdded {
        file: FileId,
        node: NodeId,
    },
    ReplicaLost {
        file: FileId,
        node: NodeId,
    },
}

impl Action {
    /// The kind of command, for messages: nothing of what it carries.
    pub fn name(&self) -> &'static str {
        match self {
            Self::FarmCreated { .. } => "farm_created",
            Self::NodeAdmitted { .. } => "node_admitted",
            Self::NodeAnnounced { .. } => "node_announced",
            Self::NodeRemoved { .. } => "node_removed",
            Self::TicketCreated { .. } => "ticket_created",
            Self::TicketRevoked { .. } => "ticket_revoked",
            Self::UserCreated { .. } => "user_created",
            Self::SessionCreated { .. } => "session_created",
            Self::SessionEnded { .. } => "session_ended",
            Self::ExpiredRemoved => "expired_removed",
            Self::JobCreated { .. } => "job_created",
            Self::SceneAdded { .. } => "scene_added",
            Self::SceneInspected { .. } => "scene_inspected",
            Self::JobCancelled { .. } => "job_cancelled",
            Self::TasksLeased { .. } => "tasks_leased",
            Self::LeasesEnded { .. } => "leases_ended",
            Self::TaskCommitted { .. } => "task_committed",
            Self::TaskFailed { .. } => "task_failed",
            Self::ReplicaAdded { .. } => "replica_added",
            Self::ReplicaLost { .. } => "replica_lost",
        }
    }
}

/// A node as it enters the farm. Its `NodeId` is given when the command is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewNode {
    pub name: String,
    /// The libp2p PeerId in its text form.
    pub peer_id: String,
    /// Mesh addresses (multiaddrs).
    pub addresses: Vec<String>,
    pub roles: Roles,
}

/// Content that is already on disk on `holders`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewFile {
    pub id: FileId,
    pub kind: FileKind,
    /// For people and for download names; never a path (I9).
    pub name: String,
    pub media_type: String,
    pub content: ContentId,
    pub size_bytes: u64,
    /// The nodes that have fsynced every chunk of it.
    pub holders: Vec<NodeId>,
}

/// What a user may set for a job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JobSettings {
    /// `None`: the scene's own range.
    pub frames: Option<FrameList>,
    /// Make a video when the last frame is in. Jobs of one frame make none.
    pub video: bool,
}

/// Why leases ended without a word from the runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseEnd {
    /// The runner's stream to the leader is gone for longer than the lease's time.
    NodeLost,
    /// The runner said that it does not have the lease, for example after its restart.
    NotRunning,
    /// The runner stops or is being drained.
    Released,
}

/// Why an attempt failed: a kind for programs, a message for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Failure {
    pub kind: FailureKind,
    /// One line: what happened and what to do next.
    pub message: String,
}

/// The kinds of failure. Later rooms add kinds; programs must accept ones that they don't know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum FailureKind {
    /// Blender cannot open the scene file.
    SceneUnreadable,
    NoCamera,
    /// The scene's render engine is not in this Blender.
    EngineMissing,
    /// Blender ended by a signal or left before it answered.
    Crashed,
    /// The picture is missing, does not decode or has the wrong size.
    WrongPicture,
    /// Blender reported an error while rendering.
    RenderError,
    TimedOut,
    DiskFull,
    /// ffmpeg could not make the video.
    EncodeFailed,
    /// Content could not be fetched or stored.
    ContentUnavailable,
}

impl FailureKind {
    /// True where no other node could do better: the job stops with this one message.
    pub fn stops_job(self) -> bool {
        matches!(self, Self::SceneUnreadable | Self::NoCamera)
    }
}
