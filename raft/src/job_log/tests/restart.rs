//! What is on disk is enough: restarts, damaged files, failing disks.

use std::fs;
use std::time::Duration;

use tokio::time::timeout;

use super::farm::{Farm, files_in, wait_for};
use crate::testing::{Story, command, job_created, job_id};
use crate::*;

/// Tells a random story to the leader, as fast as it takes it.
async fn tell_story(log: &JobLog, seed: u64, commands: usize) {
    let mut story = Story::new(seed);
    for _ in 0..commands {
        let command = log.read(|state| story.next(state));
        match log.propose(command).await {
            Ok(_) | Err(ProposeError::Refused(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_node_has_its_state_again() {
    let mut farm = Farm::of_one(10_000).await;
    tell_story(&farm.nodes[&1], 5, 300).await;
    let before = farm.nodes[&1].read(State::clone);
    farm.kill(1).await;

    let log = farm.start(1).await;
    log.read_barrier().await.unwrap();
    assert!(log.read(|state| *state == before));
    log.propose(command(9_999, job_created(77, false)))
        .await
        .unwrap();
    assert!(log.read(|state| state.jobs.contains_key(&job_id(77))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_another_farm_are_refused_before_anything_is_written() {
    let mut farm = Farm::of_one(10_000).await;
    tell_story(&farm.nodes[&1], 8, 50).await;
    let before = farm.nodes[&1].read(State::clone);
    farm.nodes[&1].shutdown().await;
    farm.kill(1).await;

    let of_another_farm = JobLogConfig {
        farm: Some(FarmId([0xab; 32])),
        ..farm.config(1)
    };
    let refused = farm.try_open(of_another_farm).await.err().unwrap();
    assert!(
        refused.to_string().contains("belongs to the farm"),
        "{refused}"
    );

    let log = farm.start(1).await;
    log.read_barrier().await.unwrap();
    assert!(log.read(|state| *state == before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stopped_in_order_left_duckdb_complete() {
    let mut farm = Farm::of_one(10_000).await;
    tell_story(&farm.nodes[&1], 6, 150).await;
    let before = farm.nodes[&1].read(State::clone);
    farm.nodes[&1].shutdown().await;
    farm.kill(1).await;
    let found = crate::projection::Database::open(&farm.config(1).db).unwrap();
    assert!(found.point.unwrap().state == before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_database_is_rebuilt_from_snapshot_and_log() {
    let mut farm = Farm::of_one(40).await;
    tell_story(&farm.nodes[&1], 7, 200).await;
    let log = &farm.nodes[&1];
    wait_for("a purged log", || {
        log.inner.log_store.last_purged().is_some()
    })
    .await;
    let before = log.read(State::clone);
    farm.kill(1).await;
    let db = farm.config(1).db;
    let mut bytes = fs::read(&db).unwrap();
    bytes[..4096].fill(0x5a);
    fs::write(&db, bytes).unwrap();

    let log = farm.start(1).await;
    log.read_barrier().await.unwrap();
    assert!(log.read(|state| *state == before));
    assert_eq!(files_in(&farm.node_dir(1), ".damaged-1").len(), 1);
    wait_for("DuckDB to follow", || {
        log.status().projected_index == log.applied_index()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_snapshot_is_set_aside_and_duckdb_serves() {
    let mut farm = Farm::of_one(40).await;
    tell_story(&farm.nodes[&1], 8, 120).await;
    let log = &farm.nodes[&1];
    wait_for("a snapshot", || log.status().snapshot_index > 0).await;
    let before = log.read(State::clone);
    log.shutdown().await;
    farm.kill(1).await;
    let snapshots = farm.config(1).dir.join("snapshots");
    for path in files_in(&snapshots, ".snapshot") {
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
    }
    let log = farm.start(1).await;
    log.read_barrier().await.unwrap();
    assert!(log.read(|state| *state == before));
    assert!(!files_in(&snapshots, ".damaged").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_whose_beginning_is_nowhere_is_not_opened() {
    let mut farm = Farm::of_one(40).await;
    tell_story(&farm.nodes[&1], 9, 200).await;
    let log = &farm.nodes[&1];
    wait_for("a purged log", || {
        log.inner.log_store.last_purged().is_some()
    })
    .await;
    farm.kill(1).await;
    fs::remove_file(farm.config(1).db).unwrap();
    fs::remove_dir_all(farm.config(1).dir.join("snapshots")).unwrap();
    let error = farm.try_start(1).await.err().unwrap().to_string();
    assert!(error.contains("fresh data directory"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_log_was_wiped_does_not_vote_under_its_old_id() {
    let mut farm = Farm::of_one(10_000).await;
    farm.nodes[&1].shutdown().await;
    farm.kill(1).await;
    fs::remove_dir_all(farm.config(1).dir).unwrap();
    let error = farm.try_start(1).await.err().unwrap().to_string();
    assert!(error.contains("the log itself is gone"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lost_all_its_files_does_not_vote_under_its_old_id() {
    let mut farm = Farm::of_voters(3, 10_000).await;
    farm.kill(3).await;
    let known = |farm: &Farm| JobLogConfig {
        expect_log: true,
        ..farm.config(3)
    };
    // What was not lost opens, of course.
    let log = farm.try_open(known(&farm)).await.unwrap();
    log.shutdown().await;
    drop(log);

    fs::remove_file(farm.config(3).db).unwrap();
    fs::remove_dir_all(farm.config(3).dir).unwrap();
    let error = farm.try_open(known(&farm)).await.err().unwrap().to_string();
    assert!(error.contains("fresh data directory"), "{error}");
    let again = farm.try_open(known(&farm)).await.err().unwrap();
    assert_eq!(again.to_string(), error, "the refused start made no log");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_nobody_spoke_to_yet_opens_its_empty_log_again() {
    let mut farm = Farm::of_one(10_000).await;
    farm.admit(2).await;
    farm.start(2).await;
    assert!(farm.nodes[&2].inner.log_store.is_pristine());
    farm.kill(2).await;
    let known = JobLogConfig {
        expect_log: true,
        ..farm.config(2)
    };
    farm.try_open(known).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_is_only_dropped_lets_go_of_its_files() {
    let mut farm = Farm::of_one(10_000).await;
    tell_story(&farm.nodes[&1], 10, 50).await;
    let before = farm.nodes[&1].read(State::clone);
    drop(farm.nodes.remove(&1));
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let log = loop {
        match farm.try_start(1).await {
            Ok(log) => break log,
            Err(error) => assert!(tokio::time::Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    wait_for("the same state", || log.read(|state| *state == before)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn creating_a_farm_twice_makes_one() {
    let mut farm = Farm::of_one(10_000).await;
    let again = crate::testing::farm_created();
    farm.nodes[&1].create_farm(again.clone()).await.unwrap();
    farm.kill(1).await;
    let log = farm.start(1).await;
    log.create_farm(again).await.unwrap();
    assert_eq!(log.read(|state| state.nodes.len()), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_once_stops_the_log_for_good() {
    let farm = Farm::of_one(10_000).await;
    let log = &farm.nodes[&1];
    log.inner
        .fault
        .set(|| "cannot append to the job log: no space left".into());
    let reason = timeout(Duration::from_secs(5), log.stopped())
        .await
        .unwrap();
    assert!(reason.contains("no space left"));
    let refused = log.propose(command(5, job_created(1, false))).await;
    assert!(
        matches!(refused, Err(ProposeError::Stopped(_))),
        "{refused:?}"
    );
    assert!(log.read(|state| state.jobs.is_empty()));
}
