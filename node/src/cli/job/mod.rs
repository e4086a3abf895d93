//! `jiggablend job …`.

mod download;
mod files;
mod id;
mod list;
mod progress;
mod show;
mod submit;
mod view;
mod watch;

use jiggablend_raft::JobId;
use serde_json::Value;

use super::CliError;
use super::api_types::{JobList, JobSummary, Problem, state_word};
use super::args::{JobCancelArgs, JobCommand};
use super::client::Client;
use super::output::Output;

/// The most jobs that the API lists in one answer.
const PAGE: u32 = 500;

/// Does one `job` command.
pub async fn run(command: &JobCommand, output: &Output) -> Result<(), CliError> {
    let client = Client::connect(command.client_options(), output)?;
    let done = run_with(command, &client, output).await;
    match command.job_name() {
        Some(name) => done.map_err(|error| in_our_words(error, name)),
        None => done,
    }
}

/// The API's word for an unknown job names one of its routes; people have a command for it.
fn in_our_words(error: CliError, name: &str) -> CliError {
    match error {
        CliError::Problem(problem) if problem.name() == "unknown-job" => {
            let detail = format!("there is no job '{name}'; `jiggablend job list` shows yours");
            CliError::Problem(Problem { detail, ..problem })
        }
        other => other,
    }
}

async fn run_with(command: &JobCommand, client: &Client, output: &Output) -> Result<(), CliError> {
    match command {
        JobCommand::Submit(submit) => submit::run(submit, client, output).await,
        JobCommand::List(list) => list::run(list, client, output).await,
        JobCommand::Show(show) => {
            let job = find(client, &show.job.job).await?;
            show::run(job, client, output).await
        }
        JobCommand::Watch(watch) => {
            let job = find(client, &watch.job.job).await?;
            watch::run(job, client, output).await
        }
        JobCommand::Cancel(cancel) => self::cancel(cancel, client, output).await,
        JobCommand::Download(download) => {
            let job = find(client, &download.job.job).await?;
            download::run(job, download, client, output).await
        }
    }
}

/// The API's path of a job.
fn path_of(job: JobId) -> String {
    format!("/api/jobs/{job}")
}

/// The job that a whole id, a part of one or `last` means.
async fn find(client: &Client, text: &str) -> Result<JobId, CliError> {
    if let Some(whole) = id::whole(text) {
        return Ok(whole);
    }
    let recent: JobList = client.get(&format!("/api/jobs?limit={PAGE}")).await?;
    let has_more = recent.next_before.is_some();
    id::resolve(text, &recent.jobs, has_more).map_err(CliError::Refused)
}

async fn cancel(args: &JobCancelArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let job = find(client, &args.job.job).await?;
    let answer: Value = match client.delete(&path_of(job)).await {
        // It may be our own doing: the answer to an earlier attempt was lost.
        Err(CliError::Problem(problem)) if problem.name() == "job-is-over" => {
            let over: Value = client.get_existing(&path_of(job)).await?;
            match over["state"] == "cancelled" {
                true => over,
                false => return Err(CliError::Problem(problem)),
            }
        }
        answer => answer?,
    };
    if output.is_json() {
        output.json(&answer);
        return Ok(());
    }
    let summary: JobSummary = serde_json::from_value(answer)
        .map_err(|error| CliError::Refused(format!("cannot understand the job: {error}")))?;
    output.line(&format!(
        "job {} ({}) is {}",
        id::short(job),
        summary.name,
        state_word(summary.state)
    ));
    Ok(())
}
