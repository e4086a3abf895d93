//! The content store of one node: chunks and manifests on its own disk.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The blake3 hash of a chunk's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChunkHash(pub [u8; 32]);

/// The blake3 hash of an encoded manifest: names a file's bytes and how they were cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ManifestHash(pub [u8; 32]);

impl fmt::Display for ManifestHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from(self.0).to_hex().as_str())
    }
}

impl FromStr for ManifestHash {
    type Err = blake3::HexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(*blake3::Hash::from_hex(text)?.as_bytes()))
    }
}

/// How a file's bytes are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chunking {
    /// 1 MiB pieces: pictures, videos, logs.
    Fixed,
    /// FastCDC, 256 KiB / 1 MiB / 4 MiB: scene files, whose next version shares most of its bytes.
    ContentDefined,
}

/// What was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    pub manifest: ManifestHash,
    pub size_bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{doing}: {source}")]
    Io {
        doing: String,
        #[source]
        source: std::io::Error,
    },
    /// The disk is full: nothing was stored. Free space on the node, or send to another one.
    #[error("the disk of this node is full: {0}")]
    DiskFull(String),
    #[error("the reader gave an error: {0}")]
    Source(std::io::Error),
    #[error("content {0} is not on this node")]
    Missing(ManifestHash),
    #[error("stored bytes do not match their hash: {0}")]
    Corrupt(String),
    /// An fsync failed: what is on disk is unknown, and the process must end (I11).
    #[error("an fsync failed, this node must stop: {0}")]
    FsyncFailed(String),
    #[error("no peer could give {what}: {reason}")]
    Unavailable { what: String, reason: String },
    #[error("only {have} of {want} copies could be made: {reason}")]
    TooFewCopies {
        have: usize,
        want: usize,
        reason: String,
    },
}

/// A node's chunks and manifests. Cheap to clone.
#[derive(Clone)]
pub struct ContentStore {}

impl ContentStore {
    pub fn open(_dir: &Path) -> Result<Self, StoreError> {
        todo!()
    }

    /// Reads to the end, cuts, hashes and fsyncs. When it returns, every chunk and the manifest
    /// survive a power cut. On an error nothing is visible under the hash.
    pub async fn put(
        &self,
        _bytes: impl tokio::io::AsyncRead + Send + Unpin,
        _chunking: Chunking,
    ) -> Result<Stored, StoreError> {
        todo!()
    }

    /// True where the manifest and all its chunks are here.
    pub fn has(&self, _manifest: ManifestHash) -> bool {
        todo!()
    }

    /// Bytes that the store uses on disk.
    pub fn used_bytes(&self) -> u64 {
        todo!()
    }

    /// Where it is.
    pub fn dir(&self) -> PathBuf {
        todo!()
    }
}
