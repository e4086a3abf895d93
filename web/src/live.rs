//! What never enters the log: progress inside frames, and who is connected.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiggablend_raft::{Epoch, NodeId, TaskId, TimestampMs};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

/// Where a running frame is, on which node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskProgress {
    pub task: TaskId,
    pub epoch: Epoch,
    pub node: NodeId,
    pub fraction: Option<f32>,
    pub text: String,
}

/// The live board of this node. The node room writes it, the API reads it. Cheap to clone.
#[derive(Clone)]
pub struct LiveBoard {
    inner: Arc<std::sync::Mutex<Board>>,
    updates: broadcast::Sender<Arc<Vec<TaskProgress>>>,
}

#[derive(Default)]
struct Board {
    progress: BTreeMap<TaskId, TaskProgress>,
    connected: BTreeSet<NodeId>,
    /// When each node that is not connected any more was last seen so.
    last_connected: BTreeMap<NodeId, TimestampMs>,
}

impl Default for LiveBoard {
    fn default() -> Self {
        Self {
            inner: Arc::default(),
            updates: broadcast::channel(256).0,
        }
    }
}

impl LiveBoard {
    fn board(&self) -> std::sync::MutexGuard<'_, Board> {
        self.inner
            .lock()
            .expect("nothing panics while it holds the board")
    }

    /// Takes in a digest of progress and tells those who watch.
    pub fn progressed(&self, digest: Vec<TaskProgress>) {
        let mut board = self.board();
        for progress in &digest {
            board.progress.insert(progress.task, progress.clone());
        }
        drop(board);
        // No watchers is no error.
        let _ = self.updates.send(Arc::new(digest));
    }

    /// Forgets tasks that ended.
    pub fn ended(&self, task: TaskId) {
        self.board().progress.remove(&task);
    }

    /// Says which nodes the leader has a standing stream to.
    pub fn set_connected(&self, connected: BTreeSet<NodeId>) {
        let mut board = self.board();
        let now = TimestampMs::now();
        for gone in board
            .connected
            .difference(&connected)
            .copied()
            .collect::<Vec<_>>()
        {
            board.last_connected.insert(gone, now);
        }
        board.connected = connected;
    }

    /// When a node that is not connected now was last seen to be, since this node started.
    pub fn last_connected(&self, node: NodeId) -> Option<TimestampMs> {
        self.board().last_connected.get(&node).copied()
    }

    pub fn connected(&self) -> BTreeSet<NodeId> {
        self.board().connected.clone()
    }

    /// The newest word of each running task.
    pub fn progress(&self) -> Vec<TaskProgress> {
        self.board().progress.values().cloned().collect()
    }

    /// Digests from now on. A receiver that lags has missed nothing that matters.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Vec<TaskProgress>>> {
        self.updates.subscribe()
    }
}
