//! The store on a real disk.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering;

use rand::{RngCore, SeedableRng};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::disk::Kind;
use super::manifest::MAX_INLINE_BYTES;
use super::*;

fn random_bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rand::rngs::StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// Gives the bytes, then an error.
fn failing_after(bytes: &[u8]) -> impl AsyncRead + Send + Unpin {
    let broken = tokio_util::io::StreamReader::new(futures::stream::iter([Err::<&[u8], _>(
        io::Error::other("the cable was pulled"),
    )]));
    bytes.chain(broken)
}

async fn read_all(store: &ContentStore, hash: ManifestHash) -> Option<Vec<u8>> {
    let (manifest, _) = store.manifest(hash).await.unwrap()?;
    let mut bytes = match &manifest.body {
        Body::Inline(bytes) => bytes.to_vec(),
        Body::Chunks(_) => Vec::new(),
    };
    for chunk in manifest.chunks() {
        bytes.extend_from_slice(&store.chunk(chunk.hash).await.unwrap()?);
    }
    Some(bytes)
}

/// Every file of the store but the index and the lock.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if !["index.redb", "index.closed", "store.lock"]
            .iter()
            .any(|own| path.ends_with(own))
        {
            found.push(path);
        }
    }
    found
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copy = to.join(path.file_name().unwrap());
        if path.is_dir() {
            fs::create_dir(&copy).unwrap();
            copy_all(&path, &copy);
        } else {
            fs::copy(&path, &copy).unwrap();
        }
    }
}

#[tokio::test]
async fn what_was_put_is_there_and_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = ContentStore::open(folder.path()).unwrap();
    let lengths = [
        0,
        1,
        100_000,
        MAX_INLINE_BYTES,
        MAX_INLINE_BYTES + 1,
        12_345_678,
    ];
    let mut all = Vec::new();
    for (seed, length) in lengths.into_iter().enumerate() {
        for chunking in [Chunking::Fixed, Chunking::ContentDefined] {
            let bytes = random_bytes(length, seed as u64);
            let stored = store.put(&bytes[..], chunking).await.unwrap();
            assert_eq!(stored.size_bytes, length as u64);
            all.push((stored.manifest, bytes));
        }
    }
    let used_bytes = store.used_bytes();
    let on_disk: u64 = files(folder.path())
        .iter()
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    assert_eq!(used_bytes, on_disk);
    drop(store);

    let store = ContentStore::open(folder.path()).unwrap();
    assert_eq!(store.used_bytes(), used_bytes);
    for (hash, bytes) in all {
        assert!(store.has(hash));
        assert!(read_all(&store, hash).await.unwrap() == bytes);
    }
}

#[tokio::test]
async fn a_power_cut_loses_nothing_that_put_has_returned_and_leaves_no_litter() {
    let folder = tempfile::tempdir().unwrap();
    let store = ContentStore::open(folder.path()).unwrap();
    let bytes = random_bytes(5_000_000, 1);
    let large = store.put(&bytes[..], Chunking::Fixed).await.unwrap();
    let small = store.put(&b"x"[..], Chunking::Fixed).await.unwrap();
    let used_bytes = store.used_bytes();
    // What lies on disk while the store is open: nothing was run that an end in order would run,
    // no flush, no marker.
    let after_the_cut = tempfile::tempdir().unwrap();
    copy_all(folder.path(), after_the_cut.path());
    let half_written = after_the_cut.path().join("temporary/half");
    fs::write(&half_written, b"ha").unwrap();
    assert!(!after_the_cut.path().join("index.closed").exists());

    let store = ContentStore::open(after_the_cut.path()).unwrap();
    assert!(!half_written.exists());
    assert!(store.has(large.manifest) && store.has(small.manifest));
    assert_eq!(store.used_bytes(), used_bytes);
    assert!(read_all(&store, large.manifest).await.unwrap() == bytes);
}

#[tokio::test]
async fn a_folder_that_is_in_use_is_refused_and_nothing_in_it_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let store = ContentStore::open(folder.path()).unwrap();
    let kept = random_bytes(3_000_000, 1);
    let stored = store.put(&kept[..], Chunking::Fixed).await.unwrap();
    let under_way = folder.path().join("temporary/under-way");
    fs::write(&under_way, b"half").unwrap();

    let refused = ContentStore::open(folder.path()).err().unwrap();

    assert!(matches!(refused, StoreError::InUse(_)), "{refused:?}");
    let message = refused.to_string();
    assert!(
        message.contains(folder.path().to_str().unwrap()),
        "{message}"
    );
    assert!(message.contains("--storage"), "{message}");
    assert!(under_way.exists() && folder.path().join("index.redb").exists());
    let later = store.put(&b"later"[..], Chunking::Fixed).await.unwrap();
    drop(store);
    let store = ContentStore::open(folder.path()).unwrap();
    assert!(store.has(stored.manifest) && store.has(later.manifest));
}

#[tokio::test]
async fn a_damaged_index_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = ContentStore::open(folder.path()).unwrap();
    let stored = store.put(&b"x"[..], Chunking::Fixed).await.unwrap();
    drop(store);
    fs::write(folder.path().join("index.redb"), b"no database").unwrap();
    let store = ContentStore::open(folder.path()).unwrap();
    assert!(store.has(stored.manifest));
}

#[tokio::test]
async fn a_reader_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = ContentStore::open(folder.path()).unwrap();
    for length in [10, 20_000_000] {
        for chunking in [Chunking::Fixed, Chunking::ContentDefined] {
            let bytes = random_bytes(length, 1);
            let failed = store.put(failing_after(&bytes), chunking).await;
            assert!(matches!(failed, Err(StoreError::Source(_))), "{failed:?}");
            assert_eq!(files(folder.path()), Vec::<std::path::PathBuf>::new());
            assert_eq!(store.used_bytes(), 0);
        }
    }
}

#[tokio::test]
async fn the_same_bytes_are_stored_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = ContentStore::open(folder.path()).unwrap();
    let bytes = random_bytes(8_000_000, 1);
    let first = store.put(&bytes[..], Chunking::Fixed).await.unwrap();
    let used_bytes = store.used_bytes();
    assert_eq!(store.put(&bytes[..], Chunking::Fixed).await.unwrap(), first);
    assert_eq!(store.used_bytes(), used_bytes);
    let longer = [&bytes[..], b"end"].concat();
    store.put(&longer[..], Chunking::Fixed).await.unwrap();
    assert!(store.used_bytes() < used_bytes + 2 * 1024 * 1024);
}

#[tokio::test]
async fn files_put_at_the_same_time_that_share_chunks_are_all_whole() {
    let folder = tempfile::tempdir().unwrap();
    let store = ContentStore::open(folder.path()).unwrap();
    let shared = random_bytes(3 * 1024 * 1024, 1);
    let mut puts = tokio::task::JoinSet::new();
    for number in 0..8_u8 {
        let (store, mut bytes) = (store.clone(), shared.clone());
        // Two of each kind are equal, and half of the readers fail at the end.
        bytes.push(number / 4);
        puts.spawn(async move {
            match number % 2 {
                0 => Some((store.put(&bytes[..], Chunking::Fixed).await.unwrap(), bytes)),
                _ => {
                    let failed = store.put(failing_after(&bytes), Chunking::Fixed).await;
                    assert!(failed.is_err());
                    None
                }
            }
        });
    }
    for (stored, bytes) in puts.join_all().await.into_iter().flatten() {
        assert!(store.has(stored.manifest));
        assert!(read_all(&store, stored.manifest).await.unwrap() == bytes);
    }
}

/// A frame must not wait for more than it needs: its file and that file's name.
#[tokio::test]
async fn a_small_file_costs_two_fsyncs() {
    let folder = tempfile::tempdir().unwrap();
    let store = ContentStore::open(folder.path()).unwrap();
    let before = store.disk().fsyncs.load(Ordering::Relaxed);
    let frame = random_bytes(100 * 1024, 1);
    store.put(&frame[..], Chunking::Fixed).await.unwrap();
    assert_eq!(store.disk().fsyncs.load(Ordering::Relaxed) - before, 2);
}

#[tokio::test]
async fn after_a_failed_fsync_no_write_is_tried_and_reads_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = ContentStore::open(folder.path()).unwrap();
    let stored = store.put(&b"before"[..], Chunking::Fixed).await.unwrap();
    store.disk().fail_as_if_an_fsync_had();
    for _ in 0..2 {
        let refused = store.put(&b"after"[..], Chunking::Fixed).await;
        assert!(
            matches!(refused, Err(StoreError::FsyncFailed(_))),
            "{refused:?}"
        );
    }
    assert_eq!(read_all(&store, stored.manifest).await.unwrap(), b"before");
    assert!(store.failed().await.contains("injected"));
}

#[tokio::test]
async fn damaged_bytes_are_set_aside_and_can_be_put_again() {
    let folder = tempfile::tempdir().unwrap();
    let store = ContentStore::open(folder.path()).unwrap();
    let bytes = random_bytes(3_000_000, 1);
    let stored = store.put(&bytes[..], Chunking::Fixed).await.unwrap();
    let (manifest, _) = store.manifest(stored.manifest).await.unwrap().unwrap();
    let chunk = manifest.chunks()[1].hash;
    let path = store.disk().path(Kind::Chunk, &chunk.0);
    let mut damaged = fs::read(&path).unwrap();
    damaged[7] ^= 1;
    fs::write(&path, damaged).unwrap();

    assert!(store.chunk(chunk).await.unwrap().is_none());
    assert!(!store.has(stored.manifest));
    assert!(!path.exists());
    assert_eq!(
        fs::read_dir(folder.path().join("damaged")).unwrap().count(),
        1
    );

    assert_eq!(
        store.put(&bytes[..], Chunking::Fixed).await.unwrap(),
        stored
    );
    assert!(store.has(stored.manifest));
    assert!(read_all(&store, stored.manifest).await.unwrap() == bytes);
}

/// Damage that nobody has read yet must not stand for the good bytes that are put again.
#[tokio::test]
async fn putting_a_file_again_heals_damage_that_was_not_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let store = ContentStore::open(folder.path()).unwrap();
    for length in [100, 3_000_000] {
        let bytes = random_bytes(length, 1);
        let stored = store.put(&bytes[..], Chunking::Fixed).await.unwrap();
        for file in files(folder.path()) {
            let mut damaged = fs::read(&file).unwrap();
            damaged[20] ^= 1;
            fs::write(&file, damaged).unwrap();
        }
        assert_eq!(
            store.put(&bytes[..], Chunking::Fixed).await.unwrap(),
            stored
        );
        assert!(read_all(&store, stored.manifest).await.unwrap() == bytes);
    }
}

#[tokio::test]
async fn a_chunk_enters_only_if_its_hash_matches() {
    let folder = tempfile::tempdir().unwrap();
    let store = ContentStore::open(folder.path()).unwrap();
    let wrong = store.insert_chunk(ChunkHash([1; 32]), "bytes".into()).await;
    assert!(matches!(wrong, Err(StoreError::Corrupt(_))), "{wrong:?}");
    assert!(files(folder.path()).is_empty());
}

#[tokio::test]
async fn a_manifest_without_its_chunks_is_not_committed() {
    let folder = tempfile::tempdir().unwrap();
    let store = ContentStore::open(folder.path()).unwrap();
    let chunk = ChunkRef {
        hash: ChunkHash([1; 32]),
        length_bytes: 2_000_000,
    };
    let manifest = Manifest::of_chunks(Chunking::Fixed, vec![chunk]);
    let refused = store.commit_manifest(manifest).await;
    assert!(
        matches!(refused, Err(StoreError::Missing(_))),
        "{refused:?}"
    );
    assert!(files(folder.path()).is_empty());
}

const FULL_DISK: &str = "JIGGABLEND_TEST_FULL_DISK";

/// Runs itself again in a mount namespace of its own, on a file system of 24 MiB.
#[test]
fn a_full_disk_refuses_the_file_and_keeps_what_was_there() {
    if let Some(folder) = std::env::var_os(FULL_DISK) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(on_a_full_disk(Path::new(&folder)));
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = format!("mount -t tmpfs -o size=24m none \"${FULL_DISK}\" && exec \"$0\" \"$@\"");
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("store::tests::a_full_disk_refuses_the_file_and_keeps_what_was_there")
        .env(FULL_DISK, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

async fn on_a_full_disk(folder: &Path) {
    let store = ContentStore::open(folder).unwrap();
    let kept = random_bytes(2_000_000, 1);
    let stored = store.put(&kept[..], Chunking::Fixed).await.unwrap();
    let used_bytes = store.used_bytes();
    let files_before = files(folder).len();

    let too_large = random_bytes(40_000_000, 2);
    for chunking in [Chunking::Fixed, Chunking::ContentDefined] {
        let refused = store.put(&too_large[..], chunking).await;
        assert!(
            matches!(refused, Err(StoreError::DiskFull(_))),
            "{refused:?}"
        );
        assert_eq!(files(folder).len(), files_before, "nothing is left of it");
        assert_eq!(store.used_bytes(), used_bytes);
    }
    let small = store.put(&b"fits"[..], Chunking::Fixed).await.unwrap();
    assert!(store.has(stored.manifest) && store.has(small.manifest));
    assert!(read_all(&store, stored.manifest).await.unwrap() == kept);
}
