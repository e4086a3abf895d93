//! A scene goes in at one node, frames come out at every node.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;

use common::{
    JOB_DEADLINE, assert_bytes_match_manifest, decoded_size, download_frames, job_of, scene_in,
};
use jiggablend_testnet::farm::Farm;
use jiggablend_testnet::scenes::{Recipe, Scene};

#[tokio::test(flavor = "multi_thread")]
async fn all_three_nodes_render_a_job_and_every_node_gives_the_same_files() {
    let farm = Farm::start(3).await.unwrap();
    let scene = scene_in(&farm, Recipe::of(Scene::Short)).await;
    let follower = farm.a_follower().await.unwrap();

    let job = farm
        .api(follower)
        .submit(&scene, &job_of("1-24", true))
        .await
        .unwrap();
    let job = farm
        .wait_until_done(follower, &job, JOB_DEADLINE)
        .await
        .unwrap();

    assert_eq!(job.frames_done(), 24);
    let rendered_by: BTreeSet<u64> = job.frame_tasks().filter_map(|task| task.node).collect();
    let members: BTreeSet<u64> = farm.nodes().map(|(_, node)| node.id()).collect();
    assert_eq!(rendered_by, members, "each node rendered a part");

    let reference = download_frames(farm.api(1), &job).await;
    let frames: Vec<i32> = reference.keys().copied().collect();
    assert_eq!(frames, (1..=24).collect::<Vec<i32>>());
    for (file, bytes) in reference.values() {
        assert_eq!(decoded_size(bytes), (240, 135));
        assert_bytes_match_manifest(file, bytes).await;
        assert!(file.holders.len() >= 2, "{} has one copy only", file.name);
    }
    let pictures: BTreeSet<&[u8]> = reference.values().map(|(_, bytes)| &bytes[..]).collect();
    assert_eq!(
        pictures.len(),
        24,
        "the block turns: no two frames are alike"
    );

    let video = job.video_file.clone().expect("the job has its video");
    let video_bytes = farm.api(1).download(&video).await.unwrap();
    assert_eq!(frames_in_video(&video_bytes).await, 24);
    for (number, node) in farm.nodes() {
        assert!(
            download_frames(node.api(), &job).await == reference,
            "node {number}"
        );
        assert!(
            node.api().download(&video).await.unwrap() == video_bytes,
            "node {number}"
        );
    }
    farm.stop().await.unwrap();
}

/// Decodes the video and counts.
async fn frames_in_video(bytes: &[u8]) -> u32 {
    let dir = tempfile::tempdir().unwrap();
    let video = dir.path().join("video");
    std::fs::write(&video, bytes).unwrap();
    let output = tokio::process::Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-select_streams", "v:0"])
        .args(["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"])
        .arg(&video)
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.trim()
        .trim_end_matches(',')
        .parse()
        .unwrap_or_else(|_| panic!("ffprobe said {text:?}: {output:?}"))
}
