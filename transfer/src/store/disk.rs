//! The store's files, and the order in which they become durable.
//!
//! ```text
//! chunks/ab/<64 hex digits>      a chunk, by its blake3 hash
//! manifests/ab/<64 hex digits>   an encoded manifest
//! temporary/                     what is being written; swept at start
//! damaged/                       files that did not match their name any more
//! store.lock                     locked for as long as a store is open here
//! ```
//!
//! A file is written under a temporary name, fsynced, renamed, and its folder fsynced. A manifest is
//! renamed into place after the folders of all its chunks were fsynced, so that a manifest which is
//! there after a power cut has its chunks.
//!
//! After a failed fsync the kernel may drop the dirty pages and report success the next time, so no
//! write is tried any more then (I11).

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic;

use bytes::Bytes;
use tempfile::{NamedTempFile, TempPath};
use tokio::sync::watch;

use super::StoreError;

const TEMPORARY: &str = "temporary";
const DAMAGED: &str = "damaged";
/// Not plain `lock`: a data directory has that name for its own, and may be the content folder too.
const LOCK: &str = "store.lock";

/// What of a file is read before it is hashed: fits the cache, and is enough for blake3's widest
/// instructions.
const HASHED_PIECE_BYTES: u64 = 128 * 1024;

/// A large file's chunks lie in as many folders as there are.
const FOLDERS_SYNCED_AT_A_TIME: usize = 8;

/// The two kinds of files that are named by a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Chunk,
    Manifest,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Chunk, Self::Manifest];

    fn folder(self) -> &'static str {
        match self {
            Self::Chunk => "chunks",
            Self::Manifest => "manifests",
        }
    }
}

/// A file that is written under its temporary name, and not fsynced. Removed when it is dropped.
pub(super) struct Written {
    file: File,
    path: TempPath,
}

/// A file that is fsynced under its temporary name. Removed when it is dropped.
pub(super) struct Staged {
    path: TempPath,
}

/// The folder is this store's alone until this is dropped, or the process ends in whatever way.
pub(super) struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Makes the folder where it is not there. [`StoreError::InUse`] where another store is open
    /// in it, in this process or another one; then nothing was touched.
    pub(super) fn take(root: &Path) -> Result<Self, StoreError> {
        make_folder(root)?;
        let path = root.join(LOCK);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| StoreError::io("opening", &path, error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse(root.to_owned())),
            Err(TryLockError::Error(error)) => Err(StoreError::io("locking", &path, error)),
        }
    }
}

pub(super) struct Disk {
    root: PathBuf,
    /// Why nothing is written any more.
    failed: watch::Sender<Option<String>>,
    /// Counted for tests, which hold the number of fsyncs of a small file down.
    pub(super) fsyncs: atomic::AtomicU64,
}

impl Disk {
    /// Makes the folders, and removes what a crash has left half written. The lock says that
    /// nobody else is writing it at this moment.
    pub(super) fn open(root: &Path, _lock: &FolderLock) -> Result<Self, StoreError> {
        let disk = Self {
            root: root.to_owned(),
            failed: watch::Sender::new(None),
            fsyncs: atomic::AtomicU64::new(0),
        };
        for kind in Kind::ALL {
            let folder = root.join(kind.folder());
            for first_byte in 0..=u8::MAX {
                make_folder(&folder.join(format!("{first_byte:02x}")))?;
            }
            disk.sync_folder(&folder)?;
        }
        make_folder(&root.join(DAMAGED))?;
        let temporary = root.join(TEMPORARY);
        make_folder(&temporary)?;
        sweep(&temporary)?;
        disk.sync_folder(root)?;
        Ok(disk)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The error of the fsync that failed, where one did.
    pub(super) fn check_writable(&self) -> Result<(), StoreError> {
        match &*self.failed.borrow() {
            Some(reason) => Err(StoreError::FsyncFailed(reason.clone())),
            None => Ok(()),
        }
    }

    /// Resolves with the error of the first fsync that fails.
    pub(super) async fn failed(&self) -> String {
        let mut failed = self.failed.subscribe();
        match failed.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            // The sender lives as long as `self`.
            Err(_) => std::future::pending().await,
        }
    }

    /// Writes the bytes to a temporary file and fsyncs it.
    pub(super) fn stage(&self, bytes: &[u8]) -> Result<Staged, StoreError> {
        self.make_durable(self.write(bytes)?)
    }

    /// Writes the bytes to a temporary file. The disk begins to work on them at once, so that the
    /// fsync that must follow finds little left to do.
    pub(super) fn write_ahead(&self, bytes: &[u8]) -> Result<Written, StoreError> {
        let written = self.write(bytes)?;
        begin_writeback(&written.file);
        Ok(written)
    }

    fn write(&self, bytes: &[u8]) -> Result<Written, StoreError> {
        self.check_writable()?;
        let folder = self.root.join(TEMPORARY);
        let failed = |error| StoreError::io("writing to", &folder, error);
        let mut file = NamedTempFile::new_in(&folder).map_err(failed)?;
        file.write_all(bytes).map_err(failed)?;
        let (file, path) = file.into_parts();
        Ok(Written { file, path })
    }

    /// Fsyncs what was written.
    pub(super) fn make_durable(&self, written: Written) -> Result<Staged, StoreError> {
        let Written { file, path } = written;
        self.sync(&path, file.sync_data())?;
        Ok(Staged { path })
    }

    /// Gives the file its name. Not durable until its folder is synced.
    pub(super) fn place(
        &self,
        kind: Kind,
        hash: &[u8; 32],
        staged: Staged,
    ) -> Result<(), StoreError> {
        self.check_writable()?;
        let path = self.path(kind, hash);
        staged
            .path
            .persist(&path)
            .map_err(|error| StoreError::io("renaming a file to", &path, error.error))
    }

    /// Makes the names of these files durable, with one fsync a folder.
    pub(super) fn sync_names<'a>(
        &self,
        kind: Kind,
        hashes: impl IntoIterator<Item = &'a [u8; 32]>,
    ) -> Result<(), StoreError> {
        let folders: BTreeSet<u8> = hashes.into_iter().map(|hash| hash[0]).collect();
        let folders: Vec<u8> = folders.into_iter().collect();
        if folders.len() <= 2 {
            return self.sync_folders(kind, &folders);
        }
        // Flushes that come at the same time cost the disk one.
        let share = folders.len().div_ceil(FOLDERS_SYNCED_AT_A_TIME).max(1);
        std::thread::scope(|scope| {
            let syncing: Vec<_> = folders
                .chunks(share)
                .map(|folders| scope.spawn(|| self.sync_folders(kind, folders)))
                .collect();
            let mut synced = Ok(());
            for thread in syncing {
                let result = thread.join().unwrap_or_else(|_| {
                    let error = io::Error::other("the thread that syncs folders panicked");
                    Err(StoreError::io("syncing", &self.root, error))
                });
                synced = synced.and(result);
            }
            synced
        })
    }

    fn sync_folders(&self, kind: Kind, first_bytes: &[u8]) -> Result<(), StoreError> {
        for first_byte in first_bytes {
            self.sync_folder(&self.folder(kind, *first_byte))?;
        }
        Ok(())
    }

    /// Makes every name durable that is there, after a scan that may have seen names which no
    /// fsync has covered.
    pub(super) fn sync_all_names(&self) -> Result<(), StoreError> {
        for kind in Kind::ALL {
            for first_byte in 0..=u8::MAX {
                self.sync_folder(&self.folder(kind, first_byte))?;
            }
        }
        Ok(())
    }

    pub(super) fn read(&self, kind: Kind, hash: &[u8; 32]) -> Result<Option<Bytes>, StoreError> {
        let path = self.path(kind, hash);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("reading", &path, error)),
        }
    }

    /// The file's bytes and their hash, which is taken piece by piece while each is in the cache
    /// of the processor.
    pub(super) fn read_hashed(
        &self,
        kind: Kind,
        hash: &[u8; 32],
    ) -> Result<Option<(Bytes, blake3::Hash)>, StoreError> {
        let path = self.path(kind, hash);
        let reading = || -> io::Result<(Bytes, blake3::Hash)> {
            let mut file = File::open(&path)?;
            let length = usize::try_from(file.metadata()?.len()).unwrap_or_default();
            let mut bytes = Vec::with_capacity(length);
            let mut hasher = blake3::Hasher::new();
            loop {
                let start = bytes.len();
                (&mut file)
                    .take(HASHED_PIECE_BYTES)
                    .read_to_end(&mut bytes)?;
                if bytes.len() == start {
                    return Ok((bytes.into(), hasher.finalize()));
                }
                hasher.update(&bytes[start..]);
            }
        };
        match reading() {
            Ok(read) => Ok(Some(read)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io("reading", &path, error)),
        }
    }

    pub(super) fn remove(&self, kind: Kind, hash: &[u8; 32]) -> Result<(), StoreError> {
        let path = self.path(kind, hash);
        fs::remove_file(&path).map_err(|error| StoreError::io("removing", &path, error))
    }

    /// Moves a file that does not match its name out of the way, for someone to look at.
    pub(super) fn set_aside(&self, kind: Kind, hash: &[u8; 32]) -> Result<(), StoreError> {
        let path = self.path(kind, hash);
        let name = format!("{}-{}", kind.folder(), hex(hash));
        fs::rename(&path, self.root.join(DAMAGED).join(name))
            .map_err(|error| StoreError::io("setting aside", &path, error))
    }

    /// Every file of a kind, with its length in bytes.
    pub(super) fn scan(
        &self,
        kind: Kind,
        mut found: impl FnMut([u8; 32], u64),
    ) -> Result<(), StoreError> {
        for first_byte in 0..=u8::MAX {
            let folder = self.folder(kind, first_byte);
            let failed = |error| StoreError::io("listing", &folder, error);
            for entry in fs::read_dir(&folder).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let name = entry.file_name();
                let Some(hash) = name.to_str().and_then(parse_hex) else {
                    continue;
                };
                found(hash, entry.metadata().map_err(failed)?.len());
            }
        }
        Ok(())
    }

    fn folder(&self, kind: Kind, first_byte: u8) -> PathBuf {
        self.root
            .join(kind.folder())
            .join(format!("{first_byte:02x}"))
    }

    pub(super) fn path(&self, kind: Kind, hash: &[u8; 32]) -> PathBuf {
        self.folder(kind, hash[0]).join(hex(hash))
    }

    fn sync_folder(&self, folder: &Path) -> Result<(), StoreError> {
        let opened =
            File::open(folder).map_err(|error| StoreError::io("opening", folder, error))?;
        self.sync(folder, opened.sync_all())
    }

    /// Remembers that an fsync failed.
    fn sync(&self, path: &Path, result: io::Result<()>) -> Result<(), StoreError> {
        self.fsyncs.fetch_add(1, atomic::Ordering::Relaxed);
        let Err(error) = result else {
            return Ok(());
        };
        let reason = format!("{}: {error}", path.display());
        tracing::error!(reason, "an fsync failed; the store takes no more writes");
        self.failed.send_modify(|first| {
            first.get_or_insert_with(|| reason.clone());
        });
        Err(StoreError::FsyncFailed(reason))
    }

    #[cfg(test)]
    pub(super) fn fail_as_if_an_fsync_had(&self) {
        let error = io::Error::other("injected");
        let _ = self.sync(&self.root, Err(error));
    }
}

/// Asks the kernel to write the file's pages now. It says so by calling them unneeded, which drops
/// only pages that are on the disk already; it is advice, so a failure costs time and nothing else.
fn begin_writeback(file: &File) {
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

    let _ = posix_fadvise(file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
}

fn make_folder(folder: &Path) -> Result<(), StoreError> {
    fs::create_dir_all(folder).map_err(|error| StoreError::io("making", folder, error))
}

fn sweep(folder: &Path) -> Result<(), StoreError> {
    let failed = |error| StoreError::io("sweeping", folder, error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
    }
    Ok(())
}

fn hex(hash: &[u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(hash)
}

fn parse_hex(name: &str) -> Option<[u8; 32]> {
    let bytes = data_encoding::HEXLOWER.decode(name.as_bytes()).ok()?;
    bytes.try_into().ok()
}
