//! `job list`.

use jiggablend_raft::JobState;
use serde_json::{Value, json};

use super::{PAGE, id};
use crate::cli::CliError;
use crate::cli::api_types::{JobSummary, state_word};
use crate::cli::args::{JobListArgs, JobSortArg, JobStateArg};
use crate::cli::client::Client;
use crate::cli::names::{self, query_value};
use crate::cli::output::{self, Output, Tone, Width, cell, toned};

pub async fn run(args: &JobListArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let filter = filter(args, client).await?;
    let jobs = listed(client, &filter, args.limit as usize).await?;
    if output.is_json() {
        output.json(&json!({ "jobs": jobs }));
        return Ok(());
    }
    if jobs.is_empty() && !filter.is_empty() {
        output.note("no job is like that; `jiggablend job list` shows all that you may see");
        return Ok(());
    }
    if jobs.is_empty() {
        output.note("there are no jobs yet; hand one in with `jiggablend job submit SCENE.blend`");
        return Ok(());
    }
    let mut table = output::table(&[
        ("id", Width::Fixed),
        ("name", Width::Flexible),
        ("state", Width::Fixed),
        ("done", Width::Fixed),
        ("owner", Width::Flexible),
        ("age", Width::Fixed),
        ("frames", Width::Flexible),
    ]);
    for job in jobs {
        let job: JobSummary = serde_json::from_value(job)
            .map_err(|error| CliError::Refused(format!("cannot understand a job: {error}")))?;
        table.add_row(vec![
            cell(id::short(job.id)),
            cell(&job.name),
            toned(state_word(job.state), tone(job.state)),
            cell(progress(&job)),
            cell(&job.owner.name),
            cell(output::age(job.created_at_ms)),
            cell(job.frames.as_deref().unwrap_or("-")),
        ]);
    }
    output.table(&table);
    Ok(())
}

/// What was asked for, as the API takes it.
async fn filter(args: &JobListArgs, client: &Client) -> Result<String, CliError> {
    let owner = match args.owner.as_deref() {
        None => None,
        Some(owner) => Some(owner_id(owner, client).await?),
    };
    let pairs = [
        (
            "state",
            args.state.map(|state| state_name(state).to_owned()),
        ),
        ("owner", owner),
        ("q", args.search.clone()),
        ("sort", args.sort.map(|sort| sort_name(sort).to_owned())),
    ];
    let pairs = pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    Ok(pairs
        .map(|(name, value)| format!("&{name}={}", query_value(&value)))
        .collect())
}

async fn owner_id(text: &str, client: &Client) -> Result<String, CliError> {
    let is_id = matches!(text, "me" | "all") || text.starts_with("node-");
    match is_id {
        true => Ok(text.to_owned()),
        false => Ok(names::person(client, text).await?.id.to_string()),
    }
}

fn state_name(state: JobStateArg) -> &'static str {
    match state {
        JobStateArg::AwaitingScene => "awaiting_scene",
        JobStateArg::Active => "active",
        JobStateArg::Done => "done",
        JobStateArg::Failed => "failed",
        JobStateArg::Cancelled => "cancelled",
    }
}

fn sort_name(sort: JobSortArg) -> &'static str {
    match sort {
        JobSortArg::Newest => "-created",
        JobSortArg::Oldest => "created",
        JobSortArg::Name => "name",
        JobSortArg::State => "state",
        JobSortArg::Finished => "finished",
    }
}

/// The jobs as the API gives them, page by page.
async fn listed(client: &Client, filter: &str, limit: usize) -> Result<Vec<Value>, CliError> {
    let mut jobs: Vec<Value> = Vec::new();
    let mut next = String::new();
    while jobs.len() < limit {
        let page_limit = (limit - jobs.len()).min(PAGE as usize);
        let path = format!("/api/jobs?limit={page_limit}{filter}{next}");
        let mut page: Value = client.get(&path).await?;
        if let Some(page_jobs) = page["jobs"].as_array_mut() {
            jobs.append(page_jobs);
        }
        match (page["next_cursor"].as_str(), page["next_before"].as_str()) {
            (Some(cursor), _) => next = format!("&cursor={}", query_value(cursor)),
            (None, Some(before)) => next = format!("&before={before}"),
            (None, None) => break,
        }
    }
    jobs.truncate(limit);
    Ok(jobs)
}

pub fn tone(state: JobState) -> Tone {
    match state {
        JobState::AwaitingScene => Tone::Plain,
        JobState::Active => Tone::Busy,
        JobState::Done => Tone::Good,
        JobState::Failed | JobState::Cancelled => Tone::Bad,
    }
}

/// `7/24`, and how many failed.
fn progress(job: &JobSummary) -> String {
    let counts = job.frame_counts;
    let total = counts.waiting
        + counts.pending
        + counts.leased
        + counts.done
        + counts.failed
        + counts.cancelled;
    match (total, counts.failed) {
        (0, _) => "-".to_owned(),
        (_, 0) => format!("{}/{total}", counts.done),
        (_, failed) => format!("{}/{total}, {failed} failed", counts.done),
    }
}
