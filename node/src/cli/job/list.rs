//! `job list`.

use jiggablend_raft::JobState;
use serde_json::{Value, json};

use super::{PAGE, id};
use crate::cli::CliError;
use crate::cli::api_types::{JobSummary, state_word};
use crate::cli::args::JobListArgs;
use crate::cli::client::Client;
use crate::cli::output::{self, Output, Tone, Width, cell, toned};

pub async fn run(args: &JobListArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let jobs = newest(client, args.limit as usize).await?;
    if output.is_json() {
        output.json(&json!({ "jobs": jobs }));
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

/// The newest jobs as the API gives them, page by page.
async fn newest(client: &Client, limit: usize) -> Result<Vec<Value>, CliError> {
    let mut jobs: Vec<Value> = Vec::new();
    let mut before = String::new();
    while jobs.len() < limit {
        let page_limit = (limit - jobs.len()).min(PAGE as usize);
        let mut page: Value = client
            .get(&format!("/api/jobs?limit={page_limit}{before}"))
            .await?;
        if let Some(page_jobs) = page["jobs"].as_array_mut() {
            jobs.append(page_jobs);
        }
        match page["next_before"].as_str() {
            Some(next) => before = format!("&before={next}"),
            None => break,
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
