//! What a log entry changed, as one caller may see it.

use std::collections::BTreeSet;

use jiggablend_raft::{Change, Job, JobId, State, TaskId};
use serde::Serialize;

use crate::TaskProgress;
use crate::access::Caller;
use crate::views::{FileView, JobSummary, NodeView, Nodes, TaskView};

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ChangeView {
    Job(Box<JobSummary>),
    Task(Box<TaskChange>),
    File(Box<FileView>),
    Node(Box<NodeView>),
}

#[derive(Serialize)]
pub(super) struct TaskChange {
    job: JobId,
    #[serde(flatten)]
    task: TaskView,
}

#[derive(Serialize)]
pub(super) struct ProgressView {
    job: JobId,
    task: u32,
    epoch: jiggablend_raft::Epoch,
    node: jiggablend_raft::NodeId,
    fraction: Option<f32>,
    text: String,
}

/// The new values of what changed, without what the caller may not see. `nodes` must be there
/// where a node changed.
pub(super) fn visible_changes(
    state: &State,
    changes: &[Change],
    caller: &Caller,
    nodes: Option<&Nodes>,
) -> Vec<ChangeView> {
    let visible_job = |id: &JobId| -> Option<&Job> {
        let job = state.jobs.get(id);
        job.filter(|job| caller.may_see(job))
    };
    let mut views = Vec::new();
    let mut seen = BTreeSet::new();
    for change in changes {
        let view = match change {
            Change::Job(id) if seen.insert(Key::Job(*id)) => {
                visible_job(id).map(|job| ChangeView::Job(Box::new(JobSummary::of(state, job))))
            }
            Change::Task(id) if seen.insert(Key::Task(*id)) => visible_job(&id.job)
                .and_then(|job| TaskView::of(job, id.index))
                .map(|task| ChangeView::Task(Box::new(TaskChange { job: id.job, task }))),
            Change::File(job, id) if seen.insert(Key::File(*id)) => visible_job(job)
                .and_then(|_| state.files.get(id))
                .map(|file| ChangeView::File(Box::new(FileView::of(file)))),
            Change::Node(id) if seen.insert(Key::Node(*id)) => state
                .nodes
                .get(id)
                .filter(|node| !node.removed)
                .zip(nodes)
                .map(|(node, nodes)| ChangeView::Node(Box::new(nodes.view(state, node, caller)))),
            // Between the leader and a runner; the task's own change tells the rest.
            Change::Revoked(..) => None,
            Change::Job(_) | Change::Task(_) | Change::File(..) | Change::Node(_) => None,
        };
        views.extend(view);
    }
    views
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Job(JobId),
    Task(TaskId),
    File(jiggablend_raft::FileId),
    Node(jiggablend_raft::NodeId),
}

pub(super) fn visible_progress(
    state: &State,
    progress: impl Iterator<Item = TaskProgress>,
    caller: &Caller,
) -> Vec<ProgressView> {
    let visible = progress.filter(|progress| {
        let job = state.jobs.get(&progress.task.job);
        job.is_some_and(|job| caller.may_see(job))
    });
    visible
        .map(|progress| ProgressView {
            job: progress.task.job,
            task: progress.task.index,
            epoch: progress.epoch,
            node: progress.node,
            fraction: progress.fraction,
            text: progress.text,
        })
        .collect()
}
