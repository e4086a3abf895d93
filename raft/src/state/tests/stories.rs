//! Random stories that try to break what must always hold.

use super::*;

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
        for _ in 0..500 {
            let command = story.next(&farm.state);
            let had_admin = has_admin(&farm.state);
            let result = farm.tell_command(&command);
            assert!(!had_admin || has_admin(&farm.state), "an admin is left");
            kinds.insert((command.action.name(), result.is_ok()));
            // Told again at once, as a retry across a failover tells it: nothing more happens.
            let before = farm.state.clone();
            let again = farm.tell_command(&command);
            assert!(
                farm.state == before,
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
        "user_registered",
        "user_deleted",
        "invitation_created",
        "identity_linked",
        "identity_unlinked",
        "token_revoked",
        "runner_registered",
        "runner_announced",
        "sign_in_finished",
        "device_sign_in_finished",
        "sign_in_blocked",
        "job_shared",
        "job_unshared",
        "webhook_saved",
        "webhook_deleted",
        "delivery_done",
        "delivery_failed",
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

fn has_admin(state: &State) -> bool {
    let mut users = state.users.values();
    users.any(|user| user.role == UserRole::Admin && !user.disabled)
}
