//! What a file consists of, and its one encoding.
//!
//! ```text
//! "JBM1" | chunking u8 | kind u8 | size u64 | kind 0: the bytes
//!                                           | kind 1: (chunk hash [32], length u32)*
//! ```
//! All numbers are big endian. The manifest's hash is over these bytes, so there must be one way
//! only to write a given list: decoding refuses everything else.
//!
//! A small file's bytes stand in its manifest itself: one file to fsync instead of two, and one
//! message to send.

use bytes::{BufMut, Bytes};

use super::{ChunkHash, Chunking, ManifestHash};

const MAGIC: &[u8; 4] = b"JBM1";
const HEADER_BYTES: usize = 14;
const ENTRY_BYTES: usize = 36;
const KIND_INLINE: u8 = 0;
const KIND_CHUNKS: u8 = 1;

/// A file of up to so many bytes needs no chunks.
pub(crate) const MAX_INLINE_BYTES: usize = 1024 * 1024;
/// The largest chunk of any way to cut.
pub(crate) const MAX_CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// A manifest travels in one message; this allows files of about 400 GiB.
pub(crate) const MAX_MANIFEST_BYTES: usize = 15 * 1024 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkRef {
    pub(crate) hash: ChunkHash,
    pub(crate) length_bytes: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Body {
    Inline(Bytes),
    Chunks(Vec<ChunkRef>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) chunking: Chunking,
    pub(crate) size_bytes: u64,
    pub(crate) body: Body,
}

impl Manifest {
    pub(crate) fn inline(chunking: Chunking, bytes: Bytes) -> Self {
        Self {
            chunking,
            size_bytes: bytes.len() as u64,
            body: Body::Inline(bytes),
        }
    }

    pub(crate) fn of_chunks(chunking: Chunking, chunks: Vec<ChunkRef>) -> Self {
        Self {
            chunking,
            size_bytes: total_bytes(&chunks),
            body: Body::Chunks(chunks),
        }
    }

    /// The chunks; none for a small file.
    pub(crate) fn chunks(&self) -> &[ChunkRef] {
        match &self.body {
            Body::Inline(_) => &[],
            Body::Chunks(chunks) => chunks,
        }
    }

    /// `None` for a file that is too large for a manifest.
    pub(crate) fn encode(&self) -> Option<Bytes> {
        let mut encoded = Vec::with_capacity(HEADER_BYTES + self.chunks().len() * ENTRY_BYTES);
        encoded.put_slice(MAGIC);
        encoded.put_u8(match self.chunking {
            Chunking::Fixed => 0,
            Chunking::ContentDefined => 1,
        });
        encoded.put_u8(match self.body {
            Body::Inline(_) => KIND_INLINE,
            Body::Chunks(_) => KIND_CHUNKS,
        });
        encoded.put_u64(self.size_bytes);
        match &self.body {
            Body::Inline(bytes) => encoded.put_slice(bytes),
            Body::Chunks(chunks) => {
                for chunk in chunks {
                    encoded.put_slice(&chunk.hash.0);
                    encoded.put_u32(chunk.length_bytes);
                }
            }
        }
        (encoded.len() <= MAX_MANIFEST_BYTES).then(|| encoded.into())
    }

    /// Checks the hash and all that must hold of a manifest.
    pub(crate) fn decode_verified(hash: ManifestHash, encoded: &Bytes) -> Result<Self, String> {
        if encoded.len() > MAX_MANIFEST_BYTES {
            return Err(format!("a manifest of {} bytes is too long", encoded.len()));
        }
        if ManifestHash::of(encoded) != hash {
            return Err(format!("manifest {hash} does not match its hash"));
        }
        Self::decode(encoded).map_err(|reason| format!("manifest {hash}: {reason}"))
    }

    fn decode(encoded: &Bytes) -> Result<Self, &'static str> {
        let (header, body) = encoded
            .split_at_checked(HEADER_BYTES)
            .ok_or("it is too short")?;
        if &header[..4] != MAGIC {
            return Err("it is not a manifest, or one of a newer version");
        }
        let chunking = match header[4] {
            0 => Chunking::Fixed,
            1 => Chunking::ContentDefined,
            _ => return Err("unknown chunking"),
        };
        let size_bytes = u64::from_be_bytes(header[6..].try_into().expect("eight bytes are left"));
        let manifest = match header[5] {
            KIND_INLINE if body.len() <= MAX_INLINE_BYTES => {
                Self::inline(chunking, encoded.slice(HEADER_BYTES..))
            }
            KIND_CHUNKS => Self::of_chunks(chunking, decode_chunks(body)?),
            _ => return Err("unknown kind"),
        };
        if manifest.size_bytes != size_bytes {
            return Err("its parts do not add up to its size");
        }
        Ok(manifest)
    }
}

fn decode_chunks(body: &[u8]) -> Result<Vec<ChunkRef>, &'static str> {
    if body.is_empty() || !body.len().is_multiple_of(ENTRY_BYTES) {
        return Err("its list of chunks is cut");
    }
    let mut chunks = Vec::with_capacity(body.len() / ENTRY_BYTES);
    for entry in body.chunks_exact(ENTRY_BYTES) {
        let (hash, length) = entry.split_at(32);
        let chunk = ChunkRef {
            hash: ChunkHash(hash.try_into().expect("an entry begins with 32 bytes")),
            length_bytes: u32::from_be_bytes(length.try_into().expect("and ends with four")),
        };
        if chunk.length_bytes == 0 || chunk.length_bytes as usize > MAX_CHUNK_BYTES {
            return Err("a chunk's length is out of bounds");
        }
        chunks.push(chunk);
    }
    if total_bytes(&chunks) <= MAX_INLINE_BYTES as u64 {
        return Err("a file so small has no chunks");
    }
    Ok(chunks)
}

fn total_bytes(chunks: &[ChunkRef]) -> u64 {
    chunks
        .iter()
        .map(|chunk| u64::from(chunk.length_bytes))
        .sum()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn chunked() -> Manifest {
        let chunk = |seed: u8| ChunkRef {
            hash: ChunkHash([seed; 32]),
            length_bytes: 1024 * 1024,
        };
        Manifest::of_chunks(Chunking::ContentDefined, vec![chunk(1), chunk(2)])
    }

    #[test]
    fn a_manifest_is_read_as_it_was_written() {
        let small = Manifest::inline(Chunking::Fixed, Bytes::from_static(b"picture"));
        let empty = Manifest::inline(Chunking::Fixed, Bytes::new());
        for manifest in [small, empty, chunked()] {
            let encoded = manifest.encode().unwrap();
            let hash = ManifestHash::of(&encoded);
            assert_eq!(Manifest::decode_verified(hash, &encoded).unwrap(), manifest);
        }
    }

    #[test]
    fn a_changed_manifest_is_refused() {
        let encoded = chunked().encode().unwrap();
        let hash = ManifestHash::of(&encoded);
        for position in 0..encoded.len() {
            let mut changed = encoded.to_vec();
            changed[position] ^= 1;
            assert!(Manifest::decode_verified(hash, &changed.into()).is_err());
        }
    }

    #[test]
    fn a_manifest_that_does_not_add_up_is_refused_whatever_its_hash() {
        let encoded = chunked().encode().unwrap();
        let refused = |bytes: Vec<u8>| {
            let bytes = Bytes::from(bytes);
            Manifest::decode_verified(ManifestHash::of(&bytes), &bytes).is_err()
        };
        assert!(refused(encoded[..encoded.len() - 1].to_vec()));
        assert!(refused(encoded[..encoded.len() - ENTRY_BYTES].to_vec()));
        assert!(refused([&encoded[..], &[0]].concat()));
        let mut other_size = encoded.to_vec();
        other_size[13] ^= 1;
        assert!(refused(other_size));
        let mut empty_chunk = encoded.to_vec();
        empty_chunk[HEADER_BYTES + 32..HEADER_BYTES + 36].fill(0);
        assert!(refused(empty_chunk));
    }
}
