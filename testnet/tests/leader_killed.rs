//! `kill -9` of the leader in the middle of a job loses nothing.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::{
    JOB_DEADLINE, SOON, assert_bytes_match_manifest, decoded_size, download_frames, job_of,
    scene_in,
};
use jiggablend_testnet::api::Api;
use jiggablend_testnet::events::{Event, EventStream};
use jiggablend_testnet::farm::Farm;
use jiggablend_testnet::scenes::{Recipe, Scene};
use jiggablend_testnet::wait::{Look, wait_for};
use jiggablend_testnet::wire::{Job, Task, TaskState};

/// A stream that is silent for so long while a job runs has lost its events.
const NEXT_EVENT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_job_survives_the_leader_and_the_live_stream_goes_on_through_another_node() {
    let mut farm = Farm::start(3).await.unwrap();
    // Long enough that frames are under way on every node when the leader goes.
    let recipe = Recipe::of(Scene::Short).samples(48);
    let scene = scene_in(&farm, recipe).await;
    let leader = farm.leader().await.unwrap();
    let follower = farm.a_follower().await.unwrap();

    // The client watches through the very node that will die.
    let mut events = EventStream::open(farm.api(leader), None).await.unwrap();
    let job = farm
        .api(leader)
        .submit(&scene, &job_of("1-24", true))
        .await
        .unwrap();
    let mut seen = Seen::default();
    while seen.frames_done.len() < 8 {
        let event = events.next(NEXT_EVENT).await.unwrap();
        seen.take(&event, &job);
    }
    let before = farm.api(follower).farm().await.unwrap();
    let killed_id = farm.node(leader).id();
    let at_the_kill = survivors_at_work(farm.api(follower), &job, killed_id).await;
    farm.kill_hard(leader).await.unwrap();
    assert!(seen.frames_done.len() < 24, "the leader died in the middle");

    let mut events = EventStream::open(farm.api(follower), seen.last_index)
        .await
        .unwrap();
    while !seen.job_is_done {
        let event = events.next(NEXT_EVENT).await.unwrap();
        assert_ne!(event.name, "reset", "the other node has all events");
        seen.take(&event, &job);
    }
    assert_eq!(
        seen.frames_done.len(),
        24,
        "every frame's end was seen, in spite of the change of node"
    );
    assert!(
        seen.frames_done.values().all(|times| *times == 1),
        "each frame was committed once: {:?}",
        seen.frames_done
    );

    let after = farm.api(follower).farm().await.unwrap();
    assert!(after.term > before.term, "there was an election");
    assert_ne!(after.leader, Some(killed_id));
    let done = farm
        .wait_until_done(follower, &job, JOB_DEADLINE)
        .await
        .unwrap();
    assert_eq!(done.frames_done(), 24);
    seen.leases.extend(at_the_kill);
    assert_no_survivor_lost_a_lease(&seen.leases, killed_id, &done);
    assert_every_frame_is_its_manifest(&farm, &done).await;
    let killed = farm.killed(leader).unwrap();
    wait_for("the killed node's Blender to end", SOON, || async {
        match killed.orphans() {
            orphans if orphans.is_empty() => Look::Seen(()),
            orphans => Look::NotYet(format!("{orphans:?}")),
        }
    })
    .await
    .unwrap();

    farm.restart(leader).await.unwrap();
    farm.wait_until_whole().await.unwrap();
    let restarted = farm.node(leader);
    assert_eq!(restarted.id(), killed_id, "it is the same member as before");
    let again = caught_up(restarted.api(), after.applied_index, &job).await;
    assert_eq!(again, done, "the node that was down sees the same job");
    assert_every_frame_is_its_manifest(&farm, &done).await;
    farm.stop().await.unwrap();
}

/// What the live stream told of one job.
#[derive(Debug, Default)]
struct Seen {
    last_index: Option<u64>,
    /// How often each frame's task was told to be done anew, by frame number.
    frames_done: BTreeMap<i64, u32>,
    /// Every lease that was told.
    leases: BTreeSet<Lease>,
    job_is_done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Lease {
    task: u64,
    epoch: u64,
    node: u64,
}

impl Seen {
    fn take(&mut self, event: &Event, job: &str) {
        let Some(index) = event.id else { return };
        assert!(
            self.last_index.is_none_or(|last| index > last),
            "event {index} came after {:?}",
            self.last_index
        );
        self.last_index = Some(index);
        for change in event.data["changes"].as_array().into_iter().flatten() {
            let task = &change["task"];
            if task["job"] == *job && task["kind"] == "frame" && task["state"] == "done" {
                let frame = task["frame"].as_i64().unwrap();
                *self.frames_done.entry(frame).or_default() += 1;
            }
            if task["job"] == *job && task["state"] == "leased" {
                self.leases.insert(Lease {
                    task: task["index"].as_u64().unwrap(),
                    epoch: task["epoch"].as_u64().unwrap(),
                    node: task["node"].as_u64().unwrap(),
                });
            }
            if change["job"]["id"] == *job {
                assert_ne!(change["job"]["state"], "failed", "{event:?}");
                self.job_is_done |= change["job"]["state"] == "done";
            }
        }
    }
}

/// The leases of the nodes that will not be killed, once there are some.
async fn survivors_at_work(api: &Api, job: &str, killed: u64) -> Vec<Lease> {
    wait_for("the survivors to be at work", SOON, || async {
        let seen = match api.job(job).await {
            Ok(seen) => seen,
            Err(error) => return Look::NotYet(error.to_string()),
        };
        let leased = seen
            .tasks
            .iter()
            .filter(|task| task.state == TaskState::Leased);
        let leases: Vec<Lease> = leased
            .filter_map(|task| {
                let node = task.node.filter(|node| *node != killed)?;
                Some(Lease {
                    task: task.index.into(),
                    epoch: task.epoch.into(),
                    node,
                })
            })
            .collect();
        match leases.is_empty() {
            true => Look::NotYet(seen.in_one_line()),
            false => Look::Seen(leases),
        }
    })
    .await
    .unwrap()
}

/// A new leader takes the work over as it is: what a survivor had leased, it committed under that
/// lease. One that was lost is followed by another, with a later epoch.
fn assert_no_survivor_lost_a_lease(leases: &BTreeSet<Lease>, killed: u64, done: &Job) {
    let of_survivors = leases.iter().filter(|lease| lease.node != killed);
    let lost: Vec<(&Lease, &Task)> = of_survivors
        .filter_map(|lease| {
            let task = done
                .tasks
                .iter()
                .find(|task| u64::from(task.index) == lease.task)?;
            let is_kept = task.node == Some(lease.node) && u64::from(task.epoch) == lease.epoch;
            (!is_kept).then_some((lease, task))
        })
        .collect();
    assert!(lost.is_empty(), "survivors lost their leases: {lost:#?}");
}

async fn assert_every_frame_is_its_manifest(farm: &Farm, job: &Job) {
    let mut by_node = Vec::new();
    for (_, node) in farm.nodes() {
        by_node.push(download_frames(node.api(), job).await);
    }
    for (frame, (file, bytes)) in &by_node[0] {
        assert_eq!(decoded_size(bytes), (240, 135), "frame {frame}");
        assert_bytes_match_manifest(file, bytes).await;
        for other in &by_node[1..] {
            assert!(
                other[frame].1 == *bytes,
                "frame {frame} differs between nodes"
            );
        }
    }
    // No file beside those of the tasks: nothing was committed twice.
    let frame_files = farm.nodes().next().unwrap().1.api();
    let listed = frame_files
        .files(&job.summary.id, Some("frame"))
        .await
        .unwrap();
    let ids: BTreeSet<&str> = listed.iter().map(|file| file.id.as_str()).collect();
    assert_eq!((listed.len(), ids.len()), (24, 24));
}

/// The job, once the node has applied what the others had.
async fn caught_up(api: &Api, index: u64, job: &str) -> Job {
    wait_for("the restarted node to catch up", SOON, || async {
        match api.farm().await {
            Ok(farm) if farm.applied_index >= index => Look::from_result(api.job(job).await),
            Ok(farm) => Look::NotYet(format!("{} of {index} applied", farm.applied_index)),
            Err(error) => Look::NotYet(error.to_string()),
        }
    })
    .await
    .unwrap()
}
