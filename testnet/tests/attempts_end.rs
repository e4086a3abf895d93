//! Attempts that end before their frame: cancelled, crashed, or lost with their runner.
#![allow(clippy::unwrap_used)]

mod common;

use common::{JOB_DEADLINE, SOON, decoded_size, download_frames, job_of, scene_in};
use jiggablend_testnet::events::EventStream;
use jiggablend_testnet::farm::Farm;
use jiggablend_testnet::process_tree::{Process, blenders};
use jiggablend_testnet::scenes::{Recipe, Scene};
use jiggablend_testnet::wait::{Look, wait_for};
use jiggablend_testnet::wire::{JobState, TaskState};
use nix::sys::signal::Signal;

/// Waits until the job has a lease and its node a Blender for it. Returns the number of the node
/// that has the lease of the first leased task, and its Blender processes.
async fn a_frame_under_way(farm: &Farm, job: &str) -> (usize, Vec<Process>) {
    wait_for("a Blender at work", SOON, || async {
        let seen = match farm.api(1).job(job).await {
            Ok(seen) => seen,
            Err(error) => return Look::NotYet(error.to_string()),
        };
        let leased = seen
            .tasks
            .iter()
            .filter(|task| task.state == TaskState::Leased);
        let runners: Vec<u64> = leased.filter_map(|task| task.node).collect();
        for (number, node) in farm.nodes() {
            let processes = blenders(node.pid());
            if runners.contains(&node.id()) && !processes.is_empty() {
                return Look::Seen((number, processes));
            }
        }
        Look::NotYet(seen.in_one_line())
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_ends_its_blenders_at_once_and_commits_nothing() {
    let farm = Farm::start(2).await.unwrap();
    let scene = scene_in(&farm, Recipe::of(Scene::Slow)).await;
    let job = farm
        .api(2)
        .submit(&scene, &job_of("1-4", true))
        .await
        .unwrap();
    let (_, processes) = a_frame_under_way(&farm, &job).await;

    let cancelled = farm.api(1).cancel(&job).await.unwrap();

    assert_eq!(cancelled.summary.state, JobState::Cancelled);
    wait_for("Blender to end", SOON, || async {
        match processes
            .iter()
            .filter(|process| process.is_running())
            .count()
        {
            0 => Look::Seen(()),
            running => Look::NotYet(format!("{running} processes run")),
        }
    })
    .await
    .unwrap();
    for (number, node) in farm.nodes() {
        let seen = node.api().job(&job).await.unwrap();
        assert_eq!(seen.summary.state, JobState::Cancelled, "node {number}");
        assert_eq!(seen.frames_done(), 0);
    }
    let error = farm.api(2).cancel(&job).await.unwrap_err().to_string();
    assert!(error.contains("409 job-is-over"), "{error}");
    farm.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blender_that_crashes_fails_its_attempt_and_the_frame_is_rendered_again() {
    let farm = Farm::start(1).await.unwrap();
    // Some seconds a frame: time to meet its Blender at work.
    let scene = scene_in(&farm, Recipe::of(Scene::Short).samples(600)).await;
    let job = farm
        .api(1)
        .submit(&scene, &job_of("1-2", false))
        .await
        .unwrap();
    let (_, processes) = a_frame_under_way(&farm, &job).await;

    for process in &processes {
        process.signal(Signal::SIGSEGV);
    }

    let job = farm.wait_until_done(1, &job, JOB_DEADLINE).await.unwrap();
    let failed_attempts: u32 = job.frame_tasks().map(|task| task.failed_attempts).sum();
    assert!(failed_attempts >= 1, "the crash counts: {:?}", job.tasks);
    assert!(
        job.frame_tasks().any(|task| task.epoch >= 2),
        "{:?}",
        job.tasks
    );
    for (_, bytes) in download_frames(farm.api(1), &job).await.values() {
        assert_eq!(decoded_size(bytes), (240, 135));
    }
    farm.stop().await.unwrap();
}

/// Stops the node's Blenders in the middle of a frame: paused, it cannot be committed any more.
/// Returns the frame's task and the epoch of its lease.
async fn pause_in_mid_frame(farm: &Farm, runner: usize, leader: usize, job: &str) -> (u32, u32) {
    let mut events = EventStream::open(farm.api(leader), None).await.unwrap();
    let node = farm.node(runner);
    loop {
        let event = events.next(SOON).await.unwrap();
        let told = event.data["tasks"].as_array().into_iter().flatten();
        let in_its_first_half = told
            .filter(|task| event.name == "progress" && task["job"] == *job)
            .filter(|task| task["node"] == node.id())
            .find(|task| task["fraction"].as_f64().is_some_and(|done| done < 0.5));
        let Some(task) = in_its_first_half else {
            continue;
        };
        let index = u32::try_from(task["task"].as_u64().unwrap()).unwrap();
        let epoch = u32::try_from(task["epoch"].as_u64().unwrap()).unwrap();
        let processes = blenders(node.pid());
        for process in &processes {
            process.signal(Signal::SIGSTOP);
        }
        let seen = farm.api(leader).job(job).await.unwrap();
        let task = seen.tasks.iter().find(|task| task.index == index).unwrap();
        if task.state == TaskState::Leased && (task.node, task.epoch) == (Some(node.id()), epoch) {
            return (index, epoch);
        }
        // News of a frame that was committed meanwhile: the next one is met earlier.
        for process in &processes {
            process.signal(Signal::SIGCONT);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frame_whose_runner_is_killed_is_rendered_elsewhere() {
    let mut farm = Farm::start(3).await.unwrap();
    // Some seconds a frame: time to meet one in its first half.
    let scene = scene_in(&farm, Recipe::of(Scene::Short).samples(600)).await;
    let runner = farm.a_follower().await.unwrap();
    let leader = farm.leader().await.unwrap();
    let runner_id = farm.node(runner).id();
    let job = farm
        .api(leader)
        .submit(&scene, &job_of("1-9", false))
        .await
        .unwrap();
    let (index, epoch) = pause_in_mid_frame(&farm, runner, leader, &job).await;

    farm.kill_hard(runner).await.unwrap();

    let job = farm
        .wait_until_done(leader, &job, JOB_DEADLINE)
        .await
        .unwrap();
    let task = job.tasks.iter().find(|task| task.index == index).unwrap();
    assert_ne!(task.node, Some(runner_id), "{task:?}");
    assert!(task.epoch > epoch, "a new lease has a new epoch: {task:?}");
    assert_eq!(
        task.failed_attempts, 0,
        "a lost runner is not the frame's fault"
    );
    assert_eq!(job.frames_done(), 9);
    assert_eq!(download_frames(farm.api(leader), &job).await.len(), 9);
    farm.stop().await.unwrap();
}
