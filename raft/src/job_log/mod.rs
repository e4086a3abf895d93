//! The handle on the job log that the rest of the node holds.
//!
//! [`open`] brings log, state and DuckDB together, [`propose`] carries commands and reads to the
//! leader, [`answer`] serves other nodes, [`leadership`] watches who leads, [`group`] changes who
//! votes.

mod answer;
mod group;
mod leadership;
mod open;
mod propose;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use crate::consensus::{Fault, LogStore, TypeConfig};
use crate::machine::{Machine, RaftMachine, Stop};
use crate::projection::Projection;
use crate::{Applied, Command, Effect, FarmId, NodeId, Refusal, State};
use answer::IncomingSnapshot;

type Raft = openraft::Raft<TypeConfig, RaftMachine>;

/// Carries requests of the job log to other nodes: Raft's own messages and forwarded proposals.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Sends `request` to the node and waits for its answer, for no longer than `timeout`.
    /// On the other side the bytes reach [`JobLog::handle`].
    async fn call(
        &self,
        node: NodeId,
        peer_id: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, TransportError>;
}

/// The request did not reach the node, or its answer did not come back.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct TransportError(pub String);

/// How patient the farm's members are with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeoutProfile {
    /// Heartbeat 60 ms, election 180 to 350 ms.
    Lan,
    /// Heartbeat 500 ms, election 1.5 to 3 s.
    Wan,
}

/// Where a node keeps its job log and who it is.
#[derive(Debug, Clone)]
pub struct JobLogConfig {
    pub node: NodeId,
    pub peer_id: String,
    /// The farm that the log must be of; `None` where the node has none yet.
    pub farm: Option<FarmId>,
    /// Raft's log and votes, and the snapshots.
    pub dir: PathBuf,
    /// The DuckDB file.
    pub db: PathBuf,
    pub timeouts: TimeoutProfile,
    /// Entries between two snapshots.
    pub snapshot_every: u64,
    /// This node has opened its log before. One that is not there then was wiped, and its votes
    /// with it: opening is refused, since under its old id the node could vote twice in a term.
    pub expect_log: bool,
}

/// Who leads, as this node sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leadership {
    pub term: u64,
    pub leader: Option<NodeId>,
    /// This node leads, a quorum has confirmed it within three of the longest election times
    /// (about 1 s on a LAN, 9 s on a WAN), and its state has all that earlier leaders
    /// acknowledged. Another node may lead already: this is for who gives out work, not a
    /// licence to read or write without the quorum.
    pub is_self: bool,
}

/// The Raft group as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct LogStatus {
    pub node: NodeId,
    pub term: u64,
    pub leader: Option<NodeId>,
    pub last_log_index: u64,
    pub applied_index: u64,
    /// The index up to which DuckDB has followed.
    pub projected_index: u64,
    /// Why DuckDB does not follow at the moment; the node tries again. Nothing is lost by it.
    pub projection_trouble: Option<String>,
    pub snapshot_index: u64,
    /// While a change is under way (`is_joint`), those who vote after it.
    pub voters: BTreeSet<NodeId>,
    /// Members of the Raft group that do not vote; while a change is under way, will not.
    pub standbys: BTreeSet<NodeId>,
    /// A change of the voters is half done: until it is finished, everything needs a majority of
    /// the old voters and one of the new. Lasts where the leader was lost between the two steps;
    /// [`JobLog::set_group`] finishes it.
    pub is_joint: bool,
}

/// Why a proposal has no effect that the caller can rely on.
#[derive(Debug, thiserror::Error)]
pub enum ProposeError {
    /// Applied, and refused: nothing changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// No leader could be reached in time. The command may or may not take effect; propose the
    /// same command again (its ids make that safe).
    #[error(
        "the farm has no leader that can be reached: {0}; try again when a majority of its voters is up"
    )]
    NoLeader(String),
    /// This node's log is not running any more, for example because its disk failed (I11).
    #[error("this node's job log has stopped: {0}")]
    Stopped(String),
}

#[derive(Debug, thiserror::Error)]
pub enum JobLogError {
    #[error("cannot open the job log in {dir}: {reason}")]
    Open { dir: PathBuf, reason: String },
    #[error("cannot change the Raft group: {0}")]
    Membership(String),
    #[error("this node's job log has stopped: {0}")]
    Stopped(String),
}

/// A node's part of the replicated job log. Cheap to clone.
///
/// When the last clone is dropped without [`JobLog::shutdown`], everything stops as it would
/// with the process: nothing that was acknowledged is lost.
#[derive(Clone)]
pub struct JobLog {
    inner: Arc<Inner>,
}

struct Inner {
    config: JobLogConfig,
    raft: Raft,
    log_store: LogStore,
    machine: Machine,
    transport: Arc<dyn Transport>,
    fault: Fault,
    /// Taken when the log stops.
    projection: std::sync::Mutex<Option<Projection>>,
    leadership: watch::Receiver<Leadership>,
    /// Pieces of a snapshot that the leader is sending.
    incoming: tokio::sync::Mutex<IncomingSnapshot>,
    /// Changes of the Raft group, one at a time.
    group_change: tokio::sync::Mutex<()>,
    /// Watchers; they end with this value.
    _tasks: JoinSet<()>,
}

impl JobLog {
    /// Opens the log, loads the state (DuckDB or snapshot, whichever is newer) and joins the
    /// Raft group that the log names. A node whose log is empty waits to be added by the leader.
    pub async fn open(
        config: JobLogConfig,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, JobLogError> {
        let inner = open::open(config, transport).await?;
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Makes a Raft group of this node alone and proposes `farm_created` as its first entry.
    /// Does nothing where the log has entries already.
    pub async fn create_farm(&self, farm_created: Command) -> Result<(), ProposeError> {
        group::create(&self.inner).await?;
        if self.read(|state| state.farm.is_none()) {
            self.propose(farm_created).await?;
        }
        Ok(())
    }

    /// Proposes a command and waits until it is applied on the leader and on this node; goes to
    /// the leader wherever it is, and tries again across elections for up to 15 s.
    ///
    /// A node that is too far behind to apply it soon returns all the same: what is in the log
    /// stays in the log.
    pub async fn propose(&self, command: Command) -> Result<Effect, ProposeError> {
        propose::propose(&self.inner, command).await
    }

    /// Reads this node's state. Keep it short: applying waits meanwhile.
    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        self.inner.machine.read(look)
    }

    /// The index of the newest entry in this node's state.
    pub fn applied_index(&self) -> u64 {
        *self.inner.machine.applied_index().borrow()
    }

    /// Waits until this node's state has everything that was acknowledged before the call.
    pub async fn read_barrier(&self) -> Result<(), ProposeError> {
        propose::read_barrier(&self.inner).await
    }

    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// Events from now on, in log order. A receiver that lags uses [`JobLog::applied_since`].
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Applied>> {
        self.inner.machine.subscribe()
    }

    /// The events after `index`, or `None` where this node no longer has them all: then the
    /// caller must read the state anew.
    pub fn applied_since(&self, index: u64) -> Option<Vec<Arc<Applied>>> {
        self.inner.machine.applied_since(index)
    }

    /// Answers a request that came through another node's [`Transport`].
    pub async fn handle(&self, request: &[u8]) -> Vec<u8> {
        answer::answer(&self.inner, request).await
    }

    pub fn status(&self) -> LogStatus {
        leadership::status(&self.inner)
    }

    /// Leader only: makes the Raft group these voters and these standbys. New ones are added as
    /// learners first and made voters when they have caught up. Finishes a change that another
    /// leader left half done, even one to these very voters.
    pub async fn set_group(
        &self,
        voters: BTreeSet<NodeId>,
        standbys: BTreeSet<NodeId>,
    ) -> Result<(), JobLogError> {
        group::set(&self.inner, voters, standbys).await
    }

    /// Resolves with the reason when the log stops by a fault (a failed fsync, a full disk).
    pub async fn stopped(&self) -> String {
        self.inner.fault.wait().await
    }

    /// Brings DuckDB up to the applied index and stops.
    pub async fn shutdown(&self) {
        self.inner.stop(Stop::Caught).await;
    }
}

impl Inner {
    async fn stop(&self, projection: Stop) {
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(%error, "the Raft core did not stop cleanly");
        }
        let follower = self
            .projection
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .take();
        if let Some(follower) = follower {
            let stopping = tokio::task::spawn_blocking(move || follower.stop(projection));
            if let Err(error) = stopping.await {
                tracing::warn!(%error, "DuckDB did not stop cleanly");
            }
        }
    }

    fn projected_index(&self) -> u64 {
        self.projection
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .as_ref()
            .map_or(0, Projection::index)
    }

    fn projection_trouble(&self) -> Option<String> {
        self.projection
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .as_ref()
            .and_then(Projection::trouble)
    }

    /// Why nothing can be proposed any more, if it is so.
    fn check_running(&self) -> Result<(), ProposeError> {
        match self.fault.get() {
            Some(reason) => Err(ProposeError::Stopped(reason)),
            None => Ok(()),
        }
    }
}
