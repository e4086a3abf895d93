//! Bringing a file to this node from those that have it.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use libp2p::PeerId;

use super::Content;
use super::peers::Sources;
use super::protocol::{Answer, Request};
use crate::store::{ChunkRef, Manifest};
use crate::{ChunkHash, ManifestHash, StoreError};

/// Chunks of one file that are on their way at a time, from all peers together. Bounds memory, and
/// what a heartbeat may have to wait behind.
const CHUNKS_AT_A_TIME: usize = 4;

impl Content {
    /// Makes sure that all chunks are on this node and fsynced, fetching from `holders` first and
    /// from other connected members next. Answers the file's size in bytes.
    pub async fn fetch(
        &self,
        manifest: ManifestHash,
        holders: &[PeerId],
    ) -> Result<u64, StoreError> {
        let sources = self.sources(holders);
        let content = self.manifest(manifest, &sources).await?;
        if self.store.has(manifest) {
            return Ok(content.size_bytes);
        }
        let lacking = self.store.lacking(&content).await?;
        futures::stream::iter(lacking)
            .map(|position| self.fetch_chunk(content.chunks()[position], &sources))
            .buffer_unordered(CHUNKS_AT_A_TIME)
            .try_for_each(|_| async { Ok(()) })
            .await?;
        let stored = self.store.commit_manifest(content).await?;
        Ok(stored.size_bytes)
    }

    /// The file's size, from its manifest (fetched if it is not here).
    pub async fn size_bytes(
        &self,
        manifest: ManifestHash,
        holders: &[PeerId],
    ) -> Result<u64, StoreError> {
        let sources = self.sources(holders);
        Ok(self.manifest(manifest, &sources).await?.size_bytes)
    }

    pub(super) async fn manifest(
        &self,
        hash: ManifestHash,
        sources: &Sources,
    ) -> Result<Manifest, StoreError> {
        if let Some((manifest, _)) = self.store.manifest(hash).await? {
            return Ok(manifest);
        }
        let request = Request::Manifest(hash);
        let what = || format!("manifest {hash}");
        self.ask_any(sources, &request, what, |answer, encoded| match answer {
            Answer::Here => Manifest::decode_verified(hash, &encoded),
            _ => Err("does not have it".to_owned()),
        })
        .await
    }

    /// The chunk from this node's disk, or else from a peer; what came from a peer stays here.
    pub(super) async fn chunk(
        &self,
        chunk: ChunkRef,
        sources: &Sources,
    ) -> Result<Bytes, StoreError> {
        match self.store.chunk(chunk.hash).await? {
            Some(bytes) => Ok(bytes),
            None => self.fetch_chunk(chunk, sources).await,
        }
    }

    async fn fetch_chunk(&self, chunk: ChunkRef, sources: &Sources) -> Result<Bytes, StoreError> {
        let ChunkRef { hash, length_bytes } = chunk;
        let request = Request::Chunk(hash);
        let what = || format!("chunk {hash}");
        let check = |answer, bytes: Bytes| match answer {
            Answer::Here if bytes.len() != length_bytes as usize => Err("sent another length"),
            Answer::Here if ChunkHash::of(&bytes) != hash => Err("sent other bytes"),
            Answer::Here => Ok(bytes),
            _ => Err("does not have it"),
        };
        let check = |answer, bytes| check(answer, bytes).map_err(str::to_owned);
        let bytes = self.ask_any(sources, &request, what, check).await?;
        self.store.insert_chunk(hash, bytes.clone()).await?;
        Ok(bytes)
    }
}
