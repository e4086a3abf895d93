//! Which chunks and manifests are on disk, without asking the file system.
//!
//! The files are the truth and this is a cache of their names and lengths, so it costs no fsync on
//! the way of a write: its transactions are flushed now and then, and when the store is closed. A
//! marker file says that it was closed in order. Where the marker is missing, the index is thrown
//! away and made again from the files.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition};

use super::disk::{Disk, Kind};
use super::{ChunkHash, ManifestHash, StoreError};

const CHUNKS: TableDefinition<'_, [u8; 32], u64> = TableDefinition::new("chunks");
const MANIFESTS: TableDefinition<'_, [u8; 32], u64> = TableDefinition::new("manifests");
const FILE: &str = "index.redb";
const CLOSED_IN_ORDER: &str = "index.closed";
/// Transactions that are kept in memory before they are flushed together.
const FLUSHED_TOGETHER: u64 = 256;

pub(super) struct Index {
    database: Option<Database>,
    folder: PathBuf,
    transactions: AtomicU64,
    used_bytes: AtomicU64,
}

/// One file that is on disk, durably.
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) hash: [u8; 32],
    pub(super) length_bytes: u64,
}

impl Index {
    pub(super) fn open(disk: &Disk) -> Result<Self, StoreError> {
        let folder = disk.root();
        let marker = folder.join(CLOSED_IN_ORDER);
        let was_closed = remove_if_there(&marker)?;
        if !was_closed {
            remove_if_there(&folder.join(FILE))?;
        }
        sync_folder(folder)?;
        match Self::load(folder) {
            Ok(index) if was_closed => Ok(index),
            Ok(index) => index.rebuilt(disk),
            Err(error) => {
                tracing::warn!(%error, "the content index is damaged, making it again");
                remove_if_there(&folder.join(FILE))?;
                Self::load(folder)?.rebuilt(disk)
            }
        }
    }

    fn load(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(FILE);
        let database = Database::create(&path).map_err(|error| failed(error.into()))?;
        let index = Self {
            database: Some(database),
            folder: folder.to_owned(),
            transactions: AtomicU64::new(0),
            used_bytes: AtomicU64::new(0),
        };
        // Makes the tables, so that reading need not care.
        index.add(&[])?;
        let used_bytes = index.sum_lengths().map_err(failed)?;
        index.used_bytes.store(used_bytes, Ordering::Relaxed);
        Ok(index)
    }

    fn rebuilt(self, disk: &Disk) -> Result<Self, StoreError> {
        let mut entries = Vec::new();
        for kind in [Kind::Chunk, Kind::Manifest] {
            disk.scan(kind, |hash, length_bytes| {
                entries.push(Entry {
                    kind,
                    hash,
                    length_bytes,
                });
            })?;
        }
        if !entries.is_empty() {
            // Some of these names may be in the page cache only.
            disk.sync_all_names()?;
        }
        self.add(&entries)?;
        Ok(self)
    }

    fn database(&self) -> &Database {
        self.database
            .as_ref()
            .expect("the database is there until drop")
    }

    fn sum_lengths(&self) -> Result<u64, redb::Error> {
        let transaction = self.database().begin_read()?;
        let mut total = 0;
        for table in [CHUNKS, MANIFESTS] {
            for entry in transaction.open_table(table)?.iter()? {
                total += entry?.1.value();
            }
        }
        Ok(total)
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, entries: &[Entry]) -> Result<(), StoreError> {
        self.write(|chunks, manifests| {
            for entry in entries {
                let table = match entry.kind {
                    Kind::Chunk => &mut *chunks,
                    Kind::Manifest => &mut *manifests,
                };
                let before = table.insert(entry.hash, entry.length_bytes)?;
                let before = before.map_or(0, |length| length.value());
                self.used_bytes
                    .fetch_add(entry.length_bytes, Ordering::Relaxed);
                self.used_bytes.fetch_sub(before, Ordering::Relaxed);
            }
            Ok(())
        })
    }

    pub(super) fn remove(&self, kind: Kind, hash: &[u8; 32]) -> Result<(), StoreError> {
        self.write(|chunks, manifests| {
            let table = match kind {
                Kind::Chunk => chunks,
                Kind::Manifest => manifests,
            };
            let removed = table.remove(hash)?.map_or(0, |length| length.value());
            self.used_bytes.fetch_sub(removed, Ordering::Relaxed);
            Ok(())
        })
    }

    fn write(
        &self,
        change: impl for<'t> FnOnce(&mut Table<'t>, &mut Table<'t>) -> Result<(), redb::Error>,
    ) -> Result<(), StoreError> {
        let written = || -> Result<(), redb::Error> {
            let mut transaction = self.database().begin_write()?;
            let count = self.transactions.fetch_add(1, Ordering::Relaxed);
            if !(count + 1).is_multiple_of(FLUSHED_TOGETHER) {
                transaction.set_durability(Durability::None)?;
            }
            {
                let mut chunks = transaction.open_table(CHUNKS)?;
                let mut manifests = transaction.open_table(MANIFESTS)?;
                change(&mut chunks, &mut manifests)?;
            }
            transaction.commit()?;
            Ok(())
        };
        written().map_err(failed)
    }

    pub(super) fn has_chunk(&self, hash: ChunkHash) -> Result<bool, StoreError> {
        Ok(self.lacking(&[hash])?.is_empty())
    }

    /// The positions of the chunks that are not here.
    pub(super) fn lacking(&self, chunks: &[ChunkHash]) -> Result<Vec<usize>, StoreError> {
        let lacking = || -> Result<Vec<usize>, redb::Error> {
            let table = self.database().begin_read()?.open_table(CHUNKS)?;
            let mut lacking = Vec::new();
            for (position, chunk) in chunks.iter().enumerate() {
                if table.get(chunk.0)?.is_none() {
                    lacking.push(position);
                }
            }
            Ok(lacking)
        };
        lacking().map_err(failed)
    }

    pub(super) fn has_manifest(&self, hash: ManifestHash) -> Result<bool, StoreError> {
        let has = || -> Result<bool, redb::Error> {
            let table = self.database().begin_read()?.open_table(MANIFESTS)?;
            Ok(table.get(hash.0)?.is_some())
        };
        has().map_err(failed)
    }

    /// Flushes what is in memory and leaves the marker.
    fn close(&mut self) -> Result<(), StoreError> {
        let Some(database) = self.database.take() else {
            return Ok(());
        };
        let flushed = || -> Result<(), redb::Error> {
            // Immediate is the default.
            database.begin_write()?.commit()?;
            Ok(())
        };
        flushed().map_err(failed)?;
        drop(database);
        let marker = self.folder.join(CLOSED_IN_ORDER);
        File::create(&marker)
            .and_then(|file| file.sync_all())
            .map_err(|error| StoreError::io("writing", &marker, error))?;
        sync_folder(&self.folder)
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::warn!(%error, "the content index is not closed in order; it will be made again");
        }
    }
}

type Table<'t> = redb::Table<'t, [u8; 32], u64>;

fn failed(error: redb::Error) -> StoreError {
    let doing = "using the content index".to_owned();
    match error {
        redb::Error::Io(source) if source.kind() == io::ErrorKind::StorageFull => {
            StoreError::DiskFull(format!("{doing}: {source}"))
        }
        redb::Error::Io(source) => StoreError::Io { doing, source },
        other => StoreError::Io {
            doing,
            source: io::Error::other(other),
        },
    }
}

fn remove_if_there(path: &Path) -> Result<bool, StoreError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(StoreError::io("removing", path, error)),
    }
}

fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    File::open(folder)
        .and_then(|opened| opened.sync_all())
        .map_err(|error| StoreError::FsyncFailed(format!("{}: {error}", folder.display())))
}
