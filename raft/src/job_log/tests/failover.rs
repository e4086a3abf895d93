//! Three voters, and what happens when the leader is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use openraft::{EntryPayload, Membership};

use super::farm::{Farm, wait_for};
use crate::consensus::Member;
use crate::testing::{command, job_created, job_id};
use crate::*;

fn job(number: u128) -> Command {
    command(10, job_created(number, false))
}

async fn followers(farm: &Farm) -> Vec<JobLog> {
    let leader = farm.leader().await.status().node;
    let all = farm.nodes.values();
    all.filter(|log| log.status().node != leader)
        .cloned()
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_followers_proposal_reaches_the_leader_and_comes_back() {
    let farm = Farm::of_voters(3, 10_000).await;
    for (number, log) in (1..).zip(followers(&farm).await) {
        assert_eq!(log.propose(job(number)).await.unwrap(), Effect::Done);
        assert!(log.read(|state| state.jobs.contains_key(&job_id(number))));
        let refused = log
            .propose(command(11, Action::JobCancelled { job: job_id(99) }))
            .await;
        assert!(matches!(
            refused,
            Err(ProposeError::Refused(Refusal::NotFound(_)))
        ));
    }
    farm.assert_all_equal().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_barrier_shows_what_was_acknowledged_elsewhere() {
    let farm = Farm::of_voters(3, 10_000).await;
    let followers = followers(&farm).await;
    let leader = farm.leader().await;
    for number in 1..20 {
        leader.propose(job(number)).await.unwrap();
        for log in &followers {
            log.read_barrier().await.unwrap();
            assert!(log.read(|state| state.jobs.contains_key(&job_id(number))));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_when_the_leader_is_cut_off() {
    let farm = Farm::of_voters(3, 10_000).await;
    let old = farm.leader().await;
    let old_node = old.status().node;
    let done = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for log in farm.nodes.values() {
        let (log, done) = (log.clone(), done.clone());
        let base = u128::from(log.status().node.0) << 64;
        writers.push(tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            let mut number = base;
            while !done.load(Ordering::SeqCst) {
                number += 1;
                if log.propose(job(number)).await.is_ok() {
                    acknowledged.push(job_id(number));
                }
            }
            acknowledged
        }));
    }
    wait_for("some writes", || old.read(|state| state.jobs.len() > 30)).await;
    farm.wires.cut_off(old_node.0);
    let new = farm.leader().await;
    assert_ne!(new.status().node, old_node);
    let so_far = new.read(|state| state.jobs.len());
    wait_for("writes under the new leader", || {
        new.read(|state| state.jobs.len() > so_far + 30)
    })
    .await;
    wait_for("the old leader to see that it leads nobody", || {
        !old.leadership().borrow().is_self
    })
    .await;

    farm.wires.mend(old_node.0);
    done.store(true, Ordering::SeqCst);
    let mut acknowledged = BTreeSet::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    farm.assert_all_equal().await;
    let kept: BTreeSet<JobId> = old.read(|state| state.jobs.keys().copied().collect());
    let lost: Vec<_> = acknowledged.difference(&kept).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    assert!(acknowledged.len() > 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_comes_back_as_a_follower_with_everything() {
    let mut farm = Farm::of_voters(3, 10_000).await;
    let old = farm.leader().await.status().node.0;
    farm.leader().await.propose(job(1)).await.unwrap();
    farm.kill(old).await;
    farm.leader().await.propose(job(2)).await.unwrap();
    farm.start(old).await;
    farm.assert_all_equal().await;
    let back = &farm.nodes[&old];
    assert!(back.read(|state| state.jobs.len() == 2));
    back.propose(job(3)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_nothing_is_acknowledged() {
    let farm = Farm::of_voters(3, 10_000).await;
    let leader = farm.leader().await;
    for log in followers(&farm).await {
        farm.wires.cut_off(log.status().node.0);
    }
    let refused = leader.propose(job(1)).await;
    assert!(
        matches!(refused, Err(ProposeError::NoLeader(_))),
        "{refused:?}"
    );
    let refused = leader.read_barrier().await;
    assert!(
        matches!(refused, Err(ProposeError::NoLeader(_))),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_was_cut_off_does_not_unseat_the_leader() {
    let farm = Farm::of_voters(3, 10_000).await;
    let leader = farm.leader().await;
    let term = leader.status().term;
    let away = followers(&farm).await.remove(0);
    farm.wires.cut_off(away.status().node.0);
    // Its elections time out several times meanwhile; each is a pre-vote that nobody grants.
    for number in 1..30 {
        leader.propose(job(number)).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    farm.wires.mend(away.status().node.0);
    wait_for("it to catch up", || {
        away.applied_index() == leader.applied_index()
    })
    .await;
    assert_eq!(leader.status().term, term);
    assert_eq!(away.status().term, term);
    assert!(leader.leadership().borrow().is_self);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_group_changes_to_other_voters_and_standbys() {
    let mut farm = Farm::of_voters(3, 10_000).await;
    for number in [4, 5] {
        farm.admit(number).await;
        farm.start(number).await;
    }
    let leader = farm.leader().await;
    let set = |nodes: &[u64]| nodes.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
    let me = leader.status().node.0;
    let others: Vec<u64> = (1..=3).filter(|number| *number != me).collect();
    let (voters, standbys) = (set(&[me, others[0], 4]), set(&[5]));
    leader
        .set_group(voters.clone(), standbys.clone())
        .await
        .unwrap();
    let status = leader.status();
    assert_eq!((status.voters, status.standbys), (voters, standbys));
    leader.propose(job(1)).await.unwrap();
    for number in [4, 5] {
        let log = &farm.nodes[&number];
        wait_for("the new nodes to follow", || {
            log.read(|state| state.jobs.contains_key(&job_id(1)))
        })
        .await;
        log.propose(job(u128::from(number))).await.unwrap();
    }
    let no_member = leader.set_group(set(&[me, 9]), set(&[])).await;
    assert!(matches!(no_member, Err(JobLogError::Membership(_))));
}

/// Writes the first of the two steps of a change of the voters, as a leader does that is then
/// lost.
async fn change_half(leader: &JobLog, from: &[u64], to: &[u64]) {
    let set = |nodes: &[u64]| nodes.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
    let all = set(from).union(&set(to)).copied().collect::<BTreeSet<_>>();
    let members = all.into_iter().map(|node| {
        let peer_id = format!("peer-{node}");
        (node, Member { peer_id })
    });
    let members: BTreeMap<NodeId, Member> = members.collect();
    let half = Membership::new(vec![set(from), set(to)], members).unwrap();
    let raft = &leader.inner.raft;
    let written = raft.append_membership(half, EntryPayload::Blank, []).await;
    written.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_voters_that_was_cut_short_is_finished() {
    let set = |nodes: &[u64]| nodes.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
    // More voters and fewer: the union of old and new looks like the one, then like the other.
    for (from, to) in [([1].as_slice(), [1, 2, 3].as_slice()), (&[1, 2, 3], &[1])] {
        let mut farm = Farm::of_one(10_000).await;
        for number in [2, 3] {
            farm.admit(number).await;
            farm.start(number).await;
        }
        let leader = farm.nodes[&1].clone();
        let standbys = set(&[2, 3]).difference(&set(from)).copied().collect();
        leader.set_group(set(from), standbys).await.unwrap();
        change_half(&leader, from, to).await;
        wait_for("the half change", || leader.status().is_joint).await;
        assert_eq!(leader.status().voters, set(to));

        let standbys: BTreeSet<_> = set(&[2, 3]).difference(&set(to)).copied().collect();
        leader.set_group(set(to), standbys.clone()).await.unwrap();
        wait_for("the whole change", || !leader.status().is_joint).await;
        let status = leader.status();
        assert_eq!((status.voters, status.standbys), (set(to), standbys));
        if to.len() == 1 {
            // The old voters are needed no more.
            farm.wires.cut_off(2);
            farm.wires.cut_off(3);
            leader.propose(job(1)).await.unwrap();
        }
    }
}
