//! What changed between two states, where no entries tell: after a snapshot came in.

use crate::{Change, Job, State, TaskId, TaskState};

/// The changes that lead watchers from `before` to `after`.
pub(super) fn between(before: &State, after: &State) -> Vec<Change> {
    let mut changes = Vec::new();
    for (id, node) in &after.nodes {
        if before.nodes.get(id) != Some(node) {
            changes.push(Change::Node(*id));
        }
    }
    for (id, job) in &after.jobs {
        let known = before.jobs.get(id);
        if known != Some(job) {
            changes.push(Change::Job(*id));
            add_tasks(known, job, &mut changes);
        }
    }
    for (id, job) in &before.jobs {
        let shares = after.jobs.get(id).map(|job| &job.shares);
        let users = job.shares.keys().copied();
        let unshared = users.filter(|user| !shares.is_some_and(|shares| shares.contains_key(user)));
        changes.extend(unshared.map(|user| Change::Unshared(*id, user)));
    }
    for (id, file) in &after.files {
        if before.files.get(id) != Some(file) {
            changes.push(Change::File(file.job, *id));
        }
    }
    for (id, delivery) in &after.deliveries {
        if delivery.outcome.is_none() && before.deliveries.get(id) != Some(delivery) {
            changes.push(Change::Delivery(*id));
        }
    }
    changes
}

fn add_tasks(before: Option<&Job>, after: &Job, changes: &mut Vec<Change>) {
    for (index, task) in after.tasks.iter().enumerate() {
        let known = before.and_then(|job| job.tasks.get(index));
        if known == Some(task) {
            continue;
        }
        let id = TaskId {
            job: after.id,
            index: index as u32,
        };
        changes.push(Change::Task(id));
        if let Some(known) = known
            && let TaskState::Leased { node } = known.state
        {
            // Whatever the task is now, it is not that lease any more.
            changes.push(Change::Revoked(id, known.epoch, node));
        }
    }
}
