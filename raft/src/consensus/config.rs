//! openraft's type parameters and settings for this farm.

use std::fmt;
use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use serde::{Deserialize, Serialize};

use crate::{Command, Effect, NodeId, Refusal, TimeoutProfile};

openraft::declare_raft_types!(
    /// How openraft is set up here.
    pub(crate) TypeConfig:
        D = Command,
        R = Answer,
        NodeId = NodeId,
        Node = Member,
);

pub(crate) type LogId = openraft::type_config::alias::LogIdOf<TypeConfig>;
pub(crate) type Vote = openraft::type_config::alias::VoteOf<TypeConfig>;
pub(crate) type Entry = openraft::type_config::alias::EntryOf<TypeConfig>;
pub(crate) type StoredMembership = openraft::type_config::alias::StoredMembershipOf<TypeConfig>;

/// What the Raft group knows of each of its nodes: how the transport names it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// The libp2p PeerId in its text form.
    pub(crate) peer_id: String,
}

/// What came of an applied entry; `None` for entries that carry no command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer(pub(crate) Option<Result<Effect, Refusal>>);

/// openraft prints commands in its own messages: the kind is enough, secrets stay out.
impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.action.name())
    }
}

impl TimeoutProfile {
    /// Between two heartbeats of the leader.
    pub(crate) fn heartbeat(self) -> Duration {
        match self {
            Self::Lan => Duration::from_millis(60),
            Self::Wan => Duration::from_millis(500),
        }
    }

    /// The shortest and the longest time without a leader before a voter stands for election.
    pub(crate) fn election(self) -> (Duration, Duration) {
        match self {
            Self::Lan => (Duration::from_millis(180), Duration::from_millis(350)),
            Self::Wan => (Duration::from_millis(1500), Duration::from_millis(3000)),
        }
    }

    /// How long a quorum's last answer confirms a leader in its duties (see
    /// [`Leadership::is_self`](crate::Leadership)).
    ///
    /// Longer than an election, so that a busy machine's late heartbeat does not end them all
    /// and begin them anew. Another leader may have its duties meanwhile, which harms nothing:
    /// what the old one proposes is not committed, and `apply` fences what both give out.
    pub(crate) fn confirmation(self) -> Duration {
        self.election().1 * ELECTIONS_UNCONFIRMED
    }
}

/// How many of the longest elections a leader may be without its quorum's answer.
const ELECTIONS_UNCONFIRMED: u32 = 3;

/// Entries that stay in the log behind a snapshot, so that a node that was away for a moment
/// catches up by entries.
const LOG_KEPT_BEHIND_SNAPSHOT: u64 = 1_000;
/// For one piece of a snapshot, its install included.
const SNAPSHOT_PIECE_TIMEOUT_MS: u64 = 20_000;
/// Entries in one append request; its bytes are bounded by the log store's reader.
const MAX_APPEND_ENTRIES: u64 = 300;

pub(crate) fn raft_config(timeouts: TimeoutProfile, snapshot_every: u64) -> Config {
    let (election_min, election_max) = timeouts.election();
    Config {
        cluster_name: "jiggablend".into(),
        heartbeat_interval: timeouts.heartbeat().as_millis() as u64,
        election_timeout_min: election_min.as_millis() as u64,
        election_timeout_max: election_max.as_millis() as u64,
        enable_pre_vote: Some(true),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(snapshot_every),
        max_in_snapshot_log_to_keep: LOG_KEPT_BEHIND_SNAPSHOT.min(snapshot_every),
        replication_lag_threshold: snapshot_every.saturating_mul(2).max(5_000),
        max_payload_entries: MAX_APPEND_ENTRIES,
        install_snapshot_timeout: SNAPSHOT_PIECE_TIMEOUT_MS,
        backoff: "50ms 100ms 200ms ...500ms".into(),
        ..Config::default()
    }
}
