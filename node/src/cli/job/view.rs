//! What the command line knows of a job that it watches, and what is new in what it hears.
//!
//! Everything may be heard twice and late: a snapshot overlaps with the events around it, and a
//! node that takes over may be a moment behind. So a task only ever moves on (see [`stage`]), and
//! each step comes out once.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiggablend_raft::{Epoch, JobState, NodeId};

use crate::cli::api_types::{Job, JobSummary, Task, TaskKind, TaskProgress, TaskState};
use crate::cli::output::duration;

/// The remaining time is judged by this many of the newest frames.
const MEASURED_FRAMES: usize = 20;

/// A job as it was last heard of.
#[derive(Debug)]
pub struct JobView {
    pub summary: JobSummary,
    tasks: BTreeMap<u32, Task>,
    /// Of running tasks.
    progress: BTreeMap<u32, TaskProgress>,
    node_names: BTreeMap<NodeId, String>,
    newest_render_ms: VecDeque<u64>,
}

/// Something that had not been heard before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// A task took a step worth a line; the line.
    Task { task: Task, text: String },
    /// The job itself; the line.
    Job(String),
}

/// A task that a node has a lease of: it works on it, or has it for later.
#[derive(Debug, Clone, PartialEq)]
pub struct Running {
    pub index: u32,
    pub what: String,
    pub node: String,
    /// Progress was heard of it. Without live events nobody knows.
    pub has_begun: bool,
    pub fraction: Option<f64>,
    pub text: String,
}

/// How many frames (or, where a job has none, tasks) are where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FrameTally {
    pub total: u64,
    pub done: u64,
    /// With a node, whether it has begun or not.
    pub leased: u64,
    /// Those of the leased that have been heard of since.
    pub rendering: u64,
    pub failed: u64,
}

impl JobView {
    /// Begins with a snapshot: what is over already is no news.
    pub fn new(job: Job) -> Self {
        let mut view = Self {
            summary: job.summary,
            tasks: BTreeMap::new(),
            progress: BTreeMap::new(),
            node_names: BTreeMap::new(),
            newest_render_ms: VecDeque::new(),
        };
        for task in job.tasks {
            view.hear_task(task);
        }
        view
    }

    /// Takes in a later snapshot, for example after events were missed.
    pub fn hear_job(&mut self, job: Job) -> Vec<News> {
        let mut news: Vec<News> = job
            .tasks
            .into_iter()
            .filter_map(|task| self.hear_task(task))
            .collect();
        news.extend(self.hear_summary(job.summary));
        news
    }

    /// Takes in the job's own changes. A job that is over stays as it is.
    pub fn hear_summary(&mut self, summary: JobSummary) -> Option<News> {
        if self.summary.state.is_final() {
            return None;
        }
        let old = std::mem::replace(&mut self.summary, summary);
        let new = &self.summary;
        let started = old.state == JobState::AwaitingScene && new.state == JobState::Active;
        if started {
            let frames = new.frames.as_deref().unwrap_or("its frames");
            return Some(News::Job(format!("the scene is in; rendering {frames}")));
        }
        None
    }

    /// Takes in what was heard of one task; news where it moved on in a way that people want to
    /// know of.
    pub fn hear_task(&mut self, task: Task) -> Option<News> {
        let old = self.tasks.get(&task.index);
        if old.is_some_and(|old| stage(old) >= stage(&task)) {
            return None;
        }
        let new_failures = task.failed_attempts > old.map_or(0, |old| old.failed_attempts);
        if task.state != TaskState::Leased {
            self.progress.remove(&task.index);
        }
        let text = self.news_of(&task, new_failures);
        if task.kind == TaskKind::Frame && task.state == TaskState::Done {
            self.newest_render_ms.extend(task.render_ms);
            if self.newest_render_ms.len() > MEASURED_FRAMES {
                self.newest_render_ms.pop_front();
            }
        }
        self.tasks.insert(task.index, task.clone());
        text.map(|text| News::Task { task, text })
    }

    fn news_of(&self, task: &Task, new_failures: bool) -> Option<String> {
        let what = what(task);
        let node = task
            .node
            .map(|node| format!(" on {}", self.node_name(node)))
            .unwrap_or_default();
        let why = task
            .failure
            .as_ref()
            .map(|failure| format!(": {}", failure.message))
            .unwrap_or_default();
        match task.state {
            TaskState::Done => {
                let time = task
                    .render_ms
                    .map(|ms| format!(" in {}", duration(Duration::from_millis(ms))))
                    .unwrap_or_default();
                Some(format!("{what} done{node}{time}"))
            }
            TaskState::Failed => Some(format!("{what} failed{node}{why}")),
            TaskState::Pending if new_failures => Some(format!(
                "{what} failed {} so far, is tried again{why}",
                times(task.failed_attempts)
            )),
            _ => None,
        }
    }

    /// Takes in how far running tasks are; what is said of an older lease is passed over.
    pub fn hear_progress(&mut self, heard: Vec<TaskProgress>) {
        for progress in heard {
            let is_running = self.tasks.get(&progress.task).is_some_and(|task| {
                task.state == TaskState::Leased && task.epoch == progress.epoch
            });
            if progress.job == self.summary.id && is_running {
                self.progress.insert(progress.task, progress);
            }
        }
    }

    pub fn hear_node_name(&mut self, node: NodeId, name: &str) {
        self.node_names.insert(node, name.to_owned());
    }

    pub fn node_name(&self, node: NodeId) -> String {
        match self.node_names.get(&node) {
            Some(name) => name.clone(),
            None => format!("node {node}"),
        }
    }

    /// What nodes have leases of, by task.
    pub fn running(&self) -> Vec<Running> {
        let leased = self
            .tasks
            .values()
            .filter(|task| task.state == TaskState::Leased);
        leased
            .map(|task| {
                let progress = self.progress_of(task);
                Running {
                    index: task.index,
                    what: what(task),
                    node: task
                        .node
                        .map(|node| self.node_name(node))
                        .unwrap_or_default(),
                    has_begun: progress.is_some(),
                    fraction: progress.and_then(|progress| progress.fraction),
                    text: progress
                        .map(|progress| progress.text.clone())
                        .unwrap_or_default(),
                }
            })
            .collect()
    }

    /// The tasks that failed, in words: those whose index is `wanted`.
    pub fn failures(&self, wanted: impl Fn(u32) -> bool) -> Vec<String> {
        self.tasks
            .values()
            .filter(|task| task.state == TaskState::Failed && wanted(task.index))
            .filter_map(|task| self.news_of(task, false))
            .collect()
    }

    /// Why the job failed, without what one of [`Self::failures`] says already.
    pub fn failure_in_short(&self) -> Option<String> {
        let message = &self.summary.failure.as_ref()?.message;
        let tasks = self.tasks.values();
        let failed = tasks.filter(|task| task.state == TaskState::Failed);
        let said = failed.filter_map(|task| task.failure.as_ref());
        let short = said
            .filter_map(|failure| message.strip_suffix(&failure.message))
            .next()
            .unwrap_or(message);
        let short = short.trim_end_matches([':', ' ']);
        (!short.is_empty()).then(|| short.to_owned())
    }

    pub fn tally(&self) -> FrameTally {
        let mut tally = FrameTally::default();
        for task in self.frames() {
            tally.total += 1;
            match task.state {
                TaskState::Done => tally.done += 1,
                TaskState::Leased => {
                    tally.leased += 1;
                    tally.rendering += u64::from(self.progress_of(task).is_some());
                }
                TaskState::Failed | TaskState::Cancelled => tally.failed += 1,
                TaskState::Waiting | TaskState::Pending => {}
            }
        }
        tally
    }

    /// What was heard of the task since its newest lease.
    fn progress_of(&self, task: &Task) -> Option<&TaskProgress> {
        let progress = self.progress.get(&task.index)?;
        (progress.epoch == task.epoch).then_some(progress)
    }

    fn frames(&self) -> impl Iterator<Item = &Task> {
        self.tasks
            .values()
            .filter(|task| task.kind == TaskKind::Frame)
    }

    /// How long the remaining frames will take; `None` before one was measured.
    pub fn remaining_time(&self) -> Option<Duration> {
        let unfinished = self.frames().filter_map(|task| match task.state {
            TaskState::Waiting | TaskState::Pending => Some(1.0),
            TaskState::Leased => {
                let progress = self.progress_of(task);
                let fraction = progress.and_then(|progress| progress.fraction);
                Some(1.0 - fraction.unwrap_or(0.0).clamp(0.0, 1.0))
            }
            TaskState::Done | TaskState::Failed | TaskState::Cancelled => None,
        });
        let measured = self.newest_render_ms.len() as f64;
        let mean_ms = self.newest_render_ms.iter().sum::<u64>() as f64 / measured;
        (measured > 0.0).then(|| remaining_time(mean_ms, unfinished.sum(), self.tally().leased))
    }
}

/// `unfinished` frames (a half done one is a half), `at_once` at a time, each as long as the mean
/// of those that were measured.
fn remaining_time(mean_ms: f64, unfinished: f64, at_once: u64) -> Duration {
    let at_once = (at_once.max(1) as f64).min(unfinished.max(1.0));
    Duration::from_millis((mean_ms * unfinished / at_once) as u64)
}

/// Orders what can be heard of a task: by its lease, then by what becomes of a lease. A lease is
/// newer than the `pending` of the lease before it, and `pending` with the same epoch means that
/// this lease was taken back.
fn stage(task: &Task) -> (Epoch, u8) {
    let rank = match task.state {
        TaskState::Waiting => 0,
        TaskState::Leased => 1,
        TaskState::Pending => 2,
        TaskState::Done | TaskState::Failed | TaskState::Cancelled => 3,
    };
    (task.epoch, rank)
}

fn what(task: &Task) -> String {
    match (task.kind, task.frame) {
        (TaskKind::Frame, Some(frame)) => format!("frame {frame}"),
        (TaskKind::Encode, _) => "video".to_owned(),
        _ => format!("task {}", task.index),
    }
}

fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    }
}

#[cfg(test)]
pub mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::cli::api_types::Owner;
    use jiggablend_raft::{FrameNumber, JobId, TaskCounts, TimestampMs};

    pub fn summary(id: JobId) -> JobSummary {
        JobSummary {
            id,
            name: "cat".into(),
            owner: Owner {
                name: "node-1".into(),
            },
            state: JobState::Active,
            created_at_ms: TimestampMs(1),
            started_at_ms: None,
            finished_at_ms: None,
            frames: Some("1-4".into()),
            frame_counts: TaskCounts::default(),
            failure: None,
            video: false,
            waiting_for: None,
        }
    }

    fn task(index: u32, epoch: u32, state: TaskState) -> Task {
        Task {
            index,
            kind: TaskKind::Frame,
            frame: Some(FrameNumber(index as i32 + 1)),
            state,
            node: (epoch > 0).then_some(NodeId(2)),
            epoch: Epoch(epoch),
            failed_attempts: 0,
            render_ms: (state == TaskState::Done).then_some(2_000),
            failure: None,
        }
    }

    fn view() -> JobView {
        JobView::new(Job {
            summary: summary(JobId::new()),
            scene: None,
            scene_facts: None,
            tasks: (0..4)
                .map(|index| task(index, 0, TaskState::Pending))
                .collect(),
        })
    }

    fn text(news: Option<News>) -> Option<String> {
        news.map(|news| match news {
            News::Task { text, .. } | News::Job(text) => text,
        })
    }

    #[test]
    fn a_done_frame_is_news_once_however_often_and_late_it_is_heard() {
        let mut view = view();
        view.hear_node_name(NodeId(2), "attic");
        assert_eq!(view.hear_task(task(0, 1, TaskState::Leased)), None);
        let done = task(0, 1, TaskState::Done);
        assert_eq!(
            text(view.hear_task(done.clone())).unwrap(),
            "frame 1 done on attic in 2.0 s"
        );
        // An event that the snapshot held already, from a node that is behind.
        assert_eq!(view.hear_task(task(0, 1, TaskState::Leased)), None);
        assert_eq!(view.hear_task(done), None);
        assert_eq!(view.tally().done, 1);
    }

    #[test]
    fn a_lease_that_was_taken_back_and_given_anew_is_followed() {
        let mut view = view();
        for (epoch, state) in [
            (1, TaskState::Leased),
            (1, TaskState::Pending),
            (2, TaskState::Leased),
        ] {
            view.hear_task(task(0, epoch, state));
        }
        assert_eq!(view.tally().leased, 1);
        assert_eq!(view.tally().rendering, 0, "nothing was heard of it");
        assert!(view.hear_task(task(0, 2, TaskState::Done)).is_some());
    }

    #[test]
    fn a_failed_attempt_is_news_and_a_lost_lease_is_none() {
        let mut view = view();
        view.hear_task(task(0, 1, TaskState::Leased));
        assert_eq!(view.hear_task(task(0, 1, TaskState::Pending)), None);
        view.hear_task(task(0, 2, TaskState::Leased));
        let failed = Task {
            failed_attempts: 1,
            ..task(0, 2, TaskState::Pending)
        };
        let line = text(view.hear_task(failed)).unwrap();
        assert!(line.contains("failed once so far"), "{line}");
    }

    #[test]
    fn what_a_snapshot_begins_with_is_no_news_and_a_later_one_tells_what_was_missed() {
        let mut view = view();
        let job = |states: [TaskState; 2]| Job {
            summary: view.summary.clone(),
            scene: None,
            scene_facts: None,
            tasks: vec![task(0, 1, states[0]), task(1, 1, states[1])],
        };
        let first = job([TaskState::Done, TaskState::Leased]);
        let second = job([TaskState::Done, TaskState::Done]);
        view = JobView::new(first);
        let news = view.hear_job(second);
        assert_eq!(news.len(), 1);
        assert!(matches!(&news[0], News::Task { task, .. } if task.index == 1));
    }

    #[test]
    fn a_job_that_is_over_does_not_come_back() {
        let mut view = view();
        let mut done = view.summary.clone();
        done.state = JobState::Done;
        let late = view.summary.clone();
        view.hear_summary(done);
        view.hear_summary(late);
        assert_eq!(view.summary.state, JobState::Done);
    }

    #[test]
    fn the_remaining_time_comes_from_measured_frames_and_what_runs_at_once() {
        let mut view = view();
        assert_eq!(view.remaining_time(), None);
        view.hear_task(task(0, 1, TaskState::Done));
        // Three frames of 2 s are left, nothing runs: one after the other.
        assert_eq!(view.remaining_time(), Some(Duration::from_secs(6)));
        view.hear_task(task(1, 1, TaskState::Leased));
        view.hear_task(task(2, 1, TaskState::Leased));
        assert_eq!(view.remaining_time(), Some(Duration::from_secs(3)));
        view.hear_progress(vec![TaskProgress {
            job: view.summary.id,
            task: 1,
            epoch: Epoch(1),
            fraction: Some(0.5),
            text: String::new(),
        }]);
        assert_eq!(view.remaining_time(), Some(Duration::from_millis(2_500)));
    }

    #[test]
    fn progress_of_an_older_lease_is_passed_over() {
        let mut view = view();
        view.hear_task(task(0, 2, TaskState::Leased));
        let progress = |epoch| TaskProgress {
            job: view.summary.id,
            task: 0,
            epoch: Epoch(epoch),
            fraction: Some(0.9),
            text: "Sample 9/10".into(),
        };
        let (old, current) = (progress(1), progress(2));
        view.hear_progress(vec![old]);
        assert!(!view.running()[0].has_begun);
        view.hear_progress(vec![current]);
        assert_eq!(view.running()[0].fraction, Some(0.9));
        assert_eq!(view.tally().rendering, 1);
        // The next lease has not begun because the one before it had.
        view.hear_task(task(0, 3, TaskState::Leased));
        assert!(!view.running()[0].has_begun);
    }
}
