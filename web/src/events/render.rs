//! From what changed in the log to events: each thing once, with its newest value.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiggablend_raft::{Applied, Change, Epoch, JobId, NodeId, State};
use serde::Serialize;

use super::event::{Event, EventBuilder};
use crate::TaskProgress;
use crate::app::App;
use crate::views::{FileView, JobSummary, NodeView, Nodes, TaskView};

/// What one event holds at most; the state is not held longer for one than this many take.
const MAX_CHANGES_IN_EVENT: usize = 1000;

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum ChangeView<'a> {
    Job(&'a JobSummary),
    /// For the one account that may see it no longer.
    JobGone(JobId),
    Task(TaskChange<'a>),
    File(&'a FileView),
    Node(&'a NodeView),
}

#[derive(Serialize)]
struct TaskChange<'a> {
    job: JobId,
    #[serde(flatten)]
    task: &'a TaskView,
}

#[derive(Serialize)]
struct ProgressView<'a> {
    job: JobId,
    task: u32,
    epoch: Epoch,
    node: NodeId,
    fraction: Option<f32>,
    text: &'a str,
}

/// The events that tell what the entries changed, which are all after entry `after`. There are
/// several where one would be too large.
pub(super) async fn change_events<'a>(
    app: &App,
    after: u64,
    entries: impl Iterator<Item = &'a Applied>,
) -> Vec<Event> {
    let mut index = after;
    let mut all = Vec::new();
    for entry in entries {
        index = entry.index;
        all.extend_from_slice(&entry.changes);
    }
    let changes = newest_of_each(&all);
    let has_nodes = changes
        .iter()
        .any(|change| matches!(change, Change::Node(_)));
    let nodes = has_nodes.then(|| Nodes::new(app.log.status(), &app.live));

    let mut events = Vec::new();
    let parts = changes.chunks(MAX_CHANGES_IN_EVENT);
    let last = parts.len().saturating_sub(1);
    for (number, part) in parts.enumerate() {
        if number > 0 {
            // A job of many frames must not keep this thread from everything else.
            tokio::task::yield_now().await;
        }
        let builder = EventBuilder::changes(after, index, number == last);
        let event = app
            .log
            .read(|state| render(state, part, nodes.as_ref(), builder));
        events.extend(event);
    }
    events
}

/// Each thing once, in the order of its newest change.
fn newest_of_each(changes: &[Change]) -> Vec<Change> {
    let mut seen = HashSet::new();
    // Revocations are between the leader and a runner: the task's own change tells the rest.
    let is_told = |change: &Change| !matches!(change, Change::Revoked(..) | Change::Delivery(_));
    let mut newest: Vec<Change> = changes
        .iter()
        .rev()
        .filter(|change| is_told(change) && seen.insert(**change))
        .copied()
        .collect();
    newest.reverse();
    newest
}

fn render(
    state: &State,
    changes: &[Change],
    nodes: Option<&Nodes>,
    mut event: EventBuilder,
) -> Option<Event> {
    let mut tasks = views_of_tasks(state, changes);
    for change in changes {
        match *change {
            Change::Job(id) => {
                if let Some(job) = state.jobs.get(&id) {
                    let summary = JobSummary::of(state, job);
                    event.push_of_job(job, &ChangeView::Job(&summary));
                }
            }
            Change::Task(id) => {
                let task = tasks.get_mut(&id.job).and_then(|of| of.remove(&id.index));
                if let Some((job, task)) = state.jobs.get(&id.job).zip(task) {
                    let change = TaskChange {
                        job: id.job,
                        task: &task,
                    };
                    event.push_of_job(job, &ChangeView::Task(change));
                }
            }
            Change::Unshared(job, user) => {
                let known = state.jobs.get(&job);
                if !known.is_some_and(|job| job.shares.contains_key(&user)) {
                    event.push_for_user(user, &ChangeView::JobGone(job));
                }
            }
            Change::File(job, id) => {
                if let Some((job, file)) = state.jobs.get(&job).zip(state.files.get(&id)) {
                    event.push_of_job(job, &ChangeView::File(&FileView::of(file)));
                }
            }
            Change::Node(id) => {
                let node = state.nodes.get(&id).filter(|node| !node.removed);
                if let Some((node, nodes)) = node.zip(nodes) {
                    let (view, work) = nodes.view_apart_from_work(state, node);
                    let work = work
                        .iter()
                        .filter_map(|work| Some((state.jobs.get(&work.job)?, work)));
                    event.push_node(id, &ChangeView::Node(&view), work);
                }
            }
            Change::Revoked(..) | Change::Delivery(_) => {}
        }
    }
    event.build()
}

/// The views of all tasks that changed, a job's together, since they take one look at its
/// attempts.
fn views_of_tasks(state: &State, changes: &[Change]) -> BTreeMap<JobId, BTreeMap<u32, TaskView>> {
    let mut changed: BTreeMap<JobId, BTreeSet<u32>> = BTreeMap::new();
    for change in changes {
        if let Change::Task(id) = change {
            changed.entry(id.job).or_default().insert(id.index);
        }
    }
    changed
        .into_iter()
        .filter_map(|(id, indices)| {
            let job = state.jobs.get(&id)?;
            Some((id, TaskView::of_some(job, &indices)))
        })
        .collect()
}

/// One `progress` event; `None` where its jobs are gone.
pub(super) fn progress_event<'a>(
    state: &State,
    progress: impl Iterator<Item = &'a TaskProgress>,
) -> Option<Event> {
    let mut event = EventBuilder::progress();
    for progress in progress {
        let Some(job) = state.jobs.get(&progress.task.job) else {
            continue;
        };
        let view = ProgressView {
            job: progress.task.job,
            task: progress.task.index,
            epoch: progress.epoch,
            node: progress.node,
            fraction: progress.fraction,
            text: &progress.text,
        };
        event.push_of_job(job, &view);
    }
    event.build()
}

#[cfg(test)]
mod tests {
    use jiggablend_raft::TaskId;

    use super::*;

    #[test]
    fn a_thing_that_changed_often_is_told_once_where_it_changed_last() {
        let job = JobId::new();
        let task = |index| Change::Task(TaskId { job, index });
        let revoked = Change::Revoked(TaskId { job, index: 1 }, Epoch(1), NodeId(1));
        let changes = [
            task(1),
            Change::Job(job),
            task(2),
            revoked,
            task(1),
            Change::Job(job),
        ];
        assert_eq!(
            newest_of_each(&changes),
            [task(2), task(1), Change::Job(job)]
        );
    }
}
