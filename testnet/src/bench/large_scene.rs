//! A scene file of any size that the farm takes: a whole .blend whose bytes do not compress and
//! whose chunks are all different.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

use crate::{Result, TestnetError};

/// Of one `DATA` block; a block's length is an i32.
const BLOCK_BYTES: usize = 64 << 20;
const BLOCK_HEAD_BYTES: usize = 24;
const FILE_HEADER: &[u8; 12] = b"BLENDER-v304";
/// What `REND` holds: the range of frames and the scene's name.
const REND_BYTES: usize = 72;

/// Writes a scene of one frame with `size_bytes` of data, and a little more of what holds it.
pub(super) fn write(path: &Path, size_bytes: u64, seed: u64) -> Result<()> {
    let writing = || -> io::Result<()> {
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path)?);
        write_scene(&mut file, size_bytes, seed)?;
        file.into_inner()?.sync_all()
    };
    writing().map_err(TestnetError::io(format!("making {}", path.display())))
}

fn write_scene(file: &mut impl Write, size_bytes: u64, seed: u64) -> io::Result<()> {
    let mut rend = [0; REND_BYTES];
    rend[0..4].copy_from_slice(&1_i32.to_le_bytes());
    rend[4..8].copy_from_slice(&1_i32.to_le_bytes());
    rend[8..13].copy_from_slice(b"Scene");
    file.write_all(FILE_HEADER)?;
    file.write_all(&block_head(*b"REND", REND_BYTES))?;
    file.write_all(&rend)?;

    let mut random = SmallRng::seed_from_u64(seed);
    let mut data = vec![0; BLOCK_BYTES];
    let mut left_bytes = size_bytes;
    while left_bytes > 0 {
        let length = usize::try_from(left_bytes).map_or(BLOCK_BYTES, |left| left.min(BLOCK_BYTES));
        random.fill_bytes(&mut data[..length]);
        file.write_all(&block_head(*b"DATA", length))?;
        file.write_all(&data[..length])?;
        left_bytes -= length as u64;
    }
    file.write_all(&block_head(*b"ENDB", 0))
}

/// `code, length: i32, address: u64, type: i32, count: i32`, as Blender 3.4 writes it.
fn block_head(code: [u8; 4], length: usize) -> [u8; BLOCK_HEAD_BYTES] {
    let length = i32::try_from(length).expect("a block has at most 64 MiB");
    let mut head = [0; BLOCK_HEAD_BYTES];
    head[..4].copy_from_slice(&code);
    head[4..8].copy_from_slice(&length.to_le_bytes());
    head
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_scene_is_as_long_as_asked_and_differs_with_its_seed() {
        let scene = |size_bytes, seed| {
            let mut bytes = Vec::new();
            write_scene(&mut bytes, size_bytes, seed).unwrap();
            bytes
        };
        let around = FILE_HEADER.len() + 3 * BLOCK_HEAD_BYTES + REND_BYTES;
        let one = scene(1000, 1);
        assert_eq!(one.len(), around + 1000);
        assert!(one.starts_with(b"BLENDER-v304REND"));
        assert_eq!(&one[one.len() - BLOCK_HEAD_BYTES..][..4], b"ENDB");
        assert_ne!(one, scene(1000, 2));
    }
}
