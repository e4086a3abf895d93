//! `job watch` and `submit --wait`: follows a job to its end, over the death of nodes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use jiggablend_raft::{JobId, JobState};
use serde_json::{Value, json};

use super::id;
use super::path_of;
use super::progress::JobBars;
use super::view::{JobView, News};
use crate::cli::CliError;
use crate::cli::api_types::{Farm, Job, NodeList, TaskState, state_word};
use crate::cli::client::Client;
use crate::cli::events::{Event, Events};
use crate::cli::output::{Output, ProgressMode, duration, since};

/// How long a node may be behind what was seen already.
const CATCH_UP: Duration = Duration::from_secs(30);
const CATCH_UP_PAUSE: Duration = Duration::from_millis(100);

/// Follows the job until it is over. An error where it did not end well.
pub async fn run(job: JobId, client: &Client, output: &Output) -> Result<(), CliError> {
    let (view, told_failures) = follow(job, client, output).await?;
    if !output.is_json() {
        show_end(&view, &told_failures, output);
    }
    if view.summary.state == JobState::Done {
        return Ok(());
    }
    let short = view.failure_in_short();
    let summary = view.summary;
    Err(CliError::JobNotDone {
        job,
        state: summary.state,
        why: match output.is_json() {
            true => summary.failure.map(|failure| failure.message),
            false => short,
        },
    })
}

/// The whole of what is known when the job is over, and the tasks whose failure was told.
async fn follow(
    job: JobId,
    client: &Client,
    output: &Output,
) -> Result<(JobView, BTreeSet<u32>), CliError> {
    let (index, first, raw) = snapshot(client, job, AtLeast::Anything).await?;
    let mut view = JobView::new(first);
    hear_node_names(client, &mut view).await?;
    let mut watcher = Watcher::new(output);
    watcher.begin(&view, raw);
    let mut events = Events::after(client, index);
    let mut has_leader = true;
    while !view.summary.state.is_final() {
        match events.next().await? {
            Event::Changes(changes) => {
                let mut nodes_changed = false;
                for change in changes {
                    if change.job_gone == Some(job) {
                        let why = format!("job {job} is shared with you no longer");
                        return Err(CliError::Refused(why));
                    }
                    if let Some(task) = change.task.filter(|task| task.job == job) {
                        watcher.tell(view.hear_task(task.task));
                    }
                    if let Some(summary) = change.job.filter(|summary| summary.id == job) {
                        watcher.tell(view.hear_summary(summary));
                    }
                    if let Some(node) = change.node {
                        view.hear_node_name(node.id, &node.name);
                        nodes_changed = true;
                    }
                }
                // What a job waits for depends on the nodes, and is no change of the job's own.
                if nodes_changed {
                    let whole: Job = client.get_existing(&path_of(job)).await?;
                    watcher.tell(view.hear_job(whole));
                }
            }
            Event::Reset { index } => {
                let (_, whole, _) = snapshot(client, job, AtLeast::Index(index)).await?;
                watcher.tell(view.hear_job(whole));
            }
            Event::Progress(progress) => view.hear_progress(progress),
            Event::Leader(leader) => {
                if leader.is_none() && has_leader {
                    output.note("the farm has no leader now; waiting for one");
                }
                has_leader = leader.is_some();
            }
            Event::Moved { from, to } => {
                output.note(&format!(
                    "{from} does not answer any more; going on through {to}"
                ));
            }
        }
        watcher.tell_waiting(&view);
        watcher.draw(&view);
    }
    // Events show things as they are when they are sent: the job may be seen as over before the
    // events of its last tasks have come.
    let (_, whole, _) = snapshot(client, job, AtLeast::JobOver).await?;
    watcher.tell(view.hear_job(whole));
    let told_failures = watcher.end(&view);
    Ok((view, told_failures))
}

/// How new a snapshot must be. What was seen through one node may not have reached another yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtLeast {
    Anything,
    Index(u64),
    JobOver,
}

impl AtLeast {
    fn is_reached(self, index: u64, job: &Job) -> bool {
        match self {
            Self::Anything => true,
            Self::Index(wanted) => index >= wanted,
            Self::JobOver => job.summary.state.is_final(),
        }
    }
}

/// The job, at least that new, and the index as of which it is: every event after that index adds
/// to it. The raw answer is for `--json`.
async fn snapshot(
    client: &Client,
    job: JobId,
    at_least: AtLeast,
) -> Result<(u64, Job, Value), CliError> {
    let deadline = Instant::now() + CATCH_UP;
    loop {
        // The index is read first: the job is then at least that new, if the same node gave both.
        let (farm_from, farm) = client.get_from::<Farm>("/api/farm", false).await?;
        let is_known = at_least != AtLeast::Anything;
        let (job_from, raw) = client.get_from::<Value>(&path_of(job), is_known).await?;
        let whole: Job = serde_json::from_value(raw.clone()).map_err(|error| CliError::Node {
            url: job_from.clone(),
            reason: format!("gave a job that makes no sense: {error}"),
        })?;
        if farm_from == job_from && at_least.is_reached(farm.applied_index, &whole) {
            return Ok((farm.applied_index, whole, raw));
        }
        if Instant::now() > deadline {
            return Err(CliError::Node {
                url: farm_from,
                reason: format!(
                    "is behind the farm (at log index {}) and does not catch up; see `jiggablend cluster status`",
                    farm.applied_index
                ),
            });
        }
        client.mark_failed(&farm_from);
        tokio::time::sleep(CATCH_UP_PAUSE).await;
    }
}

async fn hear_node_names(client: &Client, view: &mut JobView) -> Result<(), CliError> {
    let list: NodeList = client.get("/api/nodes").await?;
    for node in list.nodes {
        view.hear_node_name(node.id, &node.name);
    }
    Ok(())
}

/// Tells what is new, in the way that the reader wants.
struct Watcher {
    output: Output,
    bars: Option<JobBars>,
    /// What the job was last said to wait for.
    told_waiting: Option<String>,
    /// The tasks whose failure was told when it happened.
    told_failures: BTreeSet<u32>,
}

impl Watcher {
    fn new(output: &Output) -> Self {
        Self {
            output: output.clone(),
            bars: (output.mode() == ProgressMode::Bars).then(|| JobBars::new(output)),
            told_waiting: None,
            told_failures: BTreeSet::new(),
        }
    }

    fn begin(&mut self, view: &JobView, raw: Value) {
        if self.output.is_json() {
            self.output.json_line(&json!({ "job": raw }));
        }
        let summary = &view.summary;
        let tally = view.tally();
        let frames = match tally.total {
            0 => String::new(),
            total => format!(", {} of {total} frames done", tally.done),
        };
        self.output.note(&format!(
            "job {} ({}) is {}{frames}",
            id::short(summary.id),
            summary.name,
            state_word(summary.state),
        ));
        self.tell_waiting(view);
        self.draw(view);
    }

    /// Says once what the job waits for, and again when that has changed.
    fn tell_waiting(&mut self, view: &JobView) {
        let waiting_for = &view.summary.waiting_for;
        if *waiting_for == self.told_waiting {
            return;
        }
        if let Some(what) = waiting_for {
            self.output.note(&format!("waiting for {what}"));
        }
        self.told_waiting.clone_from(waiting_for);
    }

    fn tell(&mut self, news: impl IntoIterator<Item = News>) {
        for news in news {
            if let News::Task { task, .. } = &news
                && task.state == TaskState::Failed
            {
                self.told_failures.insert(task.index);
            }
            match (&news, self.output.mode()) {
                (News::Task { task, .. }, ProgressMode::Nothing) => {
                    self.output.json_line(&json!({ "task": task }));
                }
                (News::Job(_), ProgressMode::Nothing) => {}
                // The bar shows what is done.
                (News::Task { task, text }, ProgressMode::Bars) => {
                    if task.failed_attempts > 0 || task.state == TaskState::Failed {
                        self.output.note(text);
                    }
                }
                (News::Task { text, .. } | News::Job(text), _) => self.output.note(text),
            }
        }
    }

    fn draw(&mut self, view: &JobView) {
        if let Some(bars) = &mut self.bars {
            bars.show(view);
        }
    }

    /// Ends the showing; answers whose failures have been told.
    fn end(self, view: &JobView) -> BTreeSet<u32> {
        if let Some(bars) = self.bars {
            bars.clear();
        }
        if self.output.is_json() {
            self.output.json_line(&json!({ "job": view.summary }));
        }
        self.told_failures
    }
}

/// The result of a watch: how the job ended, first the failures that were not told yet.
fn show_end(view: &JobView, told_failures: &BTreeSet<u32>, output: &Output) {
    const SHOWN_FAILURES: usize = 10;
    let failures = view.failures(|index| !told_failures.contains(&index));
    for failure in failures.iter().take(SHOWN_FAILURES) {
        output.line(failure);
    }
    if failures.len() > SHOWN_FAILURES {
        let more = failures.len() - SHOWN_FAILURES;
        let short = id::short(view.summary.id);
        output.line(&format!("and {more} more: jiggablend job show {short}"));
    }
    let summary = &view.summary;
    let tally = view.tally();
    let time = match (summary.started_at_ms, summary.finished_at_ms) {
        (Some(started), Some(finished)) => format!(" in {}", duration(since(started, finished))),
        _ => String::new(),
    };
    output.line(&format!(
        "job {} ({}) {}: {} of {} frames{time}",
        id::short(summary.id),
        summary.name,
        state_word(summary.state),
        tally.done,
        tally.total,
    ));
}
