//! What can be written into the job log.
//!
//! A command carries everything that applying it needs: time, ids, hashes. `apply` adds nothing
//! of its own (I2). Commands that create something carry its id, so that proposing one twice,
//! as a retry across a failover does, makes one thing.

mod failure;
mod name;
mod parts;

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use failure::*;
pub use parts::*;

use crate::{
    DeliveryId, Epoch, FarmId, FileId, FrameList, Identity, InvitationId, JobId, NodeId, Owner,
    RegistrationTokenId, Roles, RunnerFacts, SceneFacts, Scope, SecretHash, Settings, ShareAccess,
    TaskId, TimestampMs, TokenId, UserId, UserRole, Webhook, WebhookId,
};

/// One entry of the job log: who asks for what, and when they asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The proposer's clock.
    pub at: TimestampMs,
    pub actor: Actor,
    /// The client's address as the node saw it that took the request; `None` for the farm's own
    /// duties and for a node's.
    #[serde(default)]
    pub from: Option<IpAddr>,
    pub action: Action,
}

impl Command {
    /// A command at the wall clock of now. Not for use inside `apply`.
    pub fn new(actor: Actor, action: Action) -> Self {
        Self {
            at: TimestampMs::now(),
            actor,
            from: None,
            action,
        }
    }

    /// The same command on behalf of a client at that address.
    #[must_use]
    pub fn from(self, address: impl Into<Option<IpAddr>>) -> Self {
        Self {
            from: address.into(),
            ..self
        }
    }
}

/// On whose behalf a command is proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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

    /// How people come in and what they may take, as a whole value.
    SettingsChanged {
        settings: Settings,
    },
    FarmRenamed {
        name: String,
    },

    /// A runner that speaks only HTTP needs one to come in.
    RegistrationTokenCreated {
        token: RegistrationTokenId,
        hash: SecretHash,
        name: String,
        /// `None`: until it is revoked.
        expires_at: Option<TimestampMs>,
        reusable: bool,
    },
    /// Nobody registers with it any more. Runners that did so stay: remove them as nodes.
    RegistrationTokenRevoked {
        token: RegistrationTokenId,
    },
    /// A runner that speaks only HTTP shows a registration token and becomes a member with a
    /// credential of its own. The same credential again gets the same answer.
    RunnerRegistered {
        token: SecretHash,
        credential: SecretHash,
        name: String,
        facts: RunnerFacts,
        version: String,
    },
    /// Such a runner tells what it can do now.
    RunnerAnnounced {
        node: NodeId,
        facts: RunnerFacts,
        version: String,
    },

    /// An account made by an admin or an operator. Refused with `Conflict` where the e-mail
    /// address has a local account or the identity a user already.
    UserCreated {
        user: UserId,
        name: String,
        /// A local account's own name; else only for display.
        email: Option<String>,
        /// argon2id in PHC format; `None` where it signs in with `identity`.
        password_hash: Option<String>,
        identity: Option<Identity>,
        role: UserRole,
    },
    /// Somebody makes an account of their own, as far as the farm's settings let them. The
    /// farm's first account is an admin. An invitation is spent in this entry.
    UserRegistered {
        user: UserId,
        name: String,
        email: Option<String>,
        credential: NewCredential,
        invitation: Option<SecretHash>,
    },
    UserChanged {
        user: UserId,
        change: UserChange,
    },
    /// The account goes, and with it its sessions, tokens, shares and webhooks. Its jobs stay.
    /// Refused for the last enabled admin.
    UserDeleted {
        user: UserId,
    },
    /// The user may sign in with that identity too. It belongs to one user.
    IdentityLinked {
        user: UserId,
        identity: Identity,
    },
    /// Refused where it is the user's last way to sign in.
    IdentityUnlinked {
        user: UserId,
        identity: Identity,
    },
    InvitationCreated {
        invitation: InvitationId,
        hash: SecretHash,
        role: UserRole,
        /// Only for the account with that address.
        email: Option<String>,
        expires_at: TimestampMs,
        reusable: bool,
    },
    InvitationRevoked {
        invitation: InvitationId,
    },

    /// Refused for disabled users.
    SessionCreated {
        session: SecretHash,
        user: UserId,
        expires_at: TimestampMs,
        /// What the client calls itself; cut to [`crate::MAX_AGENT_CHARS`].
        agent: String,
    },
    SessionEnded {
        session: SecretHash,
    },
    SessionsEnded {
        user: UserId,
        except: Option<SecretHash>,
    },
    TokenCreated {
        token: TokenId,
        hash: SecretHash,
        user: UserId,
        name: String,
        scopes: BTreeSet<Scope>,
        /// `None`: until it is revoked.
        expires_at: Option<TimestampMs>,
    },
    TokenRevoked {
        token: TokenId,
    },

    /// A browser is sent to a provider. Whatever node it comes back to knows of it.
    SignInStarted {
        /// Hash of the `state` parameter.
        state: SecretHash,
        /// Hash of the secret in the browser's cookie, so that nobody else can finish it.
        binding: SecretHash,
        provider: String,
        /// Signed in as that user already: the identity is to be linked.
        link_to: Option<UserId>,
        invitation: Option<SecretHash>,
        /// Where the page was.
        return_to: String,
        expires_at: TimestampMs,
    },
    /// The browser is back; this can be said once.
    SignInFinished {
        state: SecretHash,
    },
    /// A command line waits for somebody to approve it in a browser (RFC 8628).
    DeviceSignInStarted {
        device: SecretHash,
        user_code: String,
        expires_at: TimestampMs,
    },
    DeviceSignInApproved {
        user_code: String,
        user: UserId,
    },
    DeviceSignInRefused {
        user_code: String,
    },
    /// The command line takes what was approved; this can be said once.
    DeviceSignInFinished {
        device: SecretHash,
    },
    /// An account or an address must not try to sign in until then.
    SignInBlocked {
        /// Hash of what is blocked, so that the log tells nothing of who tried.
        key: SecretHash,
        until: TimestampMs,
    },
    /// Drops sessions, tokens, tickets, invitations and started sign-ins whose time is over at
    /// the command's `at`.
    ExpiredRemoved,

    /// A job waits for its scene file. The same id again is done already where owner, name and
    /// settings are the same, else a `Conflict`.
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
    /// Somebody who is not its owner may see the job, or manage it too.
    JobShared {
        job: JobId,
        user: UserId,
        access: ShareAccess,
    },
    JobUnshared {
        job: JobId,
        user: UserId,
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

    /// Makes the webhook, or replaces it. Its `created_at` and `failures` are not taken from here.
    WebhookSaved {
        webhook: Webhook,
    },
    /// Its deliveries go with it.
    WebhookDeleted {
        webhook: WebhookId,
    },
    /// One delivery that says nothing but that it is a test.
    WebhookTested {
        webhook: WebhookId,
    },
    /// The leader delivered it. Counts only if `attempt` is the one after the delivery's.
    DeliveryDone {
        delivery: DeliveryId,
        attempt: u32,
        /// The HTTP status of the answer.
        status: u16,
    },
    /// The leader could not. Counts only if `attempt` is the one after the delivery's.
    DeliveryFailed {
        delivery: DeliveryId,
        attempt: u32,
        error: String,
        /// The HTTP status of the answer, where there was one.
        status: Option<u16>,
        /// `None`: given up.
        retry_at: Option<TimestampMs>,
    },
}
