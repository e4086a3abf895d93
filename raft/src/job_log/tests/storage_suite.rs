//! openraft's own suite for log stores and state machines.

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use crate::consensus::{Fault, LogStore, PurgeLimit, TypeConfig};
use crate::machine::{Machine, Point, RaftMachine, SnapshotStore};

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, RaftMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, RaftMachine), StorageError<TypeConfig>> {
        let dir = tempfile::tempdir().unwrap();
        let purge_limit = PurgeLimit::default();
        // The suite purges logs that no snapshot has.
        purge_limit.raise(u64::MAX);
        let fault = Fault::default();
        let log_dir = dir.path().join("log");
        let log_store = LogStore::open(&log_dir, purge_limit.clone(), fault.clone()).unwrap();
        let machine = RaftMachine {
            machine: Machine::new(Point::default(), false),
            snapshots: SnapshotStore::open(&dir.path().join("snapshots")).unwrap(),
            purge_limit,
            fault,
        };
        Ok((dir, log_store, machine))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_storage_passes_openrafts_suite() {
    Suite::test_all(Builder).await.unwrap();
}
