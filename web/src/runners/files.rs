//! What a runner needs for its tasks: the scene of a frame, the frames of an encode.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use jiggablend_raft::{File, JobId};

use super::caller::RunnerCaller;
use super::leases;
use crate::app::App;
use crate::files::{DownloadHeaders, StillAllowed, send};
use crate::problem::{Problem, ProblemKind};

/// A file that one of the runner's leases needs, or a range of it.
#[utoipa::path(
    get, path = "/api/runner/files/{jobId}/{fileName}", tag = "runner",
    params(
        ("jobId" = String, Path),
        ("fileName" = String, Path, description = "The file's name, or its `content`"),
        DownloadHeaders,
    ),
    responses(
        (status = 200, content_type = "application/octet-stream", description = "The file, in its own media type"),
        (status = 206, content_type = "application/octet-stream", description = "The range that was asked for"),
        (status = 304, description = "The client has it"),
    ),
)]
pub(crate) async fn download(
    State(app): State<App>,
    runner: RunnerCaller,
    Path((job, name)): Path<(String, String)>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let file = match find(&app, runner, &job, &name)? {
        Some(file) => file,
        None => {
            // This node may be behind.
            app.log.read_barrier().await?;
            find(&app, runner, &job, &name)?.ok_or_else(unknown)?
        }
    };
    let right = still_leased(&app, runner, job, name);
    send(&app, &file, false, &method, &headers, right).await
}

fn find(app: &App, runner: RunnerCaller, job: &str, name: &str) -> Result<Option<File>, Problem> {
    let job: JobId = job.parse().map_err(|_| unknown())?;
    let (leases, _) = runner.standing(app)?;
    Ok(app
        .log
        .read(|state| leases::readable_file(state, runner.0, &leases, job, name).cloned()))
}

/// True for as long as one of the runner's leases needs the file.
fn still_leased(app: &App, runner: RunnerCaller, job: String, name: String) -> StillAllowed {
    let app = app.clone();
    Box::new(move || matches!(find(&app, runner, &job, &name), Ok(Some(_))))
}

/// The same for what is not there and for what no lease of the runner needs.
fn unknown() -> Problem {
    Problem::new(
        ProblemKind::UnknownFile,
        "no task that this runner has a lease for needs such a file; take the url of a task of GET /api/runner/tasks",
    )
}
