//! Jobs, their tasks, and leases.

use super::*;

#[test]
fn a_scene_expands_into_frames_and_one_encode() {
    let farm = Farm::with_job("3,1-2", true);
    let kinds: Vec<_> = farm.job().tasks.iter().map(|task| task.kind).collect();
    let frame = |number| TaskKind::Frame(FrameNumber(number));
    assert_eq!(kinds, [frame(3), frame(1), frame(2), TaskKind::Encode]);
    assert_eq!(farm.task(3).state, TaskState::Waiting);
    assert_eq!(farm.job().settings.frames, Some("3,1-2".parse().unwrap()));
    assert_eq!(farm.job().state, JobState::Active);
}

#[test]
fn a_job_of_one_frame_makes_no_video() {
    assert_eq!(Farm::with_job("7", true).job().tasks.len(), 1);
}

#[test]
fn a_job_takes_one_scene() {
    let mut farm = Farm::with_job("1-2", false);
    assert_eq!(farm.tell(scene_added(1, "1-2")), Ok(Effect::Done));
    let other = Action::SceneAdded {
        job: job_id(1),
        file: new_file(99, FileKind::Scene, &[1]),
        scene_frames: "1-2".parse().unwrap(),
    };
    assert!(matches!(farm.tell(other), Err(Refusal::Conflict(_))));
}

#[test]
fn content_that_no_member_holds_is_not_taken() {
    let mut farm = Farm::with_job("1-2", false);
    farm.lease(0, 1, 1).unwrap();
    let commit = |holders: &[u64]| Action::TaskCommitted {
        task: task_id(1, 0),
        epoch: Epoch(1),
        output: new_file(5, FileKind::Frame, holders),
        log: None,
        render_ms: 1,
    };
    assert!(matches!(farm.tell(commit(&[])), Err(Refusal::Invalid(_))));
    assert!(matches!(farm.tell(commit(&[77])), Err(Refusal::Invalid(_))));
    assert_eq!(farm.tell(commit(&[77, 2])), Ok(Effect::Done));
    let file = &farm.state.files[&new_file(5, FileKind::Frame, &[]).id];
    assert_eq!(file.holders, [NodeId(2)].into());
}

#[test]
fn leases_are_taken_where_task_and_epoch_allow() {
    let mut farm = Farm::with_job("1-3", true);
    let leases = vec![
        (task_id(1, 0), Epoch(1)),
        (task_id(1, 1), Epoch(2)), // skips an epoch
        (task_id(1, 3), Epoch(1)), // the encode waits
        (task_id(1, 9), Epoch(1)), // not there
        (task_id(8, 0), Epoch(1)), // no such job
        (task_id(1, 2), Epoch(1)),
    ];
    let lease = Action::TasksLeased {
        node: NodeId(1),
        leases,
    };
    assert_eq!(farm.tell(lease.clone()), Ok(Effect::Leases(2)));
    assert_eq!(farm.job().counts.leased, 2);
    let before = farm.state.clone();
    assert_eq!(
        farm.tell(lease),
        Ok(Effect::Leases(2)),
        "a retry after a lost answer"
    );
    assert_eq!(farm.state, before);
    assert_eq!(
        farm.lease(0, 2, 2),
        Ok(Effect::Leases(0)),
        "it is leased already"
    );
}

#[test]
fn a_stale_epoch_cannot_commit() {
    let mut farm = Farm::with_job("1-2", false);
    farm.lease(0, 1, 1).unwrap();
    farm.tell(Action::LeasesEnded {
        leases: vec![(task_id(1, 0), Epoch(1))],
        reason: LeaseEnd::NodeLost,
    })
    .unwrap();
    assert!(matches!(farm.commit(0, 1, 10), Err(Refusal::StaleLease(_))));
    farm.lease(0, 2, 2).unwrap();
    assert!(matches!(farm.commit(0, 1, 10), Err(Refusal::StaleLease(_))));
    assert!(matches!(
        farm.fail(0, 1, FailureKind::Crashed),
        Err(Refusal::StaleLease(_))
    ));
    assert_eq!(farm.commit(0, 2, 11), Ok(Effect::Done));
    assert!(matches!(farm.commit(0, 2, 12), Err(Refusal::StaleLease(_))));
    assert_eq!(
        farm.task(0).failed_attempts,
        0,
        "a lost lease is no failure"
    );
}

#[test]
fn the_same_commit_again_is_done_already() {
    let mut farm = Farm::with_job("1-2", false);
    farm.lease(0, 1, 1).unwrap();
    farm.commit(0, 1, 10).unwrap();
    let before = farm.state.clone();
    assert_eq!(farm.commit(0, 1, 10), Ok(Effect::Done));
    assert_eq!(farm.state, before);
    assert!(farm.changes.is_empty());
}

#[test]
fn a_failure_told_twice_counts_once() {
    let mut farm = Farm::with_job("1-2", false);
    farm.lease(0, 1, 1).unwrap();
    farm.fail(0, 1, FailureKind::Crashed).unwrap();
    assert_eq!(farm.fail(0, 1, FailureKind::Crashed), Ok(Effect::Done));
    assert_eq!(farm.task(0).failed_attempts, 1);
    assert_eq!(farm.task(0).avoid, Some(NodeId(1)));
    assert_eq!(farm.task(0).state, TaskState::Pending);
}

#[test]
fn the_video_is_made_after_the_last_frame_and_ends_the_job() {
    let mut farm = Farm::with_job("1-2", true);
    for index in 0..2 {
        assert_eq!(farm.task(2).state, TaskState::Waiting);
        farm.lease(index, 1, 1).unwrap();
        farm.commit(index, 1, 10 + u128::from(index)).unwrap();
    }
    assert_eq!(farm.task(2).state, TaskState::Pending);
    assert!(farm.changes.contains(&Change::Task(task_id(1, 2))));
    farm.lease(2, 1, 2).unwrap();
    farm.commit(2, 1, 20).unwrap();
    assert_eq!(farm.job().state, JobState::Done);
    assert_eq!(farm.job().finished_at, Some(TimestampMs(farm.at)));
}

#[test]
fn a_frame_that_fails_three_times_fails_its_job_when_the_rest_is_done() {
    let mut farm = Farm::with_job("1-3", true);
    for epoch in 1..=3 {
        farm.lease(1, epoch, 1).unwrap();
        farm.fail(1, epoch, FailureKind::Crashed).unwrap();
    }
    assert_eq!(farm.task(1).state, TaskState::Failed);
    assert_eq!(farm.job().state, JobState::Active, "other frames go on");
    for index in [0, 2] {
        farm.lease(index, 1, 2).unwrap();
        farm.commit(index, 1, 10 + u128::from(index)).unwrap();
    }
    let job = farm.job();
    assert_eq!(job.state, JobState::Failed);
    assert_eq!(
        job.tasks[3].state,
        TaskState::Cancelled,
        "no video of a torn animation"
    );
    let failure = job.failure.as_ref().unwrap();
    assert_eq!(
        failure.message,
        "1 of 3 frames failed: blender left at epoch 3"
    );
    assert_eq!(failure.kind, FailureKind::Crashed);
}

#[test]
fn a_scene_that_nobody_can_open_stops_the_job_at_once() {
    let mut farm = Farm::with_job("1-3", true);
    farm.lease(0, 1, 1).unwrap();
    farm.lease(1, 1, 2).unwrap();
    farm.fail(0, 1, FailureKind::SceneUnreadable).unwrap();
    let job = farm.job();
    assert_eq!(job.state, JobState::Failed);
    assert_eq!((job.counts.failed, job.counts.cancelled), (1, 3));
    assert_eq!(job.attempts[1].outcome, AttemptOutcome::Cancelled);
    assert!(
        farm.changes
            .contains(&Change::Revoked(task_id(1, 1), Epoch(1), NodeId(2)))
    );
    assert!(matches!(farm.commit(1, 1, 9), Err(Refusal::StaleLease(_))));
}

#[test]
fn a_cancelled_job_takes_its_leases_back() {
    let mut farm = Farm::with_job("1-3", true);
    farm.lease(0, 1, 2).unwrap();
    let cancel = Action::JobCancelled { job: job_id(1) };
    assert_eq!(farm.tell(cancel.clone()), Ok(Effect::Done));
    assert!(
        farm.changes
            .contains(&Change::Revoked(task_id(1, 0), Epoch(1), NodeId(2)))
    );
    assert_eq!(farm.job().counts.cancelled, 4);
    assert_eq!(farm.job().attempts[0].outcome, AttemptOutcome::Cancelled);
    assert_eq!(
        farm.tell(cancel),
        Ok(Effect::Done),
        "cancelling again is done already"
    );
    assert!(matches!(farm.commit(0, 1, 9), Err(Refusal::StaleLease(_))));
}

#[test]
fn a_job_that_is_over_cannot_be_cancelled() {
    let mut farm = Farm::with_job("1", false);
    farm.lease(0, 1, 1).unwrap();
    farm.commit(0, 1, 9).unwrap();
    let cancel = Action::JobCancelled { job: job_id(1) };
    assert!(matches!(farm.tell(cancel), Err(Refusal::Conflict(_))));
}

#[test]
fn the_first_word_on_a_scene_stands() {
    let mut farm = Farm::with_job("1", false);
    let inspected = |engine: &str| Action::SceneInspected {
        job: job_id(1),
        facts: SceneFacts {
            blender_version: "4.5".into(),
            engine: engine.into(),
            width_px: 1,
            height_px: 1,
            fps_numerator: 24,
            fps_denominator: 1,
        },
    };
    farm.tell(inspected("CYCLES")).unwrap();
    farm.tell(inspected("EEVEE")).unwrap();
    assert_eq!(farm.job().scene_facts.as_ref().unwrap().engine, "CYCLES");
}

#[test]
fn a_revocation_names_the_lease_that_ended_not_the_one_after() {
    let mut farm = Farm::with_job("1", false);
    farm.lease(0, 1, 2).unwrap();
    let ended = |epoch| Action::LeasesEnded {
        leases: vec![(task_id(1, 0), Epoch(epoch))],
        reason: LeaseEnd::NotRunning,
    };
    farm.tell(ended(1)).unwrap();
    let first = Change::Revoked(task_id(1, 0), Epoch(1), NodeId(2));
    assert!(farm.changes.contains(&first));
    farm.lease(0, 2, 1).unwrap();
    farm.tell(ended(2)).unwrap();
    let second = Change::Revoked(task_id(1, 0), Epoch(2), NodeId(1));
    assert!(farm.changes.contains(&second));
}
