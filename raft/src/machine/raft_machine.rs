//! The machine behind openraft's state machine traits.

use std::io;

use futures::{Stream, TryStreamExt};
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::type_config::alias::SnapshotOf;
use openraft::{OptionalSend, RaftSnapshotBuilder};

use super::snapshot::SnapshotMeta;
use super::{Machine, Point, Snapshot, SnapshotBytes, SnapshotStore};
use crate::consensus::{Fault, LogId, PurgeLimit, StoredMembership, TypeConfig};

/// What openraft drives: applies entries, makes and takes snapshots.
#[derive(Clone)]
pub(crate) struct RaftMachine {
    pub(crate) machine: Machine,
    pub(crate) snapshots: SnapshotStore,
    pub(crate) purge_limit: PurgeLimit,
    pub(crate) fault: Fault,
}

impl RaftMachine {
    /// Encodes, or takes as it is, and keeps on disk; off the async threads.
    async fn save(
        &self,
        make: impl FnOnce() -> io::Result<Snapshot> + Send + 'static,
    ) -> io::Result<Snapshot> {
        let snapshots = self.snapshots.clone();
        let saved = blocking(move || {
            let snapshot = make()?;
            snapshots.save(&snapshot)?;
            Ok(snapshot)
        })
        .await;
        let snapshot = self.fault.note("cannot keep a snapshot", saved)?;
        self.purge_limit.raise(snapshot.point.index());
        Ok(snapshot)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

impl RaftStateMachine<TypeConfig> for RaftMachine {
    type SnapshotData = SnapshotBytes;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok(self.machine.applied_state())
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let answer = self.machine.apply(entry);
            if let Some(responder) = responder {
                responder.send(answer);
            }
            // A long catch-up must not keep the thread from heartbeats.
            tokio::task::coop::consume_budget().await;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            point: self.machine.point(),
            keeper: self.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotBytes,
    ) -> Result<(), io::Error> {
        let announced = meta.last_log_id;
        let snapshot = self
            .save(move || {
                let snapshot = Snapshot::decode(snapshot)?;
                if snapshot.point.applied != announced {
                    return Err(io::Error::other(
                        "a snapshot holds another state than announced",
                    ));
                }
                Ok(snapshot)
            })
            .await?;
        tracing::info!(index = snapshot.point.index(), "installing a snapshot");
        self.machine.replace(snapshot.point);
        Ok(())
    }

    async fn get_current_snapshot(
        &mut self,
    ) -> Result<Option<SnapshotOf<TypeConfig, SnapshotBytes>>, io::Error> {
        let snapshots = self.snapshots.clone();
        let newest = blocking(move || snapshots.newest()).await?;
        Ok(newest.map(into_openraft))
    }
}

/// A copy of the state at one point, to be encoded while the machine goes on.
pub(crate) struct SnapshotBuilder {
    point: Point,
    keeper: RaftMachine,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = SnapshotBytes;

    async fn build_snapshot(&mut self) -> Result<SnapshotOf<TypeConfig, SnapshotBytes>, io::Error> {
        let point = std::mem::take(&mut self.point);
        let snapshot = self.keeper.save(move || Snapshot::encode(point)).await?;
        tracing::debug!(
            index = snapshot.point.index(),
            bytes = snapshot.bytes.0.len(),
            "made a snapshot"
        );
        Ok(into_openraft(snapshot))
    }
}

fn into_openraft(snapshot: Snapshot) -> SnapshotOf<TypeConfig, SnapshotBytes> {
    openraft::Snapshot {
        meta: snapshot.meta(),
        snapshot: snapshot.bytes,
    }
}
