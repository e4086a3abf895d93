#![allow(clippy::unwrap_used)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

const MAX_BYTES: u64 = 1 << 30;

fn check_in_pieces(bytes: &[u8], piece_bytes: usize) -> Result<BlendFacts, BlendError> {
    let mut check = BlendCheck::new(MAX_BYTES);
    for piece in bytes.chunks(piece_bytes) {
        check.push(piece)?;
    }
    check.finish()
}

fn check(bytes: &[u8]) -> Result<BlendFacts, BlendError> {
    check_in_pieces(bytes, 64 * 1024)
}

/// Saves Blender's own start scene with frames 7 to 31; answers the file's bytes.
fn saved_by_blender(dir: &Path, compress: bool) -> Vec<u8> {
    let path: PathBuf = dir.join(format!("compress-{compress}.blend"));
    let script = format!(
        "import bpy\n\
         scene = bpy.context.scene\n\
         scene.name = 'Küche'\n\
         scene.frame_start = 7\n\
         scene.frame_end = 31\n\
         bpy.ops.wm.save_as_mainfile(filepath={path:?}, compress={python_bool})\n",
        python_bool = if compress { "True" } else { "False" },
    );
    let output = Command::new("blender")
        .args(["-b", "--factory-startup", "--python-expr", &script])
        .output()
        .expect("Blender is on the PATH; testnet/setup brings it");
    assert!(output.status.success(), "Blender failed: {output:?}");
    std::fs::read(&path).expect("Blender saved the file")
}

fn assert_is_the_saved_scene(facts: &BlendFacts) {
    assert!(facts.version >= 293, "saved by Blender {}", facts.version);
    let scene = SceneRange {
        first: 7,
        last: 31,
        name: "Küche".into(),
    };
    assert_eq!(facts.scenes, [scene]);
}

/// Every offset near the ends, where the structure is, and a spread in between.
fn offsets(length: usize) -> impl Iterator<Item = usize> {
    (0..length.min(600))
        .chain((0..length).step_by(length / 60 + 1))
        .chain(length.saturating_sub(100)..length)
}

#[test]
fn files_of_a_real_blender_are_read_and_every_truncation_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let plain = saved_by_blender(dir.path(), false);
    assert_is_the_saved_scene(&check(&plain).unwrap());
    assert_is_the_saved_scene(&check_in_pieces(&plain[..], 7).unwrap());
    for length in offsets(plain.len()) {
        let refused = check(&plain[..length]).expect_err("a truncated file");
        let is_truncated = matches!(refused, BlendError::Truncated { .. });
        assert!(is_truncated || length == 0, "{length} bytes: {refused:?}");
    }

    let packed = saved_by_blender(dir.path(), true);
    assert!(packed.len() < plain.len(), "Blender compressed the file");
    assert_is_the_saved_scene(&check(&packed).unwrap());
    assert_is_the_saved_scene(&check_in_pieces(&packed[..], 3).unwrap());
    // Before its last, skippable frame (a seek table) stands a whole zstd file of its own.
    let whole_without_seek_table = packed.len() - seek_table_bytes(&packed);
    for length in offsets(packed.len()).filter(|length| *length != whole_without_seek_table) {
        let refused = check(&packed[..length]).expect_err("a truncated file");
        let is_truncated = matches!(refused, BlendError::Truncated { .. });
        assert!(is_truncated || length == 0, "{length} bytes: {refused:?}");
    }

    let zipped = gzip(&plain);
    assert_is_the_saved_scene(&check(&zipped).unwrap());
    for length in offsets(zipped.len()) {
        let refused = check(&zipped[..length]).expect_err("a truncated file");
        let is_truncated = matches!(refused, BlendError::Truncated { .. });
        assert!(is_truncated || length == 0, "{length} bytes: {refused:?}");
    }
}

/// Multipart hands out an empty piece where a boundary arrives alone.
#[test]
fn empty_pieces_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    for compress in [false, true] {
        let bytes = saved_by_blender(dir.path(), compress);
        let (start, end) = bytes.split_at(5);
        let mut check = BlendCheck::new(MAX_BYTES);
        for piece in [&[], start, &[], end, &[]] {
            check.push(piece).unwrap();
        }
        assert_is_the_saved_scene(&check.finish().unwrap());
    }
}

/// The length of the zstd seekable format's last frame: 9 bytes of footer, 8 of frame head, and
/// two numbers a frame.
fn seek_table_bytes(packed: &[u8]) -> usize {
    let footer = &packed[packed.len() - 9..];
    assert_eq!(&footer[5..], [0xb1, 0xea, 0x92, 0x8f], "a seek table");
    let frames = u32::from_le_bytes(footer[..4].try_into().unwrap());
    8 + frames as usize * 8 + 9
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A file by hand: a `REND` block and the end.
fn handmade(header: &[u8], head: impl Fn(&[u8; 4], usize) -> Vec<u8>, rend: &[u8]) -> Vec<u8> {
    let mut file = header.to_vec();
    file.extend(head(b"REND", rend.len()));
    file.extend(rend);
    file.extend(head(b"TEST", 0));
    file.extend(head(b"ENDB", 0));
    file
}

#[test]
fn the_long_header_of_blender_5_is_read() {
    let large_head = |code: &[u8; 4], length: usize| {
        let mut head = code.to_vec();
        head.extend([0; 4 + 8]);
        head.extend((length as i64).to_le_bytes());
        head.extend(1i64.to_le_bytes());
        head
    };
    let mut rend = [0u8; 264];
    rend[0..4].copy_from_slice(&(-5i32).to_le_bytes());
    rend[4..8].copy_from_slice(&250i32.to_le_bytes());
    rend[8..13].copy_from_slice(b"Scene");
    let file = handmade(b"BLENDER17-01v0502", large_head, &rend);
    for piece_bytes in [1, 5, 1000] {
        let facts = check_in_pieces(&file, piece_bytes).unwrap();
        assert_eq!(facts.version, 502);
        let scene = &facts.scenes[0];
        assert_eq!((scene.first, scene.last), (-5, 250));
        assert_eq!(scene.name, "Scene");
    }
    for length in 1..file.len() {
        let refused = check(&file[..length]);
        assert!(matches!(refused, Err(BlendError::Truncated { .. })));
    }
}

#[test]
fn big_endian_files_with_short_pointers_are_read() {
    let head = |code: &[u8; 4], length: usize| {
        let mut head = code.to_vec();
        head.extend((length as i32).to_be_bytes());
        head.extend([0; 12]);
        head
    };
    let mut rend = [0u8; 72];
    rend[0..4].copy_from_slice(&1i32.to_be_bytes());
    rend[4..8].copy_from_slice(&100i32.to_be_bytes());
    rend[8..10].copy_from_slice(b"1 ");
    let facts = check(&handmade(b"BLENDER_V248", head, &rend)).unwrap();
    assert_eq!((facts.scenes[0].first, facts.scenes[0].last), (1, 100));
}

#[test]
fn other_files_are_not_a_blend() {
    for other in [
        &b""[..],
        b"GIF89a",
        b"BLENDEX-v304",
        b"PK\x03\x04",
        b"<html></html>",
    ] {
        assert_eq!(check(other), Err(BlendError::NotABlend), "{other:?}");
    }
    let packed = zstd::encode_all(&b"some text of which nobody renders"[..], 3).unwrap();
    assert_eq!(check(&packed), Err(BlendError::NotABlend));
    assert_eq!(
        check(&gzip(b"some text, longer")),
        Err(BlendError::NotABlend)
    );
}

#[test]
fn damaged_files_are_told_from_truncated_ones() {
    let mut negative = b"BLENDER-v304REND".to_vec();
    negative.extend((-4i32).to_le_bytes());
    negative.extend([0; 16]);
    assert!(matches!(check(&negative), Err(BlendError::Damaged(_))));
    let unknown_header = b"BLENDER99-77x0500 and more";
    assert!(matches!(check(unknown_header), Err(BlendError::Damaged(_))));
    let mut flipped = gzip(&b"BLENDER-v304".repeat(1000));
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0xff;
    assert!(check(&flipped).is_err());
}

#[test]
fn a_bomb_is_refused_when_it_has_unpacked_to_the_limit() {
    let bomb = [b"BLENDER-v304".to_vec(), vec![0; 8 << 20]].concat();
    let packed = zstd::encode_all(&bomb[..], 3).unwrap();
    assert!(packed.len() < 10_000);
    let mut check = BlendCheck::new(1 << 20);
    let refused = check.push(&packed);
    assert_eq!(refused, Err(BlendError::TooLarge { max_bytes: 1 << 20 }));
    let packed = gzip(&bomb);
    let mut check = BlendCheck::new(1 << 20);
    let refused = check.push(&packed);
    assert_eq!(refused, Err(BlendError::TooLarge { max_bytes: 1 << 20 }));
}
