//! The store itself: what goes in, what comes out, and what is said about it.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::task::JoinSet;

use super::cutting::cut;
use super::disk::{Disk, FolderLock, Kind, Staged, Written};
use super::index::{Entry, Index};
use super::manifest::{MAX_CHUNK_BYTES, MAX_INLINE_BYTES};
use super::{ChunkHash, ChunkRef, Chunking, Manifest, ManifestHash, StoreError, Stored};

/// What is read of a source before it is cut: some chunks at a time.
const WINDOW_BYTES: usize = 2 * MAX_CHUNK_BYTES;
/// Chunks of one file that are hashed and written at a time.
const WRITTEN_AT_A_TIME: usize = 4;
/// Chunks that are fsynced one after the other, in one thread. The disk has begun to write all of
/// them when the first fsync comes, and one commit of the file system's journal makes many of them
/// durable.
const SYNCED_TOGETHER: usize = 16;
/// How many such groups of one file are under way at a time, while more bytes come.
const GROUPS_AT_A_TIME: usize = 4;
/// Manifests that are known to be complete, so that asking costs nothing.
const MAX_REMEMBERED: usize = 100_000;

/// A node's chunks and manifests. Cheap to clone.
///
/// A folder has one open store at a time, in all processes: a lock on it lasts until the last clone
/// is dropped and its disk work is done. Nothing is collected yet: chunks that no manifest names
/// (of a fetch that was given up) stay.
#[derive(Clone)]
pub struct ContentStore {
    inner: Arc<Inner>,
}

struct Inner {
    disk: Disk,
    index: Index,
    /// Chunks that are in place, but whose folder was not synced yet. They count as held only when
    /// a manifest that names them is committed.
    unsynced: Mutex<HashMap<ChunkHash, u32>>,
    /// Manifests whose chunks are all here. Emptied when a chunk turns out to be damaged.
    complete: Mutex<HashSet<ManifestHash>>,
    /// Shared by commits; alone for whoever takes chunks back, which another commit may count on.
    commits: RwLock<()>,
    /// Last, so that it is given back when the index is closed.
    _lock: FolderLock,
}

/// A chunk on its way in: `staged` is `None` where the store has it already.
struct IncomingChunk {
    chunk: ChunkRef,
    staged: Option<Staged>,
}

/// A chunk before its fsync: `written` is `None` where the store has it already.
struct WrittenChunk {
    chunk: ChunkRef,
    written: Option<Written>,
}

impl ContentStore {
    /// Opens the store in `dir`, or makes one there. [`StoreError::InUse`] where one is open in it
    /// already, before anything is swept or made again.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        let lock = FolderLock::take(dir)?;
        let disk = Disk::open(dir, &lock)?;
        let index = Index::open(&disk)?;
        let inner = Inner {
            disk,
            index,
            unsynced: Mutex::default(),
            complete: Mutex::default(),
            commits: RwLock::default(),
            _lock: lock,
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Reads to the end, cuts, hashes and fsyncs. When it returns, every chunk and the manifest
    /// survive a power cut. On an error nothing is visible under the hash.
    ///
    /// Holds at most some 32 MiB in memory. A file of up to 1 MiB costs two fsyncs.
    pub async fn put(
        &self,
        mut bytes: impl AsyncRead + Send + Unpin,
        chunking: Chunking,
    ) -> Result<Stored, StoreError> {
        self.inner.disk.check_writable()?;
        let mut window = Vec::new();
        let mut at_end = fill(&mut bytes, &mut window, MAX_INLINE_BYTES + 1).await?;
        if at_end {
            let manifest = Manifest::inline(chunking, window.into());
            return self.commit(manifest, Vec::new()).await;
        }
        let mut staging = Staging::new(self.inner.clone());
        let staged = async {
            loop {
                if !at_end {
                    at_end = fill(&mut bytes, &mut window, WINDOW_BYTES).await?;
                }
                let whole = Bytes::from(std::mem::take(&mut window));
                let (chunks, rest) = blocking(move || {
                    let (chunks, used) = cut(&whole, chunking, at_end);
                    Ok((chunks, next_window(&whole[used..])))
                })
                .await?;
                window = rest;
                for chunk in chunks {
                    staging.add(chunk).await?;
                }
                if at_end {
                    return Ok(());
                }
            }
        }
        .await;
        let incoming = staging.finish(staged).await?;
        let chunks = incoming.iter().map(|incoming| incoming.chunk).collect();
        self.commit(Manifest::of_chunks(chunking, chunks), incoming)
            .await
    }

    /// True where the manifest and all its chunks are here.
    pub fn has(&self, manifest: ManifestHash) -> bool {
        self.inner.has(manifest).unwrap_or_else(|error| {
            tracing::warn!(%manifest, %error, "cannot tell whether content is here");
            false
        })
    }

    /// Bytes that the store uses on disk.
    pub fn used_bytes(&self) -> u64 {
        self.inner.index.used_bytes()
    }

    /// Resolves with the reason when an fsync fails: what is on disk is unknown then, nothing is
    /// written any more, and the process must end (I11).
    pub async fn failed(&self) -> String {
        self.inner.disk.failed().await
    }

    /// Where it is.
    pub fn dir(&self) -> PathBuf {
        self.inner.disk.root().to_owned()
    }

    async fn commit(
        &self,
        manifest: Manifest,
        incoming: Vec<IncomingChunk>,
    ) -> Result<Stored, StoreError> {
        let inner = self.inner.clone();
        blocking(move || inner.commit_placing(&manifest, incoming)).await
    }

    /// The manifest, checked; `None` where it is not here (or was damaged, and is set aside).
    pub(crate) async fn manifest(
        &self,
        hash: ManifestHash,
    ) -> Result<Option<(Manifest, Bytes)>, StoreError> {
        let inner = self.inner.clone();
        blocking(move || inner.read_manifest(hash)).await
    }

    /// The chunk's bytes, checked; `None` where they are not here (or were damaged, and are set
    /// aside).
    pub(crate) async fn chunk(&self, hash: ChunkHash) -> Result<Option<Bytes>, StoreError> {
        let inner = self.inner.clone();
        blocking(move || inner.read_chunk(hash)).await
    }

    /// Takes a chunk from elsewhere, if its bytes are what the hash says (I6). It is durable when
    /// a manifest that names it is committed.
    pub(crate) async fn insert_chunk(
        &self,
        hash: ChunkHash,
        bytes: Bytes,
    ) -> Result<(), StoreError> {
        let inner = self.inner.clone();
        blocking(move || inner.insert_chunk(hash, bytes)).await
    }

    /// The positions of the manifest's chunks that are not here.
    pub(crate) async fn lacking(&self, manifest: &Manifest) -> Result<Vec<usize>, StoreError> {
        let inner = self.inner.clone();
        let chunks: Vec<ChunkHash> = manifest.chunks().iter().map(|chunk| chunk.hash).collect();
        blocking(move || inner.lacking(&chunks)).await
    }

    /// Makes a file durable whose chunks are all here; [`StoreError::Missing`] where some are not.
    pub(crate) async fn commit_manifest(&self, manifest: Manifest) -> Result<Stored, StoreError> {
        let inner = self.inner.clone();
        blocking(move || inner.commit(&manifest)).await
    }

    #[cfg(test)]
    pub(super) fn disk(&self) -> &Disk {
        &self.inner.disk
    }
}

impl Inner {
    fn has(&self, hash: ManifestHash) -> Result<bool, StoreError> {
        if lock(&self.complete).contains(&hash) {
            return Ok(true);
        }
        if !self.index.has_manifest(hash)? {
            return Ok(false);
        }
        let Some((manifest, _)) = self.read_manifest(hash)? else {
            return Ok(false);
        };
        let chunks: Vec<ChunkHash> = manifest.chunks().iter().map(|chunk| chunk.hash).collect();
        let is_complete = self.index.lacking(&chunks)?.is_empty();
        if is_complete {
            self.remember_complete(hash);
        }
        Ok(is_complete)
    }

    fn remember_complete(&self, hash: ManifestHash) {
        let mut complete = lock(&self.complete);
        if complete.len() >= MAX_REMEMBERED {
            complete.clear();
        }
        complete.insert(hash);
    }

    fn lacking(&self, chunks: &[ChunkHash]) -> Result<Vec<usize>, StoreError> {
        let mut lacking = self.index.lacking(chunks)?;
        let unsynced = lock(&self.unsynced);
        lacking.retain(|position| !unsynced.contains_key(&chunks[*position]));
        Ok(lacking)
    }

    fn read_manifest(&self, hash: ManifestHash) -> Result<Option<(Manifest, Bytes)>, StoreError> {
        let Some(encoded) = self.disk.read(Kind::Manifest, &hash.0)? else {
            return Ok(None);
        };
        match Manifest::decode_verified(hash, &encoded) {
            Ok(manifest) => Ok(Some((manifest, encoded))),
            Err(reason) => {
                self.set_aside(Kind::Manifest, &hash.0, &reason)?;
                Ok(None)
            }
        }
    }

    fn read_chunk(&self, hash: ChunkHash) -> Result<Option<Bytes>, StoreError> {
        let Some((bytes, found)) = self.disk.read_hashed(Kind::Chunk, &hash.0)? else {
            if self.index.has_chunk(hash)? {
                tracing::warn!(chunk = %hash, "a chunk's file is gone");
                self.index.remove(Kind::Chunk, &hash.0)?;
                lock(&self.complete).clear();
            }
            return Ok(None);
        };
        if found == hash.0 {
            return Ok(Some(bytes));
        }
        self.set_aside(Kind::Chunk, &hash.0, "it does not match its hash")?;
        Ok(None)
    }

    /// The index first: what is not in it counts as missing, whatever happens to the file.
    fn set_aside(&self, kind: Kind, hash: &[u8; 32], reason: &str) -> Result<(), StoreError> {
        tracing::warn!(?kind, path = %self.disk.path(kind, hash).display(), reason, "stored bytes are damaged, setting them aside");
        lock(&self.unsynced).remove(&ChunkHash(*hash));
        self.index.remove(kind, hash)?;
        lock(&self.complete).clear();
        self.disk.set_aside(kind, hash)
    }

    /// Hashes a piece and writes it, unless the store has the same bytes already.
    fn write_chunk(&self, bytes: &Bytes) -> Result<WrittenChunk, StoreError> {
        let hash = ChunkHash::of(bytes);
        let chunk = ChunkRef {
            hash,
            length_bytes: u32::try_from(bytes.len()).expect("a chunk is at most 4 MiB"),
        };
        // The bytes are here to compare with: a damaged copy must not stand for the good one.
        let is_held = self.index.has_chunk(hash)?
            && self.disk.read(Kind::Chunk, &hash.0)?.as_ref() == Some(bytes);
        let written = match is_held {
            true => None,
            false => Some(self.disk.write_ahead(bytes)?),
        };
        Ok(WrittenChunk { chunk, written })
    }

    /// Fsyncs a chunk that was written.
    fn stage_chunk(&self, written: WrittenChunk) -> Result<IncomingChunk, StoreError> {
        let WrittenChunk { chunk, written } = written;
        let staged = written.map(|written| self.disk.make_durable(written));
        Ok(IncomingChunk {
            chunk,
            staged: staged.transpose()?,
        })
    }

    fn insert_chunk(&self, hash: ChunkHash, bytes: Bytes) -> Result<(), StoreError> {
        if bytes.len() > MAX_CHUNK_BYTES || ChunkHash::of(&bytes) != hash {
            let reason = format!("what came for chunk {hash} is something else");
            return Err(StoreError::Corrupt(reason));
        }
        let incoming = self.stage_chunk(self.write_chunk(&bytes)?)?;
        self.place(incoming)
    }

    fn place(&self, incoming: IncomingChunk) -> Result<(), StoreError> {
        let Some(staged) = incoming.staged else {
            return Ok(());
        };
        let ChunkRef { hash, length_bytes } = incoming.chunk;
        self.disk.place(Kind::Chunk, &hash.0, staged)?;
        lock(&self.unsynced).insert(hash, length_bytes);
        Ok(())
    }

    /// Gives the staged chunks their names and commits the manifest. Takes the names away again
    /// where that fails.
    fn commit_placing(
        &self,
        manifest: &Manifest,
        incoming: Vec<IncomingChunk>,
    ) -> Result<Stored, StoreError> {
        let mut placed = Vec::new();
        let committed = (|| {
            let _shared = self.commits.read().unwrap_or_else(PoisonError::into_inner);
            for incoming in incoming {
                let is_new = incoming.staged.is_some();
                let hash = incoming.chunk.hash;
                self.place(incoming)?;
                if is_new {
                    placed.push(hash);
                }
            }
            self.commit_placed(manifest)
        })();
        if committed.is_err() {
            self.take_back(&placed);
        }
        committed
    }

    fn take_back(&self, placed: &[ChunkHash]) {
        let _alone = self.commits.write().unwrap_or_else(PoisonError::into_inner);
        for hash in placed {
            lock(&self.unsynced).remove(hash);
            let removed = match self.index.has_chunk(*hash) {
                // Another file's commit has made it durable meanwhile.
                Ok(true) => Ok(()),
                Ok(false) => self.disk.remove(Kind::Chunk, &hash.0),
                Err(error) => Err(error),
            };
            if let Err(error) = removed {
                tracing::warn!(chunk = %hash, %error, "a chunk of a failed write stays behind");
            }
        }
    }

    fn commit(&self, manifest: &Manifest) -> Result<Stored, StoreError> {
        let _shared = self.commits.read().unwrap_or_else(PoisonError::into_inner);
        self.commit_placed(manifest)
    }

    fn commit_placed(&self, manifest: &Manifest) -> Result<Stored, StoreError> {
        let encoded = manifest.encode().ok_or_else(|| StoreError::Io {
            doing: format!("storing {} bytes", manifest.size_bytes),
            source: std::io::ErrorKind::FileTooLarge.into(),
        })?;
        let hash = ManifestHash::of(&encoded);
        let mut entries = self.sync_chunks(manifest, hash)?;
        if !self.is_stored(hash, &encoded)? {
            let staged = self.disk.stage(&encoded)?;
            self.disk.place(Kind::Manifest, &hash.0, staged)?;
            self.disk.sync_names(Kind::Manifest, [&hash.0])?;
            entries.push(Entry {
                kind: Kind::Manifest,
                hash: hash.0,
                length_bytes: encoded.len() as u64,
            });
        }
        if !entries.is_empty() {
            self.index.add(&entries)?;
        }
        let mut unsynced = lock(&self.unsynced);
        for entry in &entries {
            unsynced.remove(&ChunkHash(entry.hash));
        }
        drop(unsynced);
        self.remember_complete(hash);
        Ok(Stored {
            manifest: hash,
            size_bytes: manifest.size_bytes,
        })
    }

    /// Makes the chunks' names durable that no fsync has covered yet.
    fn sync_chunks(
        &self,
        manifest: &Manifest,
        hash: ManifestHash,
    ) -> Result<Vec<Entry>, StoreError> {
        let chunks: Vec<ChunkHash> = manifest.chunks().iter().map(|chunk| chunk.hash).collect();
        let mut entries = Vec::new();
        let not_indexed = self.index.lacking(&chunks)?;
        let unsynced = lock(&self.unsynced);
        for position in not_indexed {
            let chunk = chunks[position];
            let length = unsynced.get(&chunk).ok_or(StoreError::Missing(hash))?;
            entries.push(Entry {
                kind: Kind::Chunk,
                hash: chunk.0,
                length_bytes: u64::from(*length),
            });
        }
        // A damaged copy was replaced: its name is durable, and so must be what it names now.
        let replaced = chunks.iter().filter(|chunk| unsynced.contains_key(chunk));
        let to_sync: Vec<[u8; 32]> = replaced.map(|chunk| chunk.0).collect();
        drop(unsynced);
        self.disk.sync_names(Kind::Chunk, &to_sync)?;
        Ok(entries)
    }

    fn is_stored(&self, hash: ManifestHash, encoded: &Bytes) -> Result<bool, StoreError> {
        if !self.index.has_manifest(hash)? {
            return Ok(false);
        }
        let on_disk = self.disk.read(Kind::Manifest, &hash.0)?;
        Ok(on_disk.as_ref() == Some(encoded))
    }
}

/// The chunks of one file on their way in: some are hashed and written, groups of those that are
/// written are fsynced. At last they are in the file's order again.
struct Staging {
    inner: Arc<Inner>,
    added: usize,
    writing: JoinSet<(usize, Result<WrittenChunk, StoreError>)>,
    written: Vec<(usize, WrittenChunk)>,
    syncing: JoinSet<Result<Vec<(usize, IncomingChunk)>, StoreError>>,
    durable: Vec<(usize, IncomingChunk)>,
}

impl Staging {
    fn new(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            added: 0,
            writing: JoinSet::new(),
            written: Vec::new(),
            syncing: JoinSet::new(),
            durable: Vec::new(),
        }
    }

    async fn add(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        if self.writing.len() >= WRITTEN_AT_A_TIME {
            self.take_written().await?;
        }
        if self.written.len() >= SYNCED_TOGETHER {
            self.sync_written().await?;
        }
        let position = self.added;
        self.added += 1;
        let inner = self.inner.clone();
        self.writing
            .spawn_blocking(move || (position, inner.write_chunk(&bytes)));
        Ok(())
    }

    async fn take_written(&mut self) -> Result<(), StoreError> {
        if let Some(joined) = self.writing.join_next().await {
            let (position, written) = joined.map_err(task_failed)?;
            self.written.push((position, written?));
        }
        Ok(())
    }

    /// Begins to fsync what is written, when fewer groups than it may be are under way.
    async fn sync_written(&mut self) -> Result<(), StoreError> {
        if self.syncing.len() >= GROUPS_AT_A_TIME {
            self.take_durable().await?;
        }
        let group = std::mem::take(&mut self.written);
        let inner = self.inner.clone();
        self.syncing.spawn_blocking(move || {
            let staged = group
                .into_iter()
                .map(|(position, written)| Ok((position, inner.stage_chunk(written)?)));
            staged.collect()
        });
        Ok(())
    }

    async fn take_durable(&mut self) -> Result<(), StoreError> {
        if let Some(joined) = self.syncing.join_next().await {
            self.durable.extend(joined.map_err(task_failed)??);
        }
        Ok(())
    }

    /// All chunks, or the first error; then every temporary file is gone when this returns.
    async fn finish(
        mut self,
        added: Result<(), StoreError>,
    ) -> Result<Vec<IncomingChunk>, StoreError> {
        let mut result = added;
        while !self.writing.is_empty() {
            let taken = self.take_written().await;
            result = result.and(taken);
        }
        if result.is_ok() {
            result = self.sync_written().await;
        }
        while !self.syncing.is_empty() {
            let taken = self.take_durable().await;
            result = result.and(taken);
        }
        result?;
        self.durable.sort_unstable_by_key(|(position, _)| *position);
        Ok(self.durable.into_iter().map(|(_, chunk)| chunk).collect())
    }
}

/// A window that begins with what the one before has left, and never has to move while it fills.
fn next_window(rest: &[u8]) -> Vec<u8> {
    let mut window = Vec::with_capacity(WINDOW_BYTES);
    window.extend_from_slice(rest);
    window
}

/// Reads until `window` holds `target` bytes; true at the end of the source.
async fn fill(
    source: &mut (impl AsyncRead + Send + Unpin),
    window: &mut Vec<u8>,
    target: usize,
) -> Result<bool, StoreError> {
    let wanted = target.saturating_sub(window.len());
    let read = source
        .take(wanted as u64)
        .read_to_end(window)
        .await
        .map_err(StoreError::Source)?;
    Ok(read < wanted)
}

/// Runs disk work and hashing away from the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(task_failed)?
}

fn task_failed(error: tokio::task::JoinError) -> StoreError {
    StoreError::Io {
        doing: "working on the disk".to_owned(),
        source: std::io::Error::other(error),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
