//! The state machine: the state in memory, what was applied lately, and its snapshots.
//!
//! [`Machine`] is the one place that holds the state; [`RaftMachine`] lets openraft drive it,
//! [`batch`] is what the projection takes from it, [`snapshot`] is its form on disk and wire.

mod batch;
mod bell;
mod difference;
mod raft_machine;
mod recent;
mod snapshot;

use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::{broadcast, watch};

pub(crate) use batch::{Batch, JobRow};
pub(crate) use bell::{Bell, Stop};
pub(crate) use raft_machine::RaftMachine;
pub(crate) use snapshot::{
    MAX_SNAPSHOT_BYTES, Snapshot, SnapshotBytes, SnapshotMeta, SnapshotStore,
};

use crate::consensus::{Answer, Entry, LogId, StoredMembership};
use crate::state::Touched;
use crate::{Applied, State};
use batch::Pending;
use recent::RecentEvents;

/// Events that a slow subscriber may be behind before it must use `applied_since`.
const BROADCAST_EVENTS: usize = 4_096;

/// The state and how far it has come in the log.
#[derive(Debug, Clone, Default)]
pub(crate) struct Point {
    pub(crate) applied: Option<LogId>,
    pub(crate) membership: StoredMembership,
    pub(crate) state: State,
}

impl Point {
    /// The index of the newest applied entry; 0 before the first.
    pub(crate) fn index(&self) -> u64 {
        self.applied.map_or(0, |log_id| log_id.index)
    }
}

/// The state in memory. Writers are short; readers are asked to be. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Machine {
    shared: Arc<Shared>,
}

struct Shared {
    core: RwLock<Core>,
    /// Locked only while `core` is: it says what changed up to exactly `core`'s point.
    pending: Mutex<Pending>,
    events: broadcast::Sender<Arc<Applied>>,
    applied_index: watch::Sender<u64>,
    bell: Bell,
}

struct Core {
    point: Point,
    recent: RecentEvents,
}

impl Machine {
    /// A machine that goes on from `point`. `pending` is what the projection does not have yet.
    pub(crate) fn new(point: Point, projection_is_behind: bool) -> Self {
        let index = point.index();
        let pending = match projection_is_behind {
            true => Pending::Everything,
            false => Pending::default(),
        };
        let core = Core {
            recent: RecentEvents::after(index),
            point,
        };
        let machine = Self {
            shared: Arc::new(Shared {
                core: RwLock::new(core),
                pending: Mutex::new(pending),
                events: broadcast::Sender::new(BROADCAST_EVENTS),
                applied_index: watch::Sender::new(index),
                bell: Bell::default(),
            }),
        };
        if projection_is_behind {
            machine.shared.bell.ring();
        }
        machine
    }

    fn core(&self) -> RwLockReadGuard<'_, Core> {
        self.shared
            .core
            .read()
            .expect("the state is whole: applying does not panic")
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.core().point.state)
    }

    /// Follows the index of the newest applied entry.
    pub(crate) fn applied_index(&self) -> watch::Receiver<u64> {
        self.shared.applied_index.subscribe()
    }

    pub(crate) fn subscribe(&self) -> broadcast::Receiver<Arc<Applied>> {
        self.shared.events.subscribe()
    }

    pub(crate) fn applied_since(&self, index: u64) -> Option<Vec<Arc<Applied>>> {
        self.core().recent.since(index)
    }

    fn applied_state(&self) -> (Option<LogId>, StoredMembership) {
        let core = self.core();
        (core.point.applied, core.point.membership.clone())
    }

    /// A copy of everything, as of now.
    pub(crate) fn point(&self) -> Point {
        self.core().point.clone()
    }

    /// Applies one committed entry and tells those who watch.
    pub(crate) fn apply(&self, entry: Entry) -> Answer {
        let log_id = entry.log_id;
        let mut touched = Touched::default();
        let mut core = self
            .shared
            .core
            .write()
            .expect("the state is whole: applying does not panic");
        let answer = match entry.payload {
            openraft::EntryPayload::Blank => Answer(None),
            openraft::EntryPayload::Membership(membership) => {
                core.point.membership = StoredMembership::new(Some(log_id), membership);
                Answer(None)
            }
            openraft::EntryPayload::Normal(command) => {
                let result = core.point.state.apply_noting(&command, &mut touched);
                tracing::trace!(index = log_id.index, %command, ?result, "applied");
                Answer(Some(result))
            }
        };
        core.point.applied = Some(log_id);
        self.pending_lock().add(touched.rows);
        if !touched.changes.is_empty() {
            self.publish(
                &mut core,
                Applied {
                    index: log_id.index,
                    changes: touched.changes,
                },
            );
        }
        drop(core);
        self.applied(log_id.index);
        answer
    }

    /// Puts a snapshot's state in place of this one. What differs goes out as one event.
    fn replace(&self, point: Point) {
        let index = point.index();
        let mut core = self
            .shared
            .core
            .write()
            .expect("the state is whole: applying does not panic");
        let changes = difference::between(&core.point.state, &point.state);
        core.point = point;
        *self.pending_lock() = Pending::Everything;
        self.publish(&mut core, Applied { index, changes });
        drop(core);
        self.applied(index);
    }

    /// In the write section, so that events are in order and none is between state and event.
    fn publish(&self, core: &mut Core, applied: Applied) {
        let applied = Arc::new(applied);
        core.recent.push(applied.clone());
        // No subscriber is no fault.
        drop(self.shared.events.send(applied));
    }

    fn applied(&self, index: u64) {
        self.shared.applied_index.send_replace(index);
        self.shared.bell.ring();
    }

    fn pending_lock(&self) -> std::sync::MutexGuard<'_, Pending> {
        self.shared
            .pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what changed since the last batch, with its values as of now. Readers and the
    /// caller share the state meanwhile; applying waits.
    pub(crate) fn take_batch(&self) -> Batch {
        let core = self.core();
        let pending = std::mem::take(&mut *self.pending_lock());
        Batch::of(&core.point, pending)
    }

    /// The next batch holds everything: the projection lost what it had.
    pub(crate) fn project_everything(&self) {
        let _core = self.core();
        *self.pending_lock() = Pending::Everything;
        self.shared.bell.ring();
    }

    /// What wakes and stops the projection's thread.
    pub(crate) fn bell(&self) -> &Bell {
        &self.shared.bell
    }
}
