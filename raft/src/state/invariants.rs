//! What holds between any two commands. Tests call it after each step.

use std::collections::BTreeSet;

use super::index::Index;
use super::{State, jobs};
use crate::{
    AttemptOutcome, File, FileKind, Job, JobState, MAX_AUDIT_DETAIL_CHARS, MAX_AUDIT_ENTRIES,
    Owner, TaskKind, TaskState, normalized_email,
};

/// Panics with what is broken, if anything is.
pub(crate) fn check_invariants(state: &State) {
    check_nodes(state);
    for job in state.jobs.values() {
        check_counts_and_end(job);
        check_leases(state, job);
        check_outputs(state, job);
    }
    assert_eq!(
        state.index,
        Index::of(state),
        "the index is the state's own"
    );
    check_people(state);
    check_deliveries(state);
    check_audit(state);
    check_http_runners(state);
    let listed: usize = state.jobs.values().map(|job| job.files.len()).sum();
    assert_eq!(
        listed,
        state.files.len(),
        "every file is in its job's list, once"
    );
}

fn check_nodes(state: &State) {
    let mut names = BTreeSet::new();
    let mut peers = BTreeSet::new();
    for (id, node) in &state.nodes {
        assert!(*id < state.next_node, "ids of nodes are never given again");
        assert!(names.insert(&node.name), "names of nodes are unique");
        assert!(
            node.peer_id().is_none_or(|peer| peers.insert(peer)),
            "one node a PeerId"
        );
    }
    for ticket in state.tickets.values() {
        assert!(!(ticket.reusable && ticket.spent_by.is_some()));
        assert!(
            ticket
                .spent_by
                .is_none_or(|node| state.nodes.contains_key(&node))
        );
    }
}

fn check_counts_and_end(job: &Job) {
    assert_eq!(job.counts, jobs::count(&job.tasks), "counts match tasks");
    let open = job.counts.waiting + job.counts.pending + job.counts.leased;
    match job.state {
        JobState::AwaitingScene => assert!(job.tasks.is_empty() && job.scene.is_none()),
        JobState::Active => assert!(open > job.counts.waiting, "an active job has work to give"),
        JobState::Done => assert_eq!(job.counts.done as usize, job.tasks.len()),
        JobState::Failed => assert!(open == 0 && job.counts.failed > 0),
        JobState::Cancelled => assert_eq!(open, 0, "nothing is left of a cancelled job"),
    }
    assert_eq!(job.state == JobState::Failed, job.failure.is_some());
    assert_eq!(job.state.is_final(), job.finished_at.is_some());
}

fn check_leases(state: &State, job: &Job) {
    let mut epochs = BTreeSet::new();
    for attempt in &job.attempts {
        let task = &job.tasks[attempt.task as usize];
        assert!(
            attempt.epoch <= task.epoch,
            "no attempt is newer than its task"
        );
        assert!(
            epochs.insert((attempt.task, attempt.epoch)),
            "one attempt a lease"
        );
        let is_running = attempt.outcome == AttemptOutcome::Running;
        assert_eq!(is_running, attempt.ended_at.is_none());
        let has_lease =
            task.epoch == attempt.epoch && task.state == (TaskState::Leased { node: attempt.node });
        assert_eq!(
            is_running, has_lease,
            "leased tasks and running attempts are the same"
        );
    }
    for task in &job.tasks {
        if let TaskState::Leased { node } = task.state {
            assert!(!state.nodes[&node].removed, "a removed node has no lease");
        }
    }
    assert_eq!(
        job.counts.leased as usize,
        job.attempts
            .iter()
            .filter(|a| a.outcome == AttemptOutcome::Running)
            .count(),
    );
}

fn check_outputs(state: &State, job: &Job) {
    let mut committed = BTreeSet::new();
    for attempt in &job.attempts {
        if matches!(attempt.outcome, AttemptOutcome::Committed { .. }) {
            assert!(
                committed.insert(attempt.task),
                "at most one commit a task (I5)"
            );
        }
    }
    let frames_done = job
        .tasks
        .iter()
        .filter(|task| task.kind != TaskKind::Encode)
        .all(|task| task.state == TaskState::Done);
    for (index, task) in job.tasks.iter().enumerate() {
        let index = index as u32;
        let is_done = task.state == TaskState::Done;
        assert_eq!(is_done, task.output.is_some(), "done tasks have an output");
        assert_eq!(is_done, committed.contains(&index));
        if task.kind == TaskKind::Encode && !frames_done {
            assert!(matches!(
                task.state,
                TaskState::Waiting | TaskState::Cancelled
            ));
        }
        if let Some(output) = task.output {
            assert_eq!(state.files[&output].task, Some(index));
        }
        let outputs = job
            .files
            .iter()
            .map(|file| &state.files[file])
            .filter(|file| file.task == Some(index) && file.kind != FileKind::Log);
        assert!(outputs.count() <= 1, "at most one output a task");
    }
    let unique: BTreeSet<_> = job.files.iter().collect();
    assert_eq!(unique.len(), job.files.len());
    assert!(job.files.iter().all(|file| state.files[file].job == job.id));
}

/// Accounts can be signed in to and administered; what belongs to somebody belongs to a user.
fn check_people(state: &State) {
    let mut emails = BTreeSet::new();
    let mut identities = BTreeSet::new();
    for user in state.users.values() {
        let has_a_way = user.password_hash.is_some() || !user.identities.is_empty();
        assert!(has_a_way, "every user can sign in somehow");
        if user.password_hash.is_some() {
            let email = user.email.as_deref().map(normalized_email);
            let email = email.expect("a local account has an address");
            assert!(emails.insert(email), "one local account an address");
        }
        for identity in &user.identities {
            assert!(identities.insert(identity), "one user an identity");
        }
    }
    for session in state.sessions.values() {
        let user = &state.users[&session.user];
        assert!(!user.disabled, "a disabled user has no session");
    }
    for token in state.tokens.values() {
        assert!(state.users.contains_key(&token.user));
    }
    for invitation in state.invitations.values() {
        assert!(invitation.reusable || invitation.used_by.len() <= 1);
    }
    for job in state.jobs.values() {
        for user in job.shares.keys() {
            assert!(state.users.contains_key(user), "shares are with users");
            assert!(job.owner != Owner::User(*user), "and not with the owner");
        }
    }
}

fn check_deliveries(state: &State) {
    for delivery in state.deliveries.values() {
        assert!(delivery.id <= state.last_delivery);
        assert!(state.webhooks.contains_key(&delivery.webhook));
    }
    for webhook in state.webhooks.values() {
        if let Owner::User(user) = webhook.owner {
            assert!(state.users.contains_key(&user), "webhooks go with users");
        }
    }
}

fn check_audit(state: &State) {
    assert!(state.audit.len() <= MAX_AUDIT_ENTRIES);
    for (number, entry) in &state.audit {
        assert_eq!(*number, entry.number);
        assert!(*number < state.audit_next);
        assert!(entry.detail.chars().count() <= MAX_AUDIT_DETAIL_CHARS);
        assert!(!entry.detail.contains(char::is_control), "one line");
    }
}

/// Runners that speak only HTTP render; they hold nothing and never vote.
fn check_http_runners(state: &State) {
    for node in state.nodes.values().filter(|node| !node.is_in_mesh()) {
        assert!(!node.roles.voter && node.roles.runner);
        let holds = |file: &File| file.holders.contains(&node.id);
        assert!(!state.files.values().any(holds));
    }
}
