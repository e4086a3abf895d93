//! `jiggablend job …`.

mod archive;
mod attempts;
mod download;
mod files;
mod id;
mod list;
mod log;
mod progress;
mod share;
mod show;
mod submit;
mod tasks;
mod upload;
mod view;
mod watch;

use jiggablend_raft::JobId;
use serde_json::Value;

use super::CliError;
use super::api_types::{JobList, JobSummary, Problem, state_word};
use super::args::{Group, JobCommand};
use super::client::Client;
use super::output::Output;

/// The most jobs that the API lists in one answer.
const PAGE: u32 = 500;

/// Does one `job` command.
pub async fn run(group: &Group<JobCommand>, output: &Output) -> Result<(), CliError> {
    let client = Client::connect(&group.client, output)?;
    let done = run_with(&group.command, &client, output).await;
    match group.command.job_name() {
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
    let job = match command.job_name() {
        Some(name) => find(client, name).await?,
        // Not asked for by what follows.
        None => JobId::default(),
    };
    match command {
        JobCommand::Submit(args) => submit::run(args, client, output).await,
        JobCommand::List(args) => list::run(args, client, output).await,
        JobCommand::Show(_) => show::run(job, client, output).await,
        JobCommand::Watch(_) => watch::run(job, client, output).await,
        JobCommand::Cancel(_) => cancel(job, client, output).await,
        JobCommand::Download(args) => match args.archive {
            Some(format) => archive::run(job, format, args.out.as_deref(), client, output).await,
            None => download::run(job, args, client, output).await,
        },
        JobCommand::Attempts(args) => attempts::run(job, args.task, client, output).await,
        JobCommand::Log(args) => log::run(job, args, client, output).await,
        JobCommand::Share(args) => share::share(job, args, client, output).await,
        JobCommand::Unshare(args) => share::unshare(job, &args.user, client, output).await,
        JobCommand::Shares(_) => share::list(job, client, output).await,
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

async fn cancel(job: JobId, client: &Client, output: &Output) -> Result<(), CliError> {
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
