//! What several of these tests look at.
#![allow(dead_code, clippy::unwrap_used, unreachable_pub)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use jiggablend_testnet::api::{Api, NewJob};
use jiggablend_testnet::farm::Farm;
use jiggablend_testnet::scenes::Recipe;
use jiggablend_testnet::wire::{File, Job};
use jiggablend_transfer::{Chunking, ContentStore};

/// A whole job of short frames is done by then, even on a machine that does other work.
pub const JOB_DEADLINE: Duration = Duration::from_secs(240);

/// What needs no rendering has happened by then.
pub const SOON: Duration = Duration::from_secs(60);

/// Makes a scene file in the farm's folder.
pub async fn scene_in(farm: &Farm, recipe: Recipe) -> PathBuf {
    let path = farm.dir().join("scene.blend");
    recipe.make(&path).await.unwrap();
    path
}

pub fn job_of(frames: &str, video: bool) -> NewJob {
    NewJob {
        name: "test".into(),
        frames: Some(frames.into()),
        video,
    }
}

/// Downloads the job's frames from one node, by frame number.
pub async fn download_frames(api: &Api, job: &Job) -> BTreeMap<i32, (File, Bytes)> {
    let files = api.files(&job.summary.id, Some("frame")).await.unwrap();
    let mut frames = BTreeMap::new();
    for task in job.frame_tasks() {
        let id = task.file.as_deref().expect("a done frame has its file");
        let file = files.iter().find(|file| file.id == id);
        let file = file.expect("the frame's file is listed").clone();
        let bytes = api.download(&file).await.unwrap();
        frames.insert(
            task.frame.expect("a frame task has its frame"),
            (file, bytes),
        );
    }
    frames
}

/// Width and height of a picture that decodes to its end.
pub fn decoded_size(bytes: &[u8]) -> (u32, u32) {
    let picture = image::load_from_memory(bytes).expect("the picture decodes");
    (picture.width(), picture.height())
}

/// Asserts that the bytes are those which the file's manifest names: the manifest is made anew
/// from the bytes, in a store that has never met the farm.
pub async fn assert_bytes_match_manifest(file: &File, bytes: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let store = ContentStore::open(dir.path()).unwrap();
    let stored = store.put(bytes, Chunking::Fixed).await.unwrap();
    assert_eq!(
        stored.manifest.to_string(),
        file.content,
        "{} is not what its manifest names",
        file.name
    );
    assert_eq!(stored.size_bytes, file.size_bytes);
}
