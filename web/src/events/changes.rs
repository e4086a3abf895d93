//! What a log entry changed, as one caller may see it.

use std::collections::{BTreeMap, BTreeSet};

use jiggablend_raft::{Change, Epoch, FileId, Job, JobId, NodeId, State};
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
    epoch: Epoch,
    node: NodeId,
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
    let visible_job = |id: JobId| -> Option<&Job> {
        let job = state.jobs.get(&id);
        job.filter(|job| caller.may_see(job))
    };
    let changed = Changed::new(changes);
    let mut views = Vec::new();
    for job in changed.jobs.into_iter().filter_map(visible_job) {
        let summary = JobSummary::of(state, job);
        views.push(ChangeView::Job(Box::new(summary)));
    }
    for (id, indices) in changed.tasks {
        let Some(job) = visible_job(id) else { continue };
        for task in TaskView::of_each(job, |index| indices.contains(&index)) {
            let change = TaskChange { job: id, task };
            views.push(ChangeView::Task(Box::new(change)));
        }
    }
    for (job, id) in changed.files {
        let file = visible_job(job).and_then(|_| state.files.get(&id));
        views.extend(file.map(|file| ChangeView::File(Box::new(FileView::of(file)))));
    }
    for id in changed.nodes {
        let node = state.nodes.get(&id).filter(|node| !node.removed);
        if let Some((node, nodes)) = node.zip(nodes) {
            let view = nodes.view(state, node, caller);
            views.push(ChangeView::Node(Box::new(view)));
        }
    }
    views
}

/// What changed, each thing once, the tasks of a job together.
#[derive(Default)]
struct Changed {
    jobs: BTreeSet<JobId>,
    tasks: BTreeMap<JobId, BTreeSet<u32>>,
    files: BTreeSet<(JobId, FileId)>,
    nodes: BTreeSet<NodeId>,
}

impl Changed {
    fn new(changes: &[Change]) -> Self {
        let mut changed = Self::default();
        for change in changes {
            match change {
                Change::Job(id) => {
                    changed.jobs.insert(*id);
                }
                Change::Task(id) => {
                    changed.tasks.entry(id.job).or_default().insert(id.index);
                }
                Change::File(job, id) => {
                    changed.files.insert((*job, *id));
                }
                Change::Node(id) => {
                    changed.nodes.insert(*id);
                }
                // Between the leader and a runner; the task's own change tells the rest.
                Change::Revoked(..) => {}
                // For the leader, which delivers it.
                Change::Delivery(_) => {}
            }
        }
        changed
    }
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
