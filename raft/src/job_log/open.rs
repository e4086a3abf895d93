//! Brings a node's log, state and DuckDB together.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use openraft::Config;
use tokio::task::JoinSet;

use super::answer::IncomingSnapshot;
use super::{Inner, JobLogConfig, JobLogError, Raft, Transport, leadership};
use crate::consensus::{Fault, LogStore, Network, PurgeLimit, raft_config};
use crate::machine::{Machine, Point, RaftMachine, SnapshotStore};
use crate::projection::{Database, Projection};

/// What a node has on its disk.
struct OnDisk {
    log_store: LogStore,
    snapshots: SnapshotStore,
    database: Database,
    /// Where the state goes on from: DuckDB's or the snapshot's, whichever is newer.
    point: Point,
    /// The index that DuckDB has; behind `point`'s where the snapshot is newer.
    projected_index: u64,
}

pub(super) async fn open(
    config: JobLogConfig,
    transport: Arc<dyn Transport>,
) -> Result<Inner, JobLogError> {
    let failed = |reason: String| JobLogError::Open {
        dir: config.dir.clone(),
        reason,
    };
    let raft_settings: Config = raft_config(config.timeouts, config.snapshot_every);
    let raft_settings = raft_settings
        .validate()
        .map_err(|error| failed(error.to_string()))?;

    let purge_limit = PurgeLimit::default();
    let fault = Fault::default();
    let (on_disk_config, limit, latch) = (config.clone(), purge_limit.clone(), fault.clone());
    let on_disk = tokio::task::spawn_blocking(move || read_disk(&on_disk_config, limit, latch))
        .await
        .map_err(|error| failed(error.to_string()))?
        .map_err(|error| failed(error.to_string()))?;

    let point_index = on_disk.point.index();
    let machine = Machine::new(on_disk.point, on_disk.projected_index < point_index);
    let raft_machine = RaftMachine {
        machine: machine.clone(),
        snapshots: on_disk.snapshots,
        purge_limit: purge_limit.clone(),
        fault: fault.clone(),
    };
    let raft = Raft::new(
        config.node,
        Arc::new(raft_settings),
        Network::new(transport.clone()),
        on_disk.log_store.clone(),
        raft_machine,
    )
    .await
    .map_err(|error| failed(error.to_string()))?;
    let projection = Projection::start(
        on_disk.database,
        machine.clone(),
        on_disk.projected_index,
        purge_limit,
        fault.clone(),
    )
    .map_err(|error| failed(error.to_string()))?;

    let mut tasks = JoinSet::new();
    let leadership = leadership::watch(&raft, &machine, config.timeouts, &fault, &mut tasks);
    tracing::info!(
        node = %config.node,
        applied_index = point_index,
        projected_index = on_disk.projected_index,
        "the job log is open"
    );
    Ok(Inner {
        config,
        raft,
        log_store: on_disk.log_store,
        machine,
        transport,
        fault,
        projection: std::sync::Mutex::new(Some(projection)),
        leadership,
        incoming: tokio::sync::Mutex::new(IncomingSnapshot::default()),
        group_change: tokio::sync::Mutex::new(()),
        _tasks: tasks,
    })
}

/// Opens everything and chooses where the state goes on from. Blocks.
fn read_disk(config: &JobLogConfig, purge_limit: PurgeLimit, fault: Fault) -> io::Result<OnDisk> {
    make_private_dir(&config.dir)?;
    let log_dir = config.dir.join("log");
    if config.expect_log && !LogStore::is_in(&log_dir)? {
        return Err(log_is_gone("this node had a log"));
    }
    let log_store = LogStore::open(&log_dir, purge_limit.clone(), fault)?;
    let snapshots = SnapshotStore::open(&config.dir.join("snapshots"))?;
    let opened = Database::open(&config.db)?;
    let projected_index = opened.point.as_ref().map_or(0, Point::index);
    let newest_snapshot = snapshots.newest()?.map(|snapshot| snapshot.point);
    for point in opened.point.iter().chain(&newest_snapshot) {
        check_farm(config, point)?;
    }

    let from_database = opened.point.unwrap_or_default();
    let point = match newest_snapshot {
        Some(snapshot) if snapshot.applied > from_database.applied => snapshot,
        _ => from_database,
    };
    let purged = log_store.last_purged().map_or(0, |log_id| log_id.index);
    if purged > point.index() {
        return Err(io::Error::other(format!(
            "the log begins after entry {purged}, but neither DuckDB nor a snapshot has more than {}; \
             remove this node from the farm and join it with a fresh data directory",
            point.index()
        )));
    }
    if log_store.is_pristine() && point.applied.is_some() {
        return Err(log_is_gone("DuckDB or a snapshot is there"));
    }
    purge_limit.raise(point.index());
    Ok(OnDisk {
        log_store,
        snapshots,
        database: opened.database,
        point,
        projected_index,
    })
}

/// Its votes are gone with its log: under its old id the node could vote twice in one term.
fn log_is_gone(but: &str) -> io::Error {
    io::Error::other(format!(
        "{but}, but the log itself is gone, and how the node voted with it; \
         remove this node from the farm and join it with a fresh data directory"
    ))
}

/// Files of another farm are refused before anything is written to them.
fn check_farm(config: &JobLogConfig, found: &Point) -> io::Result<()> {
    match (&found.state.farm, config.farm) {
        (Some(found), Some(expected)) if found.id != expected => Err(io::Error::other(format!(
            "the log or the database {} belongs to the farm '{}' ({}), this node to another one ({}); \
                 check --data and --db",
            config.db.display(),
            found.name,
            found.id.fingerprint(),
            expected.fingerprint()
        ))),
        _ => Ok(()),
    }
}

/// Log and snapshots hold password hashes and the farm's key.
fn make_private_dir(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    }
    Ok(())
}
