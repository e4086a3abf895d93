//! Stores of several nodes, over real meshes on loopback.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rand::{RngCore, SeedableRng};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt};

use super::*;
use crate::test_farm::{Transport, farm_of, member, mesh, wait_for_connected};
use crate::{Chunking, ManifestHash, StoreError};

const PATIENCE: Duration = Duration::from_secs(20);

struct Node {
    content: Content,
    mesh: Mesh,
    folder: TempDir,
}

async fn node() -> Node {
    let folder = tempfile::tempdir().unwrap();
    let mesh = mesh().await;
    let store = ContentStore::open(folder.path()).unwrap();
    let content = Content::new(store, mesh.clone());
    Node {
        content,
        mesh,
        folder,
    }
}

async fn farm<const N: usize>(transport: Transport) -> [Node; N] {
    let mut nodes = Vec::new();
    for _ in 0..N {
        nodes.push(node().await);
    }
    let meshes: Vec<&Mesh> = nodes.iter().map(|node| &node.mesh).collect();
    farm_of(&meshes, transport).await;
    nodes.try_into().ok().unwrap()
}

impl Node {
    fn peer(&self) -> PeerId {
        self.mesh.peer_id()
    }

    fn has(&self, hash: ManifestHash) -> bool {
        self.content.store().has(hash)
    }

    async fn keep(&self, bytes: &[u8], copies: usize) -> Result<Kept, StoreError> {
        let chunking = Chunking::ContentDefined;
        self.content.keep(bytes, chunking, copies, PATIENCE).await
    }

    async fn read(&self, hash: ManifestHash) -> Vec<u8> {
        read_to_end(self.content.read(hash, &[], None).await.unwrap()).await
    }

    fn chunk_files(&self) -> Vec<PathBuf> {
        let folders = fs::read_dir(self.folder.path().join("chunks")).unwrap();
        folders
            .flat_map(|folder| fs::read_dir(folder.unwrap().path()).unwrap())
            .map(|file| file.unwrap().path())
            .collect()
    }
}

async fn read_to_end(mut reader: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await.unwrap();
    bytes
}

fn random_bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rand::rngs::StdRng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

fn damage(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    bytes[9] ^= 1;
    fs::write(file, bytes).unwrap();
}

async fn a_file_travels(transport: Transport) {
    let [a, b] = farm(transport).await;
    for length in [0, 100_000, 6_000_000] {
        let bytes = random_bytes(length, 1);
        let kept = a.keep(&bytes, 1).await.unwrap();
        assert_eq!(kept.holders, [a.peer()]);
        let hash = kept.stored.manifest;
        assert!(!b.has(hash));
        assert_eq!(
            b.content.size_bytes(hash, &kept.holders).await.unwrap(),
            length as u64
        );
        assert_eq!(
            b.content.fetch(hash, &kept.holders).await.unwrap(),
            length as u64
        );
        assert!(b.has(hash));
        let target = b.folder.path().join("picture.png");
        b.content.export(hash, &[], &target).await.unwrap();
        assert!(fs::read(&target).unwrap() == bytes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_travels_to_a_node_that_fetches_it_over_tcp() {
    a_file_travels(Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_travels_to_a_node_that_fetches_it_over_quic() {
    a_file_travels(Transport::Quic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_fetches_what_is_missing_and_keeps_it() {
    let [a, b] = farm(Transport::Tcp).await;
    let bytes = random_bytes(5_000_000, 1);
    let hash = a.keep(&bytes, 1).await.unwrap().stored.manifest;

    let holders = [a.peer()];
    let inside = Some(2_000_000..2_000_010);
    let part = b.content.read(hash, &holders, inside).await.unwrap();
    assert_eq!(read_to_end(part).await, bytes[2_000_000..2_000_010]);
    assert!(!b.has(hash), "a part is not the whole");
    let beyond = Some(4_999_999..9_000_000);
    let part = b.content.read(hash, &holders, beyond).await.unwrap();
    assert_eq!(read_to_end(part).await, bytes[4_999_999..]);

    assert!(b.read(hash).await == bytes);
    assert!(b.has(hash));
    a.mesh.shutdown().await;
    assert!(b.read(hash).await == bytes, "all of it is here now");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_file_is_on_as_many_nodes_as_wanted_or_on_all() {
    let [a, b, c] = farm(Transport::Tcp).await;
    let bytes = random_bytes(3_000_000, 1);
    let kept = a.keep(&bytes, 2).await.unwrap();
    assert_eq!(kept.holders.len(), 2);
    assert_eq!(kept.holders[0], a.peer());
    let holding = [&a, &b, &c].map(|node| node.has(kept.stored.manifest));
    assert_eq!(holding.iter().filter(|has| **has).count(), 2);
    let others = a.content.holders(kept.stored.manifest).await;
    assert_eq!(others, kept.holders[1..]);

    let kept = a.keep(&bytes, 5).await.unwrap();
    assert_eq!(kept.holders.len(), 3, "the farm has no more");
    assert!(b.has(kept.stored.manifest) && c.has(kept.stored.manifest));
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_go_to_both_other_nodes_in_turn() {
    let [a, b, c] = farm(Transport::Tcp).await;
    let mut copies = [0, 0];
    for number in 0..6 {
        let hash = a.keep(&[number; 10], 2).await.unwrap().stored.manifest;
        copies[0] += usize::from(b.has(hash));
        copies[1] += usize::from(c.has(hash));
    }
    assert_eq!(copies, [3, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_node_down_the_other_gets_the_copy() {
    let [a, b, c] = farm(Transport::Tcp).await;
    c.mesh.shutdown().await;
    for number in 0..4 {
        let kept = a.keep(&[number; 10], 2).await.unwrap();
        assert_eq!(kept.holders, [a.peer(), b.peer()]);
        assert!(b.has(kept.stored.manifest));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_copies_is_an_error_when_patience_ends() {
    let [a, b] = farm(Transport::Tcp).await;
    b.mesh.shutdown().await;
    let kept = a
        .content
        .keep(&b"x"[..], Chunking::Fixed, 2, Duration::from_millis(300))
        .await;
    assert!(
        matches!(
            kept,
            Err(StoreError::TooFewCopies {
                have: 1,
                want: 2,
                ..
            })
        ),
        "{kept:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keeping_waits_for_a_member_that_comes_late() {
    let (a, late) = (node().await, node().await);
    let members = vec![member(&a.mesh), member(&late.mesh)];
    a.mesh.set_members(members.clone());
    let keeping = a.keep(b"x", 2);
    let coming = async {
        late.mesh.set_members(members);
        wait_for_connected(&late.mesh, 1).await;
    };
    let (kept, ()) = tokio::join!(keeping, coming);
    assert_eq!(kept.unwrap().holders, [a.peer(), late.peer()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copier_sends_only_the_chunks_that_are_lacking() {
    let [a, b] = farm(Transport::Tcp).await;
    let bytes = random_bytes(8_000_000, 1);
    a.keep(&bytes, 2).await.unwrap();
    let before = b.content.store().used_bytes();
    let edited = [&bytes[..], b"a new object"].concat();
    let kept = a.keep(&edited, 2).await.unwrap();
    assert!(b.has(kept.stored.manifest));
    let added = b.content.store().used_bytes() - before;
    assert!(added < 4_500_000, "{added} bytes were added");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_chunk_is_not_served_and_is_healed_from_a_peer() {
    let [a, b, c] = farm(Transport::Tcp).await;
    let bytes = random_bytes(5_000_000, 1);
    // On a and b, and not on c: where a second copy goes is chance.
    let hash = a.keep(&bytes, 1).await.unwrap().stored.manifest;
    b.content.fetch(hash, &[a.peer()]).await.unwrap();
    for file in a.chunk_files() {
        damage(&file);
    }

    let served = c.content.fetch(hash, &[a.peer()]).await;
    assert_eq!(
        served.unwrap(),
        5_000_000,
        "the other holder has stepped in"
    );
    assert!(c.read(hash).await == bytes);
    assert!(!a.has(hash), "it has noticed");

    assert!(a.read(hash).await == bytes);
    assert!(a.has(hash), "and is healed");
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_nobody_has_is_unavailable() {
    let [a, b] = farm(Transport::Tcp).await;
    let unknown = a.content.fetch(ManifestHash([1; 32]), &[b.peer()]).await;
    assert!(
        matches!(unknown, Err(StoreError::Unavailable { .. })),
        "{unknown:?}"
    );
    let bytes = random_bytes(2_000_000, 1);
    let hash = a.keep(&bytes, 1).await.unwrap().stored.manifest;
    for file in a.chunk_files() {
        damage(&file);
    }
    let damaged = b.content.fetch(hash, &[a.peer()]).await;
    assert!(
        matches!(damaged, Err(StoreError::Unavailable { .. })),
        "{damaged:?}"
    );
    assert!(!b.has(hash));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_dies_under_a_fetch_is_replaced_by_another() {
    let [a, b, c] = farm(Transport::Tcp).await;
    let bytes = random_bytes(20_000_000, 1);
    let kept = a.keep(&bytes, 3).await.unwrap();
    let late = node().await;
    let meshes = [&a, &b, &c, &late].map(|node| member(&node.mesh));
    for node in [&a, &b, &c, &late] {
        node.mesh.set_members(meshes.to_vec());
    }
    wait_for_connected(&late.mesh, 3).await;
    let hash = kept.stored.manifest;
    let mut reader = late.content.read(hash, &kept.holders, None).await.unwrap();
    let mut start = vec![0; 1_000_000];
    reader.read_exact(&mut start).await.unwrap();
    a.mesh.shutdown().await;
    c.mesh.shutdown().await;
    start.extend(read_to_end(reader).await);
    assert!(start == bytes);
    assert!(late.has(hash));
}
