//! Nodes that come late, and a farm that goes down as a whole.
#![allow(clippy::unwrap_used)]

mod common;

use common::{JOB_DEADLINE, SOON, download_frames, job_of, scene_in};
use jiggablend_testnet::farm::Farm;
use jiggablend_testnet::scenes::{Recipe, Scene};
use jiggablend_testnet::wait::{Look, wait_for};

#[tokio::test(flavor = "multi_thread")]
async fn a_late_node_becomes_a_standby_with_the_whole_history_and_serves_it() {
    let mut farm = Farm::start(3).await.unwrap();
    let scene = scene_in(&farm, Recipe::of(Scene::Short)).await;
    let job = farm
        .api(1)
        .submit(&scene, &job_of("1-6", false))
        .await
        .unwrap();
    let job = farm.wait_until_done(1, &job, JOB_DEADLINE).await.unwrap();
    let reference = download_frames(farm.api(1), &job).await;

    let late = farm.add_node().await.unwrap();
    farm.wait_until_whole().await.unwrap();

    let late_id = farm.node(late).id();
    wait_for("the late node to be a standby", SOON, || async {
        match farm.api(1).farm().await {
            Ok(seen) if seen.standbys.contains(&late_id) => Look::Seen(seen),
            Ok(seen) => Look::NotYet(format!("{seen:?}")),
            Err(error) => Look::NotYet(error.to_string()),
        }
    })
    .await
    .unwrap();
    let its_view = farm.api(late).job(&job.summary.id).await.unwrap();
    assert_eq!(its_view, job);
    assert!(download_frames(farm.api(late), &job).await == reference);

    // It works, too: what is submitted through it comes out of it.
    let second = farm
        .api(late)
        .submit(&scene, &job_of("1-8", false))
        .await
        .unwrap();
    let second = farm
        .wait_until_done(late, &second, JOB_DEADLINE)
        .await
        .unwrap();
    assert!(
        second.frame_tasks().any(|task| task.node == Some(late_id)),
        "the late node renders: {:?}",
        second.tasks
    );
    farm.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_farm_that_was_killed_as_a_whole_goes_on_with_all_that_it_had() {
    let mut farm = Farm::start(3).await.unwrap();
    let scene = scene_in(&farm, Recipe::of(Scene::Short).samples(48)).await;
    let done = farm
        .api(1)
        .submit(&scene, &job_of("1-3", false))
        .await
        .unwrap();
    let done = farm.wait_until_done(1, &done, JOB_DEADLINE).await.unwrap();
    let reference = download_frames(farm.api(1), &done).await;
    let running = farm
        .api(2)
        .submit(&scene, &job_of("1-12", false))
        .await
        .unwrap();
    let part = farm
        .wait_for_job(
            farm.api(1),
            &running,
            "in its middle",
            JOB_DEADLINE,
            |job| job.frames_done() >= 4,
        )
        .await
        .unwrap();
    let part_frames: Vec<(u32, Option<String>)> = part
        .frame_tasks()
        .filter(|task| task.file.is_some())
        .map(|task| (task.index, task.file.clone()))
        .collect();

    for number in 1..=3 {
        farm.kill_hard(number).await.unwrap();
    }
    for number in 1..=3 {
        farm.restart(number).await.unwrap();
    }
    farm.wait_until_whole().await.unwrap();

    for (number, node) in farm.nodes() {
        let seen = node.api().job(&done.summary.id).await.unwrap();
        assert_eq!(seen, done, "node {number}");
    }
    assert!(download_frames(farm.api(3), &done).await == reference);
    let finished = farm
        .wait_until_done(2, &running, JOB_DEADLINE)
        .await
        .unwrap();
    assert_eq!(finished.frames_done(), 12);
    for (index, file) in part_frames {
        let task = finished
            .tasks
            .iter()
            .find(|task| task.index == index)
            .unwrap();
        assert_eq!(task.file, file, "a frame that was committed stays");
    }
    assert_eq!(download_frames(farm.api(1), &finished).await.len(), 12);
    farm.stop().await.unwrap();
}
