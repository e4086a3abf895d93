//! Giving a file's bytes out, each checked on the way (I6).

use std::io;
use std::ops::Range;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use libp2p::PeerId;
use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio_util::io::StreamReader;

use super::Content;
use super::peers::Sources;
use crate::store::{Body, ChunkRef, Manifest};
use crate::{ManifestHash, StoreError};

/// Chunks that are read ahead of the reader, so that reading and hashing go on while bytes leave.
const READ_AHEAD: usize = 8;

/// A file's bytes as they come, in pieces of at most a chunk each.
pub type ContentStream = BoxStream<'static, io::Result<Bytes>>;

/// A file's bytes as they come.
pub type ContentReader = Pin<Box<dyn AsyncRead + Send>>;

/// What of one chunk is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    chunk: ChunkRef,
    within: Range<usize>,
}

impl Content {
    /// The file's bytes in order, each chunk checked against its hash, fetched from peers as
    /// needed. `range` in bytes, cut to the file's size; `None` for all of them. Chunks that were
    /// fetched stay here, and so does the whole file when all of it was read.
    pub async fn read(
        &self,
        manifest: ManifestHash,
        holders: &[PeerId],
        range: Option<Range<u64>>,
    ) -> Result<ContentReader, StoreError> {
        let bytes = self.stream(manifest, holders, range).await?;
        Ok(Box::pin(StreamReader::new(bytes)))
    }

    /// The same as [`Self::read`] without copying: for whoever passes the bytes on.
    pub async fn stream(
        &self,
        manifest: ManifestHash,
        holders: &[PeerId],
        range: Option<Range<u64>>,
    ) -> Result<ContentStream, StoreError> {
        let sources = self.sources(holders);
        let content = self.manifest(manifest, &sources).await?;
        let end = content.size_bytes;
        let range = range.map_or(0..end, |range| range.start.min(end)..range.end.min(end));
        Ok(match &content.body {
            Body::Inline(bytes) => {
                let wanted = bytes.slice(clamped(&range, bytes.len()));
                self.settle(manifest, content).await?;
                futures::stream::iter([Ok(wanted)]).boxed()
            }
            Body::Chunks(_) => {
                let sources = Arc::new(sources);
                self.clone()
                    .chunks(manifest, content, sources, range)
                    .boxed()
            }
        })
    }

    /// Nothing runs but while the stream is polled, so nothing is left behind when it is dropped.
    fn chunks(
        self,
        manifest: ManifestHash,
        content: Manifest,
        sources: Arc<Sources>,
        range: Range<u64>,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let pieces = plan(content.chunks(), &range);
        let reader = self.clone();
        let bytes = futures::stream::iter(pieces)
            .map(move |piece| {
                let (reader, sources) = (reader.clone(), sources.clone());
                async move {
                    let bytes = reader.chunk(piece.chunk, &sources).await;
                    bytes
                        .map(|bytes| bytes.slice(piece.within))
                        .map_err(io::Error::other)
                }
            })
            .buffered(READ_AHEAD);
        let settle = futures::stream::once(async move { self.settle(manifest, content).await });
        let settle =
            settle.filter_map(async |settled| settled.err().map(io::Error::other).map(Err));
        bytes.chain(settle)
    }

    /// Makes durable what reading has brought here, if that is the whole file.
    async fn settle(&self, manifest: ManifestHash, content: Manifest) -> Result<(), StoreError> {
        if !self.store.has(manifest) && self.store.lacking(&content).await?.is_empty() {
            self.store.commit_manifest(content).await?;
        }
        Ok(())
    }

    /// Writes the whole file to `path` (fetching what is not here), atomically: whoever opens
    /// `path` sees all of it or what was there before. Answers its size in bytes.
    pub async fn export(
        &self,
        manifest: ManifestHash,
        holders: &[PeerId],
        path: &Path,
    ) -> Result<u64, StoreError> {
        let mut bytes = self.read(manifest, holders, None).await?;
        let failed = |error| StoreError::io("writing", path, error);
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let temporary = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        let (file, temporary) = temporary.into_parts();
        let mut file = tokio::fs::File::from_std(file);
        let size_bytes = tokio::io::copy(&mut bytes, &mut file)
            .await
            .map_err(failed)?;
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        temporary
            .persist(path)
            .map_err(|error| failed(error.error))?;
        let folder = tokio::fs::File::open(folder).await.map_err(failed)?;
        folder.sync_all().await.map_err(failed)?;
        Ok(size_bytes)
    }
}

/// The pieces of the chunks that make up a range of the file.
fn plan(chunks: &[ChunkRef], range: &Range<u64>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for chunk in chunks {
        let end = start + u64::from(chunk.length_bytes);
        let wanted = range.start.max(start)..range.end.min(end);
        if !wanted.is_empty() {
            let within = wanted.start - start..wanted.end - start;
            pieces.push(Piece {
                chunk: *chunk,
                within: clamped(&within, chunk.length_bytes as usize),
            });
        }
        start = end;
    }
    pieces
}

fn clamped(range: &Range<u64>, length: usize) -> Range<usize> {
    let end = usize::try_from(range.end).unwrap_or(length).min(length);
    let start = usize::try_from(range.start).unwrap_or(end).min(end);
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChunkHash;

    #[test]
    fn a_range_takes_parts_of_its_first_and_last_chunk() {
        let chunk = |seed| ChunkRef {
            hash: ChunkHash([seed; 32]),
            length_bytes: 10,
        };
        let chunks = [chunk(0), chunk(1), chunk(2)];
        let piece = |index: usize, within| Piece {
            chunk: chunks[index],
            within,
        };
        assert_eq!(
            plan(&chunks, &(5..25)),
            [piece(0, 5..10), piece(1, 0..10), piece(2, 0..5)]
        );
        assert_eq!(plan(&chunks, &(10..20)), [piece(1, 0..10)]);
        assert_eq!(plan(&chunks, &(29..30)), [piece(2, 9..10)]);
        assert_eq!(plan(&chunks, &(7..7)), []);
    }
}
