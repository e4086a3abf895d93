//! Raft's log and vote on disk: the crate raft-log behind openraft's storage traits.
//!
//! An append is acknowledged, and a vote is saved, when fsync has returned. The committed index
//! is a hint and rides on the next fsync. After the first failed write nothing is acknowledged
//! any more (I11), and the log is never purged past what a snapshot or DuckDB has on disk (I3).

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};
use openraft::{EntryPayload, OptionalSend};
use raft_log::api::raft_log_writer::RaftLogWriter;
use raft_log::{Callback, RaftLog};
use tokio::sync::oneshot;

use super::{Entry, Fault, LogId, Member, TypeConfig, Vote};
use crate::{Command, NodeId};

/// A file of the log is closed at this size; purging removes whole files.
const CHUNK_BYTES: usize = 32 * 1024 * 1024;
/// How raft-log names its files.
const FILE_SUFFIX: &str = ".wal";
const CHUNK_RECORDS: usize = 64 * 1024;
/// Entries that are read without the disk. What a snapshot has not yet covered fits in.
const CACHE_BYTES: usize = 128 * 1024 * 1024;
const CACHE_ENTRIES: usize = 100_000;
const READ_BUFFER_BYTES: usize = 1024 * 1024;
/// Entries for one append request stop at this many bytes (the first is always there).
const MAX_READ_BYTES: usize = 4 * 1024 * 1024;

/// `((term, leader), index)`: sorts as openraft's log ids do.
type StoredLogId = ((u64, u64), u64);
/// `((term, candidate), committed)`.
type StoredVote = ((u64, u64), bool);

/// raft-log's type parameters: entries are msgpack, so that its codec needs to know nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct StoredTypes;

impl raft_log::Types for StoredTypes {
    type LogId = StoredLogId;
    type LogPayload = Vec<u8>;
    type Vote = StoredVote;
    type Callback = Flushed;
    type UserData = ();

    fn log_index(log_id: &StoredLogId) -> u64 {
        log_id.1
    }

    fn payload_size(payload: &Vec<u8>) -> u64 {
        payload.len() as u64
    }
}

/// Whom to tell when the bytes are on disk, or that they never will be.
struct Flushed {
    doing: &'static str,
    fault: Fault,
    waiting: Waiting,
}

enum Waiting {
    Append(IOFlushed<TypeConfig>),
    Caller(oneshot::Sender<io::Result<()>>),
}

impl Callback for Flushed {
    fn send(self, result: io::Result<()>) {
        let result = self.fault.note(self.doing, result);
        match self.waiting {
            Waiting::Append(flushed) => flushed.io_completed(result),
            // The caller may be gone; the bytes are on disk all the same.
            Waiting::Caller(caller) => drop(caller.send(result)),
        }
    }
}

/// The highest index up to which the log may be purged. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct PurgeLimit(Arc<AtomicU64>);

impl PurgeLimit {
    /// A snapshot or DuckDB has everything up to `index` on disk.
    pub(crate) fn raise(&self, index: u64) {
        self.0.fetch_max(index, Ordering::SeqCst);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Raft's log and vote. Cheap to clone; all clones are the same log.
#[derive(Clone)]
pub(crate) struct LogStore {
    log: Arc<RwLock<RaftLog<StoredTypes>>>,
    purge_limit: PurgeLimit,
    fault: Fault,
}

impl LogStore {
    /// Opens the log in `dir`, which is made if it is not there. Blocks on the disk.
    pub(crate) fn open(dir: &Path, purge_limit: PurgeLimit, fault: Fault) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let dir_text = dir.to_str().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "the path of the job log is not valid UTF-8",
            )
        })?;
        let mut config = raft_log::Config::new(dir_text);
        config.log_cache_capacity = Some(CACHE_BYTES);
        config.log_cache_max_items = Some(CACHE_ENTRIES);
        config.wal.chunk_max_size = Some(CHUNK_BYTES);
        config.wal.chunk_max_records = Some(CHUNK_RECORDS);
        config.wal.read_buffer_size = Some(READ_BUFFER_BYTES);
        // openraft batches already; waiting for company only adds to each command's time.
        config.wal.flush_batch_wait = Some(Duration::ZERO);
        let log = RaftLog::open(Arc::new(config))?;
        Ok(Self {
            log: Arc::new(RwLock::new(log)),
            purge_limit,
            fault,
        })
    }

    /// Whether a log was ever opened in `dir`: opening one makes its first file, and purging
    /// never removes the last.
    pub(crate) fn is_in(dir: &Path) -> io::Result<bool> {
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        for entry in entries {
            if entry?.file_name().to_string_lossy().ends_with(FILE_SUFFIX) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The newest purged entry: what comes after it is in the log.
    pub(crate) fn last_purged(&self) -> Option<LogId> {
        self.read_lock().log_state().purged().map(from_stored)
    }

    /// True where neither a vote nor an entry was ever written.
    pub(crate) fn is_pristine(&self) -> bool {
        let log = self.read_lock();
        log.log_state().vote().is_none() && log.log_state().last().is_none()
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, RaftLog<StoredTypes>> {
        self.log.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_lock(&self) -> RwLockWriteGuard<'_, RaftLog<StoredTypes>> {
        self.log.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs a write under the latch: refused after a fault, and a failure is one.
    fn write<T>(
        &self,
        doing: &'static str,
        write: impl FnOnce(&mut RaftLog<StoredTypes>) -> io::Result<T>,
    ) -> io::Result<T> {
        self.fault.check()?;
        let written = write(&mut self.write_lock());
        self.fault.note(doing, written)
    }

    /// [`LogStore::write`], and waits until what was written is on disk.
    async fn write_and_sync(
        &self,
        doing: &'static str,
        write: impl FnOnce(&mut RaftLog<StoredTypes>) -> io::Result<()>,
    ) -> io::Result<()> {
        let (caller, flushed) = oneshot::channel();
        self.write(doing, |log| {
            write(log)?;
            log.flush(
                true,
                Some(self.when_flushed(doing, Waiting::Caller(caller))),
            )
        })?;
        let synced = flushed
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the log's writer has stopped")));
        self.fault.note(doing, synced)
    }

    fn when_flushed(&self, doing: &'static str, waiting: Waiting) -> Flushed {
        Flushed {
            doing,
            fault: self.fault.clone(),
            waiting,
        }
    }

    /// Entries from `start` up to `end` (not included) as far as the log has them, stopping
    /// after `max_bytes`.
    ///
    /// Served from the cache as a rule; what is older comes from the page cache or the disk.
    fn read_entries(&self, start: u64, end: u64, max_bytes: usize) -> io::Result<Vec<Entry>> {
        let log = self.read_lock();
        let mut entries = Vec::new();
        let mut bytes = 0;
        for stored in log.read(start, end) {
            let (log_id, payload) = stored?;
            bytes += payload.len();
            if bytes > max_bytes && !entries.is_empty() {
                break;
            }
            let payload: EntryPayload<Command, NodeId, Member> =
                rmp_serde::from_slice(&payload).map_err(io::Error::other)?;
            entries.push(Entry::new(from_stored(&log_id), payload));
        }
        Ok(entries)
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(start) => start + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(end) => end.saturating_add(1),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => u64::MAX,
        };
        self.read_entries(start, end.max(start), usize::MAX)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        let vote = self.read_lock().log_state().vote().cloned();
        Ok(vote.map(|((term, node), committed)| Vote {
            leader_id: leader_id(term, node),
            committed,
        }))
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<Entry>, io::Error> {
        self.read_entries(start, end, MAX_READ_BYTES)
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let log = self.read_lock();
        let state = log.log_state();
        Ok(LogState {
            last_purged_log_id: state.purged().map(from_stored),
            last_log_id: state.last().map(from_stored),
        })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let leader = vote.leader_id;
        let stored = ((leader.term, leader.node_id.0), vote.committed);
        self.write_and_sync("cannot write the vote", |log| {
            log.save_vote(stored).map(drop)
        })
        .await
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let Some(committed) = committed else {
            return Ok(());
        };
        self.write("cannot write the committed index", |log| {
            let stored = to_stored(&committed);
            // A snapshot's install may commit what the log does not have yet. It is only a hint.
            if log.log_state().last() < Some(&stored) {
                return Ok(());
            }
            log.commit(stored)?;
            log.flush(false, None)
        })
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(self.read_lock().log_state().committed().map(from_stored))
    }

    async fn append<I>(
        &mut self,
        entries: I,
        callback: IOFlushed<TypeConfig>,
    ) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut stored = Vec::new();
        for entry in entries {
            let payload = rmp_serde::to_vec_named(&entry.payload).map_err(io::Error::other)?;
            stored.push((to_stored(&entry.log_id), payload));
        }
        let doing = "cannot append to the job log";
        let flushed = self.when_flushed(doing, Waiting::Append(callback));
        self.write(doing, |log| {
            log.append(stored)?;
            log.flush(true, Some(flushed))
        })
    }

    async fn truncate_after(&mut self, last_log_id: Option<LogId>) -> Result<(), io::Error> {
        let first_removed = last_log_id.map_or(0, |last| last.index + 1);
        self.write_and_sync("cannot truncate the job log", |log| {
            let last = log.log_state().last();
            if last.is_none_or(|last| last.1 < first_removed) {
                return Ok(());
            }
            log.truncate(first_removed).map(drop)
        })
        .await
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let limit = self.purge_limit.get();
        if upto.index > limit {
            return self.fault.note(
                "cannot purge the job log",
                Err(io::Error::other(format!(
                    "entries up to {} would go, but only those up to {limit} are kept elsewhere",
                    upto.index
                ))),
            );
        }
        self.write_and_sync("cannot purge the job log", |log| {
            log.purge(to_stored(&upto)).map(drop)
        })
        .await
    }
}

fn leader_id(term: u64, node: u64) -> openraft::type_config::alias::LeaderIdOf<TypeConfig> {
    openraft::impls::leader_id_adv::LeaderId {
        term,
        node_id: NodeId(node),
    }
}

fn to_stored(log_id: &LogId) -> StoredLogId {
    let leader = log_id.leader_id;
    ((leader.term, leader.node_id.0), log_id.index)
}

fn from_stored(stored: &StoredLogId) -> LogId {
    let ((term, node), index) = *stored;
    LogId::new(leader_id(term, node), index)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use openraft::storage::RaftLogStorageExt;
    use tempfile::TempDir;

    use super::*;
    use crate::testing::{command, job_created};

    fn open(dir: &TempDir, fault: &Fault) -> LogStore {
        LogStore::open(dir.path(), PurgeLimit::default(), fault.clone()).unwrap()
    }

    fn log_id(index: u64) -> LogId {
        LogId::new(leader_id(1, 1), index)
    }

    fn entry(index: u64) -> Entry {
        let command = command(index, job_created(u128::from(index), false));
        Entry::new(log_id(index), EntryPayload::Normal(command))
    }

    fn vote(term: u64) -> Vote {
        Vote {
            leader_id: leader_id(term, 1),
            committed: false,
        }
    }

    #[tokio::test]
    async fn after_one_failed_fsync_nothing_is_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let fault = Fault::default();
        let mut store = open(&dir, &fault);
        store.blocking_append([entry(0)]).await.unwrap();
        store.save_vote(&vote(1)).await.unwrap();

        let (caller, told) = oneshot::channel();
        let failed = store.when_flushed("cannot append to the job log", Waiting::Caller(caller));
        failed.send(Err(io::Error::other("input/output error")));
        assert!(told.await.unwrap().is_err());

        // The disk itself would take all of these.
        assert!(store.blocking_append([entry(1)]).await.is_err());
        assert!(store.save_vote(&vote(2)).await.is_err());
        assert!(store.truncate_after(None).await.is_err());
        let reason = fault.get().unwrap();
        assert_eq!(reason, "cannot append to the job log: input/output error");
        assert_eq!(store.read_vote().await.unwrap(), Some(vote(1)));
    }

    #[tokio::test]
    async fn the_log_is_not_purged_past_what_is_kept_elsewhere() {
        let dir = tempfile::tempdir().unwrap();
        let fault = Fault::default();
        let mut store = open(&dir, &fault);
        store.blocking_append((0..10).map(entry)).await.unwrap();
        store.purge_limit.raise(4);
        store.purge(log_id(4)).await.unwrap();
        assert!(store.purge(log_id(5)).await.is_err());
        let state = store.get_log_state().await.unwrap();
        assert_eq!(state.last_purged_log_id, Some(log_id(4)));
        assert_eq!(store.try_get_log_entries(5..10).await.unwrap().len(), 5);
    }

    #[tokio::test]
    async fn a_record_that_power_loss_tore_is_dropped_and_the_rest_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(&dir, &Fault::default());
        store.save_vote(&vote(7)).await.unwrap();
        store.blocking_append((0..5).map(entry)).await.unwrap();
        drop(store);
        let files = fs::read_dir(dir.path()).unwrap();
        let newest = files
            .map(|file| file.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "wal"))
            .max()
            .unwrap();
        let whole = fs::read(&newest).unwrap();
        let file = fs::OpenOptions::new().append(true).open(&newest).unwrap();
        file.set_len(whole.len() as u64 - 3).unwrap();

        let mut store = open(&dir, &Fault::default());
        assert_eq!(store.read_vote().await.unwrap(), Some(vote(7)));
        let entries = store.try_get_log_entries(0..9).await.unwrap();
        assert_eq!(entries, (0..4).map(entry).collect::<Vec<_>>());
        store.blocking_append([entry(4)]).await.unwrap();
    }

    #[tokio::test]
    async fn entries_for_one_request_are_bounded_in_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(&dir, &Fault::default());
        store.blocking_append((0..20).map(entry)).await.unwrap();
        let one = rmp_serde::to_vec_named(&entry(0).payload).unwrap().len();
        assert_eq!(store.read_entries(0, 20, one * 5).unwrap().len(), 5);
        assert_eq!(store.read_entries(0, 20, 1).unwrap().len(), 1);
    }
}
