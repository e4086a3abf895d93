//! Content across nodes: keep it on R of them, fetch it from whichever has it.

use std::ops::Range;
use std::path::Path;

use libp2p::PeerId;

use crate::{Chunking, ContentStore, ManifestHash, Mesh, StoreError, Stored};

/// How many nodes keep each file, where there are that many.
pub const DEFAULT_COPIES: usize = 2;

/// What was kept, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub stored: Stored,
    /// This node first, then the peers that have fsynced all of it.
    pub holders: Vec<PeerId>,
}

/// The store of this node and of its peers, as one. Cheap to clone.
#[derive(Clone)]
pub struct Content {}

impl Content {
    /// Joins store and mesh, and serves the [`crate::Channel::Content`] channel to members.
    pub fn new(_store: ContentStore, _mesh: Mesh) -> Self {
        todo!()
    }

    pub fn store(&self) -> &ContentStore {
        todo!()
    }

    /// Stores the bytes here and on other members until `copies` nodes have fsynced them, or all
    /// members where there are fewer. Waits for members to be reachable for up to `patience`.
    pub async fn keep(
        &self,
        _bytes: impl tokio::io::AsyncRead + Send + Unpin,
        _chunking: Chunking,
        _copies: usize,
        _patience: std::time::Duration,
    ) -> Result<Kept, StoreError> {
        todo!()
    }

    /// Makes sure that all chunks are on this node, fetching from `holders` first and from other
    /// connected members next.
    pub async fn fetch(
        &self,
        _manifest: ManifestHash,
        _holders: &[PeerId],
    ) -> Result<u64, StoreError> {
        todo!()
    }

    /// The file's size, from its manifest (fetched if it is not here).
    pub async fn size_bytes(
        &self,
        _manifest: ManifestHash,
        _holders: &[PeerId],
    ) -> Result<u64, StoreError> {
        todo!()
    }

    /// The file's bytes in order, each chunk checked against its hash, fetched from peers as
    /// needed. `range` in bytes; `None` for all of them. Chunks that were fetched stay here.
    pub async fn read(
        &self,
        _manifest: ManifestHash,
        _holders: &[PeerId],
        _range: Option<Range<u64>>,
    ) -> Result<impl tokio::io::AsyncRead + Send + Unpin + 'static, StoreError> {
        todo!() as Result<tokio::io::Empty, StoreError>
    }

    /// Writes the whole file to `path` (fetching what is not here), atomically.
    pub async fn export(
        &self,
        _manifest: ManifestHash,
        _holders: &[PeerId],
        _path: &Path,
    ) -> Result<u64, StoreError> {
        todo!()
    }
}
