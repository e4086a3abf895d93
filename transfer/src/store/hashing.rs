//! A file's name without a store: what its manifest hash is.

use std::io::{self, Read};

use bytes::Bytes;

use super::cutting::cut;
use super::manifest::{MAX_CHUNK_BYTES, MAX_INLINE_BYTES};
use super::{ChunkHash, ChunkRef, Chunking, Manifest, ManifestHash};

const WINDOW_BYTES: usize = 2 * MAX_CHUNK_BYTES;

impl ManifestHash {
    /// The hash that a store gives these bytes. Reads to the end and holds 8 MiB of it at most;
    /// blocks, so call it away from async threads.
    pub fn of_file(mut bytes: impl Read, chunking: Chunking) -> io::Result<Self> {
        let mut window = Vec::new();
        let mut at_end = fill(&mut bytes, &mut window, MAX_INLINE_BYTES + 1)?;
        if at_end {
            return hash_of(Manifest::inline(chunking, window.into()));
        }
        let mut chunks = Vec::new();
        while !at_end {
            at_end = fill(&mut bytes, &mut window, WINDOW_BYTES)?;
            let whole = Bytes::from(std::mem::take(&mut window));
            let (cut_off, used) = cut(&whole, chunking, at_end);
            chunks.extend(cut_off.iter().map(|chunk| ChunkRef {
                hash: ChunkHash::of(chunk),
                length_bytes: chunk.len() as u32,
            }));
            window = whole[used..].to_vec();
        }
        hash_of(Manifest::of_chunks(chunking, chunks))
    }
}

fn hash_of(manifest: Manifest) -> io::Result<ManifestHash> {
    let encoded = manifest
        .encode()
        .ok_or_else(|| io::Error::other("the file is too large for a manifest"))?;
    Ok(ManifestHash::of(&encoded))
}

/// Reads until the window holds `target` bytes; true at the end of the source.
fn fill(source: &mut impl Read, window: &mut Vec<u8>, target: usize) -> io::Result<bool> {
    let wanted = target.saturating_sub(window.len());
    let read = source.take(wanted as u64).read_to_end(window)?;
    Ok(read < wanted)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::ContentStore;

    #[tokio::test]
    async fn a_file_has_the_hash_that_a_store_gives_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = ContentStore::open(folder.path()).unwrap();
        for length in [0, 1, MAX_INLINE_BYTES, MAX_INLINE_BYTES + 1, 20_000_000] {
            let bytes: Vec<u8> = (0..length).map(|at| (at * at / 7) as u8).collect();
            for chunking in [Chunking::Fixed, Chunking::ContentDefined] {
                let stored = store.put(&bytes[..], chunking).await.unwrap();
                let hash = ManifestHash::of_file(&bytes[..], chunking).unwrap();
                assert_eq!(hash, stored.manifest, "{length} bytes, {chunking:?}");
            }
        }
    }
}
