//! The state's rules, one by one, and stories that try to break them.
#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::*;
use crate::*;

/// A state and a clock; what it is told must not break an invariant.
struct Farm {
    state: State,
    at: u64,
    changes: Vec<Change>,
}

impl Farm {
    fn new() -> Self {
        let mut farm = Self {
            state: State::default(),
            at: 1_000,
            changes: Vec::new(),
        };
        farm.tell_command(&farm_created()).unwrap();
        farm
    }

    /// A farm with a job of these frames and two nodes.
    fn with_job(frames: &str, video: bool) -> Self {
        let mut farm = Self::new();
        farm.join(2);
        farm.tell(job_created(1, video)).unwrap();
        farm.tell(scene_added(1, frames)).unwrap();
        farm
    }

    fn tell_command(&mut self, command: &Command) -> Result<Effect, Refusal> {
        self.changes.clear();
        let before = self.state.clone();
        let result = self.state.apply(command, &mut self.changes);
        check_invariants(&self.state);
        if result.is_err() {
            assert_eq!(self.state, before, "a refused command changes nothing");
            assert!(self.changes.is_empty(), "and tells of nothing");
        }
        result
    }

    fn tell(&mut self, action: Action) -> Result<Effect, Refusal> {
        self.at += 1;
        self.tell_command(&command(self.at, action))
    }

    fn ticket(&mut self, name: &str, reusable: bool) -> SecretHash {
        let ticket = SecretHash::of(name.as_bytes());
        self.tell(Action::TicketCreated {
            ticket,
            roles: new_node(1).roles,
            expires_at: TimestampMs(self.at + 1_000),
            reusable,
        })
        .unwrap();
        ticket
    }

    fn admit(&mut self, ticket: SecretHash, number: u64) -> Result<Effect, Refusal> {
        let node = new_node(number);
        self.tell(Action::NodeAdmitted { ticket, node })
    }

    fn join(&mut self, number: u64) -> NodeId {
        let ticket = self.ticket(&format!("ticket for {number}"), false);
        match self.admit(ticket, number).unwrap() {
            Effect::Admitted(id) => id,
            other => panic!("not admitted: {other:?}"),
        }
    }

    fn lease(&mut self, index: u32, epoch: u32, node: u64) -> Result<Effect, Refusal> {
        self.tell(Action::TasksLeased {
            node: NodeId(node),
            leases: vec![(task_id(1, index), Epoch(epoch))],
        })
    }

    fn commit(&mut self, index: u32, epoch: u32, file: u128) -> Result<Effect, Refusal> {
        let kind = match self.task(index).kind {
            TaskKind::Frame(_) => FileKind::Frame,
            TaskKind::Encode => FileKind::Video,
        };
        self.tell(Action::TaskCommitted {
            task: task_id(1, index),
            epoch: Epoch(epoch),
            output: new_file(file, kind, &[1, 2]),
            log: None,
            render_ms: 10,
        })
    }

    fn fail(&mut self, index: u32, epoch: u32, kind: FailureKind) -> Result<Effect, Refusal> {
        self.tell(Action::TaskFailed {
            task: task_id(1, index),
            epoch: Epoch(epoch),
            failure: Failure {
                kind,
                message: format!("blender left at epoch {epoch}"),
            },
            log: None,
        })
    }

    fn job(&self) -> &Job {
        &self.state.jobs[&job_id(1)]
    }

    fn task(&self, index: u32) -> &Task {
        &self.job().tasks[index as usize]
    }
}

#[test]
fn the_first_node_of_a_farm_is_node_1() {
    let mut farm = Farm::new();
    assert_eq!(farm.state.nodes[&NodeId(1)].peer_id, "peer-1");
    assert_eq!(farm.tell_command(&farm_created()), Ok(Effect::Done));
    assert_eq!(farm.join(2), NodeId(2));
    assert_eq!(farm.state.next_node, NodeId(3));
}

#[test]
fn a_farm_whose_id_is_not_its_keys_hash_is_refused() {
    let mut state = State::default();
    let mut forged = farm_created();
    if let Action::FarmCreated { public_key, .. } = &mut forged.action {
        public_key[0] ^= 1;
    }
    let refused = state.apply(&forged, &mut Vec::new());
    assert!(matches!(refused, Err(Refusal::Invalid(_))));
    assert_eq!(state, State::default());
}

#[test]
fn a_ticket_admits_one_node_and_the_same_node_again() {
    let mut farm = Farm::new();
    let ticket = farm.ticket("once", false);
    assert_eq!(farm.admit(ticket, 2), Ok(Effect::Admitted(NodeId(2))));
    assert_eq!(farm.admit(ticket, 2), Ok(Effect::Admitted(NodeId(2))));
    assert!(matches!(
        farm.admit(ticket, 3),
        Err(Refusal::TicketSpent(_))
    ));
    farm.at += 10_000;
    assert_eq!(farm.admit(ticket, 2), Ok(Effect::Admitted(NodeId(2))));
}

#[test]
fn unknown_revoked_and_expired_tickets_admit_nobody() {
    let mut farm = Farm::new();
    let unknown = SecretHash::of(b"never made");
    assert!(matches!(
        farm.admit(unknown, 2),
        Err(Refusal::TicketUnknown(_))
    ));
    let ticket = farm.ticket("revoked", false);
    farm.tell(Action::TicketRevoked { ticket }).unwrap();
    assert!(matches!(
        farm.admit(ticket, 2),
        Err(Refusal::TicketUnknown(_))
    ));
    let ticket = farm.ticket("late", false);
    farm.at = farm.state.tickets[&ticket].expires_at.0 - 1;
    assert!(matches!(
        farm.admit(ticket, 2),
        Err(Refusal::TicketExpired(_))
    ));
}

#[test]
fn a_reusable_ticket_is_never_spent() {
    let mut farm = Farm::new();
    let ticket = farm.ticket("many", true);
    for number in 2..6 {
        assert_eq!(
            farm.admit(ticket, number),
            Ok(Effect::Admitted(NodeId(number)))
        );
    }
    assert_eq!(farm.state.tickets[&ticket].spent_by, None);
}

#[test]
fn what_a_ticket_allows_counts_not_what_the_node_asks_for() {
    let mut farm = Farm::new();
    let ticket = SecretHash::of(b"runners only");
    let roles = Roles {
        voter: false,
        runner: true,
    };
    farm.tell(Action::TicketCreated {
        ticket,
        roles,
        expires_at: TimestampMs(10_000),
        reusable: false,
    })
    .unwrap();
    farm.admit(ticket, 2).unwrap();
    assert_eq!(farm.state.nodes[&NodeId(2)].roles, roles);
}

#[test]
fn a_removed_node_stays_out_and_its_name_stays_taken() {
    let mut farm = Farm::new();
    farm.join(4); // also named node-1
    assert_eq!(farm.state.nodes[&NodeId(2)].name, "node-1-2");
    farm.tell(Action::NodeRemoved { node: NodeId(2) }).unwrap();
    let ticket = farm.ticket("again", true);
    assert!(matches!(farm.admit(ticket, 4), Err(Refusal::Conflict(_))));
    farm.admit(ticket, 7).unwrap();
    assert_eq!(farm.state.nodes[&NodeId(3)].name, "node-1-3");
}

#[test]
fn removing_a_node_ends_its_leases() {
    let mut farm = Farm::with_job("1-3", false);
    farm.lease(0, 1, 2).unwrap();
    farm.lease(1, 1, 1).unwrap();
    farm.tell(Action::NodeRemoved { node: NodeId(2) }).unwrap();
    assert_eq!(farm.task(0).state, TaskState::Pending);
    assert_eq!(farm.task(1).state, TaskState::Leased { node: NodeId(1) });
    assert!(
        farm.changes
            .contains(&Change::Revoked(task_id(1, 0), NodeId(2)))
    );
    assert!(matches!(farm.lease(0, 2, 2), Err(Refusal::Conflict(_))));
}

#[test]
fn accounts_are_unique_by_address_whatever_its_case() {
    let mut farm = Farm::new();
    let create = |id: u128, email: &str| Action::UserCreated {
        user: UserId(uuid::Uuid::from_u128(id)),
        email: email.into(),
        password_hash: String::new(),
        role: UserRole::Admin,
    };
    assert_eq!(farm.tell(create(1, "a@b.c")), Ok(Effect::Done));
    assert_eq!(farm.tell(create(1, "a@b.c")), Ok(Effect::Done));
    assert!(matches!(
        farm.tell(create(2, "A@b.C")),
        Err(Refusal::Conflict(_))
    ));
    assert_eq!(farm.state.users.len(), 1);
}

#[test]
fn what_has_expired_goes_at_the_commands_own_time() {
    let mut farm = Farm::new();
    let user = UserId(uuid::Uuid::from_u128(1));
    farm.tell(Action::UserCreated {
        user,
        email: "a@b.c".into(),
        password_hash: String::new(),
        role: UserRole::Member,
    })
    .unwrap();
    for (name, expires_at) in [("short", 2_000), ("long", 3_000)] {
        let session = SecretHash::of(name.as_bytes());
        let expires_at = TimestampMs(expires_at);
        farm.tell(Action::SessionCreated {
            session,
            user,
            expires_at,
        })
        .unwrap();
    }
    farm.at = 1_999;
    farm.tell(Action::ExpiredRemoved).unwrap();
    let left: Vec<_> = farm.state.sessions.keys().copied().collect();
    assert_eq!(left, [SecretHash::of(b"long")]);
}

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
            .contains(&Change::Revoked(task_id(1, 1), NodeId(2)))
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
            .contains(&Change::Revoked(task_id(1, 0), NodeId(2)))
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
fn every_change_of_a_task_tells_of_its_job() {
    for seed in 0..8 {
        let mut state = State::default();
        let mut story = Story::new(seed);
        for _ in 0..400 {
            let command = story.next(&state);
            let before = state.clone();
            let mut changes = Vec::new();
            if state.apply(&command, &mut changes).is_err() {
                continue;
            }
            for (id, job) in &state.jobs {
                let known = before.jobs.get(id);
                if known.map(|job| &job.tasks) != Some(&job.tasks) {
                    assert!(
                        changes.contains(&Change::Job(*id)),
                        "seed {seed}: {command:?}"
                    );
                }
                for (index, task) in job.tasks.iter().enumerate() {
                    let was = known.and_then(|job| job.tasks.get(index));
                    let id = TaskId {
                        job: *id,
                        index: index as u32,
                    };
                    assert_eq!(was != Some(task), changes.contains(&Change::Task(id)));
                }
            }
        }
    }
}

#[test]
fn no_story_breaks_an_invariant() {
    let mut kinds = std::collections::BTreeSet::new();
    let mut ends = std::collections::BTreeSet::new();
    for seed in 0..12 {
        let mut farm = Farm {
            state: State::default(),
            at: 0,
            changes: Vec::new(),
        };
        let mut story = Story::new(seed);
        for _ in 0..400 {
            let command = story.next(&farm.state);
            let result = farm.tell_command(&command);
            kinds.insert((command.action.name(), result.is_ok()));
            // Told again at once, as a retry across a failover tells it: nothing more happens.
            let before = farm.state.clone();
            let again = farm.tell_command(&command);
            assert_eq!(
                farm.state, before,
                "seed {seed}: {command:?}: {result:?} then {again:?}"
            );
        }
        ends.extend(
            farm.state
                .jobs
                .values()
                .map(|job| format!("{:?}", job.state)),
        );
    }
    for kind in [
        "task_committed",
        "task_failed",
        "node_admitted",
        "leases_ended",
    ] {
        assert!(kinds.contains(&(kind, true)), "{kind} was never taken");
    }
    assert_eq!(ends.len(), 5, "jobs of all states were there: {ends:?}");
}

#[test]
fn the_same_commands_make_the_same_state_everywhere() {
    let mut first = State::default();
    let mut commands = Vec::new();
    let mut story = Story::new(1234);
    for _ in 0..800 {
        let command = story.next(&first);
        drop(first.apply(&command, &mut Vec::new()));
        commands.push(command);
    }
    let mut second = State::default();
    for command in &commands {
        drop(second.apply(command, &mut Vec::new()));
    }
    assert_eq!(first, second);
}
