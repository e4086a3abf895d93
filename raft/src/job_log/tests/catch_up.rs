//! Nodes that are late: by entries, by snapshot, and while the log is purged under them.

use std::collections::BTreeSet;

use super::farm::{Farm, wait_for};
use crate::testing::{command, job_created, job_id, scene_added};
use crate::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_node_catches_up_by_snapshot() {
    let mut farm = Farm::of_one(50).await;
    let leader = farm.leader().await;
    farm.admit(2).await;
    for number in 1..150 {
        leader
            .propose(command(10, job_created(number, true)))
            .await
            .unwrap();
    }
    leader
        .propose(command(11, scene_added(1, "1-500")))
        .await
        .unwrap();
    wait_for("a purged log", || {
        leader.inner.log_store.last_purged().is_some()
    })
    .await;

    let late = farm.start(2).await;
    let mut events = late.subscribe();
    let standby = BTreeSet::from([NodeId(2)]);
    leader.set_group([NodeId(1)].into(), standby).await.unwrap();
    farm.assert_all_equal().await;
    wait_for("a snapshot of its own", || late.status().snapshot_index > 0).await;

    let first = events.recv().await.unwrap();
    let job = Change::Job(job_id(149));
    assert!(
        first.changes.contains(&job),
        "the snapshot's coming is an event"
    );
    wait_for("DuckDB to follow", || {
        late.status().projected_index == late.applied_index()
    })
    .await;
    let before = late.read(State::clone);
    farm.kill(2).await;
    drop(late);
    let back = farm.start(2).await;
    wait_for("the same state after a restart", || {
        back.read(|state| *state == before)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_snapshot_travels_in_bounded_pieces() {
    let mut farm = Farm::of_one(1_000_000).await;
    let leader = farm.leader().await;
    farm.admit(2).await;
    // Names that do not compress, so that the file has several pieces.
    for number in 1..40 {
        let mut action = job_created(number, false);
        if let Action::JobCreated { name, .. } = &mut action {
            let mut hash = blake3::Hasher::new();
            hash.update(&number.to_be_bytes());
            let mut noise = vec![0; 250_000];
            hash.finalize_xof().fill(&mut noise);
            *name = hex::encode(noise);
        }
        leader.propose(command(10, action)).await.unwrap();
    }
    leader.inner.raft.trigger().snapshot().await.unwrap();
    wait_for("a snapshot", || leader.status().snapshot_index > 0).await;
    let upto = leader.status().snapshot_index;
    leader.inner.raft.trigger().purge_log(upto).await.unwrap();
    wait_for("a purged log", || {
        leader.inner.log_store.last_purged().is_some()
    })
    .await;
    *farm.wires.largest_request_bytes.lock().unwrap() = 0;

    farm.start(2).await;
    leader
        .set_group([NodeId(1), NodeId(2)].into(), BTreeSet::new())
        .await
        .unwrap();
    farm.assert_all_equal().await;
    let largest = *farm.wires.largest_request_bytes.lock().unwrap();
    assert!(largest > 2 * 1024 * 1024, "it had several pieces");
    assert!(largest <= 4 * 1024 * 1024, "a request of {largest} bytes");
}

/// openraft #2116: a snapshot's purge raced the apply of entries that it covers, and the core
/// panicked. Here followers fall behind and come back, again and again, while snapshots are made
/// and the log is purged as often as can be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn purging_does_not_race_applying() {
    let farm = Farm::of_voters(3, 10).await;
    let mut number = 0;
    for round in 0..12_u64 {
        let leader = farm.leader().await;
        let me = leader.status().node.0;
        let away = (1..=3)
            .filter(|node| *node != me)
            .nth(round as usize % 2)
            .unwrap();
        farm.wires.cut_off(away);
        for _ in 0..60 {
            number += 1;
            leader
                .propose(command(10, job_created(number, false)))
                .await
                .unwrap();
        }
        farm.wires.mend(away);
        let writing = leader.clone();
        let first = number + 1;
        number += 60;
        let writer = tokio::spawn(async move {
            for number in first..first + 60 {
                writing
                    .propose(command(10, job_created(number, false)))
                    .await
                    .unwrap();
            }
        });
        writer.await.unwrap();
        for log in farm.nodes.values() {
            assert_eq!(log.inner.fault.get(), None);
        }
    }
    farm.assert_all_equal().await;
    let kept = farm.nodes[&2].read(|state| state.jobs.len());
    assert_eq!(kept as u128, number);
}
