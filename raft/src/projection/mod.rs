//! DuckDB as a projection of the state: one thread follows the machine in large transactions.
//!
//! [`schema`] has the tables, [`write`] puts a batch into them (as [`rows`]), [`load`] reads the state back,
//! [`words`] turns values into words and back. Rows and the applied index commit together (I3).
//! No command waits for any of it; a file that cannot be read or written is set aside and
//! written anew from the state in memory, as often as it takes.

mod load;
mod rows;
mod schema;
mod words;
mod write;

#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use duckdb::Connection;

use crate::consensus::{Fault, PurgeLimit};
use crate::machine::{Machine, Point, Stop};
use write::Keys;

/// The least time from one transaction to the next: what changes meanwhile goes in one set.
const PAUSE_BETWEEN_BATCHES: Duration = Duration::from_millis(50);
/// Before a file that could not be written is tried anew; doubled with every failure in a row.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(2);
const MAX_PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(60);
/// Files that were set aside and are kept for people to look at.
const MAX_DAMAGED_FILES: u32 = 3;

/// An open DuckDB file and what was in it.
pub(crate) struct Database {
    path: PathBuf,
    connection: Connection,
    keys: Keys,
}

/// What a database holds when it is opened: nothing, if it is new.
pub(crate) struct Opened {
    pub(crate) database: Database,
    pub(crate) point: Option<Point>,
}

/// Why a database gave no state.
#[derive(Debug)]
enum Unreadable {
    /// Somebody else has it, or the disk does not let us: nothing is wrong with its content.
    Denied(String),
    Damaged(String),
}

impl From<duckdb::Error> for Unreadable {
    fn from(error: duckdb::Error) -> Self {
        let message = error.to_string();
        if message.contains("Could not set lock") || message.contains("Conflicting lock") {
            return Self::Denied(message);
        }
        Self::Damaged(message)
    }
}

impl Database {
    /// Opens the file, or makes it; one that cannot be understood is set aside. Blocks.
    pub(crate) fn open(path: &Path) -> io::Result<Opened> {
        if path.exists() {
            // What the file system does not let us do is no damage of the file.
            fs::OpenOptions::new().read(true).write(true).open(path)?;
        }
        match Self::open_existing(path) {
            Ok(opened) => Ok(opened),
            Err(Unreadable::Denied(reason)) => Err(io::Error::other(reason)),
            Err(Unreadable::Damaged(reason)) => {
                let aside = set_aside(path)?;
                tracing::warn!(?path, ?aside, %reason, "a damaged database was set aside and is rebuilt");
                Self::open_existing(path).map_err(|error| match error {
                    Unreadable::Denied(reason) | Unreadable::Damaged(reason) => {
                        io::Error::other(reason)
                    }
                })
            }
        }
    }

    fn open_existing(path: &Path) -> Result<Opened, Unreadable> {
        let connection = schema::connect(path)?;
        restrict_access(path).map_err(|error| Unreadable::Denied(error.to_string()))?;
        let (point, keys) = load::load(&connection).map_err(|error| match error {
            load::LoadError::DuckDb(error) => Unreadable::from(error),
            load::LoadError::Nonsense(reason) => Unreadable::Damaged(reason),
        })?;
        Ok(Opened {
            database: Self {
                path: path.to_owned(),
                connection,
                keys,
            },
            point,
        })
    }

    /// Gives the file up and says where it is.
    fn close(self) -> PathBuf {
        // DuckDB may say that closing failed as well; the file is given up in any case.
        drop(self.connection.close());
        self.path
    }

    /// Sets the file aside and begins a new, empty one.
    fn start_anew(path: &Path) -> io::Result<Self> {
        let aside = set_aside(path)?;
        tracing::warn!(?path, ?aside, "the database was set aside and is rebuilt");
        Ok(Self::open(path)?.database)
    }
}

/// The file has password hashes and the farm's key in it.
fn restrict_access(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// Renames the file, and its write-ahead log, to a free `.damaged-N`; the last one is reused.
fn set_aside(path: &Path) -> io::Result<PathBuf> {
    let named = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    };
    let aside = (1..MAX_DAMAGED_FILES)
        .map(|number| named(&format!(".damaged-{number}")))
        .find(|candidate| !candidate.exists())
        .unwrap_or_else(|| named(&format!(".damaged-{MAX_DAMAGED_FILES}")));
    if path.exists() {
        fs::rename(path, &aside)?;
    }
    let write_ahead_log = named(".wal");
    if write_ahead_log.exists() {
        let mut name = aside.as_os_str().to_owned();
        name.push(".wal");
        fs::rename(write_ahead_log, PathBuf::from(name))?;
    }
    Ok(aside)
}

/// The thread that follows the machine.
pub(crate) struct Projection {
    thread: Option<JoinHandle<()>>,
    machine: Machine,
    projected_index: Arc<AtomicU64>,
    trouble: Trouble,
}

/// Why DuckDB does not follow at the moment. Cheap to clone.
#[derive(Debug, Clone, Default)]
struct Trouble(Arc<Mutex<Option<String>>>);

impl Trouble {
    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, reason: String) {
        *self.lock() = Some(reason);
    }

    fn is_over(&self) {
        *self.lock() = None;
    }
}

impl Projection {
    /// Starts to follow. `projected_index` is what the database has already.
    pub(crate) fn start(
        database: Database,
        machine: Machine,
        projected_index: u64,
        purge_limit: PurgeLimit,
        fault: Fault,
    ) -> io::Result<Self> {
        let trouble = Trouble::default();
        let index = Arc::new(AtomicU64::new(projected_index));
        let follower = Follower {
            machine: machine.clone(),
            projected_index: index.clone(),
            purge_limit,
            trouble: trouble.clone(),
            fault,
        };
        let thread = std::thread::Builder::new()
            .name("duckdb".into())
            .spawn(move || follower.run(database))?;
        Ok(Self {
            thread: Some(thread),
            machine,
            projected_index: index,
            trouble,
        })
    }

    /// Why DuckDB does not follow at the moment, if it is so; it is tried again.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// The log index up to which DuckDB has followed.
    pub(crate) fn index(&self) -> u64 {
        self.projected_index.load(Ordering::SeqCst)
    }

    /// Stops the thread and waits for it. Blocks.
    pub(crate) fn stop(mut self, how: Stop) {
        self.machine.bell().stop(how);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that follows with DuckDB panicked");
        }
    }
}

impl Drop for Projection {
    fn drop(&mut self) {
        self.machine.bell().stop(Stop::AtOnce);
    }
}

struct Follower {
    machine: Machine,
    projected_index: Arc<AtomicU64>,
    purge_limit: PurgeLimit,
    trouble: Trouble,
    fault: Fault,
}

impl Drop for Follower {
    /// What goes wrong with DuckDB is tried again for ever, but a panic ends the thread.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.fault
                .set(|| "the thread that follows with DuckDB panicked; restart the node".into());
        }
    }
}

impl Follower {
    /// Follows until it is told to stop. What cannot be written waits: the log keeps it until
    /// DuckDB or a snapshot has it.
    fn run(self, mut database: Database) {
        let mut failures = 0;
        loop {
            let stop = self.machine.bell().wait();
            if stop == Some(Stop::AtOnce) {
                return;
            }
            let written = self.write_batch(&mut database);
            if let Err(error) = &written {
                tracing::error!(%error, "cannot write to DuckDB; the log goes on without it");
                self.trouble.set(format!("cannot write to DuckDB: {error}"));
            }
            if stop.is_some() {
                return;
            }
            if written.is_ok() {
                failures = 0;
                self.trouble.is_over();
                self.machine.bell().pause(PAUSE_BETWEEN_BATCHES);
                continue;
            }
            failures += 1;
            match self.rebuild(database, &mut failures) {
                Some(anew) => database = anew,
                None => return,
            }
            self.machine.project_everything();
        }
    }

    /// Makes a new file in place of one that cannot be written, and tries until it succeeds;
    /// `None` where the order to stop comes first.
    fn rebuild(&self, given_up: Database, failures: &mut u32) -> Option<Database> {
        let path = given_up.close();
        loop {
            if self.machine.bell().pause(pause_after(*failures)).is_some() {
                return None;
            }
            match Database::start_anew(&path) {
                Ok(anew) => return Some(anew),
                Err(error) => {
                    *failures = failures.saturating_add(1);
                    let again_in_s = pause_after(*failures).as_secs();
                    tracing::error!(%error, again_in_s, "cannot make a new DuckDB file; the log goes on without it");
                    self.trouble
                        .set(format!("cannot make a new DuckDB file: {error}"));
                }
            }
        }
    }

    fn write_batch(&self, database: &mut Database) -> Result<(), duckdb::Error> {
        let batch = self.machine.take_batch();
        let started = std::time::Instant::now();
        write::write(&mut database.connection, &mut database.keys, &batch)?;
        self.projected_index.store(batch.index(), Ordering::SeqCst);
        self.purge_limit.raise(batch.index());
        tracing::debug!(
            index = batch.index(),
            tasks = batch.rows.tasks.len(),
            elapsed_ms = started.elapsed().as_millis() as u64,
            "DuckDB followed"
        );
        Ok(())
    }
}

/// How long to wait after that many failures in a row.
fn pause_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(10);
    (PAUSE_AFTER_FAILURE * 2_u32.pow(doublings)).min(MAX_PAUSE_AFTER_FAILURE)
}
