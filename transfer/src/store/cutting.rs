//! Bytes into chunks. Pure, and the same whatever pieces the bytes arrive in.

use bytes::Bytes;
use fastcdc::v2020::FastCDC;

use super::Chunking;
use super::manifest::MAX_CHUNK_BYTES;

pub(super) const FIXED_CHUNK_BYTES: usize = 1024 * 1024;
const SMALLEST_CHUNK_BYTES: usize = 256 * 1024;
const AVERAGE_CHUNK_BYTES: usize = 1024 * 1024;

/// Cuts off all chunks that are certain, and says how many bytes they take. The rest must be given
/// again at the front of what follows. With `at_end` there is no rest.
pub(super) fn cut(bytes: &Bytes, chunking: Chunking, at_end: bool) -> (Vec<Bytes>, usize) {
    match chunking {
        Chunking::Fixed => cut_fixed(bytes, at_end),
        Chunking::ContentDefined => cut_by_content(bytes, at_end),
    }
}

fn cut_fixed(bytes: &Bytes, at_end: bool) -> (Vec<Bytes>, usize) {
    let mut chunks = Vec::new();
    let mut start = 0;
    while bytes.len() - start >= FIXED_CHUNK_BYTES || (at_end && start < bytes.len()) {
        let end = (start + FIXED_CHUNK_BYTES).min(bytes.len());
        chunks.push(bytes.slice(start..end));
        start = end;
    }
    (chunks, start)
}

fn cut_by_content(bytes: &Bytes, at_end: bool) -> (Vec<Bytes>, usize) {
    let cutter = FastCDC::new(
        bytes,
        SMALLEST_CHUNK_BYTES,
        AVERAGE_CHUNK_BYTES,
        MAX_CHUNK_BYTES,
    );
    let mut chunks = Vec::new();
    let mut start = 0;
    // Where a chunk ends depends on nothing behind its greatest possible length.
    while bytes.len() - start >= MAX_CHUNK_BYTES || (at_end && start < bytes.len()) {
        let (_, end) = cutter.cut(start, bytes.len() - start);
        chunks.push(bytes.slice(start..end));
        start = end;
    }
    (chunks, start)
}

#[cfg(test)]
mod tests {
    use rand::{RngCore, SeedableRng};

    use super::*;

    fn random_bytes(length: usize, seed: u64) -> Vec<u8> {
        let mut bytes = vec![0; length];
        rand::rngs::StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
        bytes
    }

    fn cut_in_pieces(bytes: &[u8], chunking: Chunking, piece_bytes: usize) -> Vec<Bytes> {
        let mut all = Vec::new();
        let mut rest = Vec::new();
        let mut pieces = bytes.chunks(piece_bytes).peekable();
        while let Some(piece) = pieces.next() {
            rest.extend_from_slice(piece);
            let window = Bytes::from(rest);
            let (chunks, used) = cut(&window, chunking, pieces.peek().is_none());
            all.extend(chunks);
            rest = window[used..].to_vec();
        }
        assert!(rest.is_empty());
        all
    }

    #[test]
    fn chunks_are_the_same_however_the_bytes_arrive() {
        let bytes = random_bytes(20_000_000, 1);
        for chunking in [Chunking::Fixed, Chunking::ContentDefined] {
            let whole = cut_in_pieces(&bytes, chunking, bytes.len());
            assert_eq!(whole.concat(), bytes);
            assert!(whole.iter().all(|chunk| chunk.len() <= MAX_CHUNK_BYTES));
            for piece_bytes in [4_500_000, 7_000_001] {
                assert_eq!(whole, cut_in_pieces(&bytes, chunking, piece_bytes));
            }
        }
    }

    #[test]
    fn a_byte_put_in_at_the_front_changes_few_chunks() {
        let bytes = random_bytes(20_000_000, 2);
        let before = cut_in_pieces(&bytes, Chunking::ContentDefined, bytes.len());
        let edited = [&[1], &bytes[..]].concat();
        let after = cut_in_pieces(&edited, Chunking::ContentDefined, edited.len());
        let kept = after.iter().filter(|chunk| before.contains(chunk)).count();
        assert!(kept + 2 >= after.len(), "{kept} of {} kept", after.len());
    }
}
