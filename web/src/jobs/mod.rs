//! Jobs: create, [`list()`], look, cancel; their [`frames`], [`attempts`] and [`logs`]; and with
//! whom they are shared ([`shares`]).

pub(crate) mod attempts;
pub(crate) mod frames;
mod list;
pub(crate) mod logs;
pub(crate) mod shares;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiggablend_raft::{Action, FrameList, JobId, JobSettings, ProposeError, Refusal};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(crate) use list::{__path_list, list};

use crate::access::{Caller, OwnedJob};
use crate::app::App;
use crate::json::ApiJson;
use crate::problem::{Problem, ProblemKind};
use crate::secrets::{IdempotencyHeader, IdempotencyKey, key_reused};
use crate::views::JobView;

const MAX_NAME_CHARS: usize = 200;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewJob {
    #[serde(default)]
    #[schema(max_length = 200, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    name: String,
    /// Ranges, ranges with a step, and single frames: `1-250`, `1-100x5`, `3,7,9`.
    #[schema(
        pattern = r"^ *-?[0-9]{1,6}( *- *-?[0-9]{1,6})?( *x *[1-9][0-9]{0,5})?( *, *-?[0-9]{1,6}( *- *-?[0-9]{1,6})?( *x *[1-9][0-9]{0,5})?)* *$",
        example = "1-24"
    )]
    frames: Option<String>,
    #[serde(default)]
    video: bool,
}

/// Creates a job, which waits for its scene file.
#[utoipa::path(
    post, path = "/api/jobs", tag = "jobs", request_body = NewJob, params(IdempotencyHeader),
    responses((status = 201, body = JobView, headers(("location" = String)))),
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    key: IdempotencyKey,
    ApiJson(new): ApiJson<NewJob>,
) -> Result<Response, Problem> {
    let name = checked_name(&new.name)?;
    let frames = new.frames.as_deref().map(parse_frames).transpose()?;
    let seed = key.seed(&app, &caller, "POST /api/jobs")?;
    let id: JobId = seed.id();
    let created = Action::JobCreated {
        job: id,
        name,
        owner: caller.owner(),
        settings: JobSettings {
            frames,
            video: new.video,
        },
    };
    match app.propose(&caller, created).await {
        Ok(_) => {}
        // Only this caller with this key can have made that id.
        Err(ProposeError::Refused(Refusal::Conflict(_))) => return Err(key_reused()),
        Err(error) => return Err(error.into()),
    }
    let job = look(&app, &caller, id)?;
    let location = format!("/api/jobs/{id}");
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], job).into_response())
}

/// A job may go without a name: then it is called after its scene file.
fn checked_name(name: &str) -> Result<String, Problem> {
    let name = name.trim();
    let invalid = |what: String| Err(Problem::new(ProblemKind::InvalidRequest, what));
    if name.chars().count() > MAX_NAME_CHARS {
        return invalid(format!(
            "name is longer than {MAX_NAME_CHARS} characters; shorten it"
        ));
    }
    if name.chars().any(char::is_control) {
        return invalid("name has control characters or line breaks; leave them out".to_owned());
    }
    Ok(name.to_owned())
}

fn parse_frames(text: &str) -> Result<FrameList, Problem> {
    text.parse()
        .map_err(|error| Problem::new(ProblemKind::BadFrames, format!("frames: {error}")))
}

/// The job as JSON, if the caller may see it.
fn look(app: &App, caller: &Caller, id: JobId) -> Result<Response, Problem> {
    let json = app.log.read(|state| {
        let job = state.jobs.get(&id).filter(|job| caller.may_see(job))?;
        let size = JOB_JSON_BYTES + TASK_JSON_BYTES * job.tasks.len();
        Some(json_of(&JobView::of(state, job), size))
    });
    json.ok_or_else(|| Problem::unknown_job(&id.to_string()))
}

/// About what a job takes without its tasks, and each task: a buffer of that size does not grow.
const JOB_JSON_BYTES: usize = 2048;
const TASK_JSON_BYTES: usize = 272;

fn json_of(view: &impl Serialize, size_bytes: usize) -> Response {
    let mut json = Vec::with_capacity(size_bytes);
    serde_json::to_writer(&mut json, view).expect("views are plain structures with text keys");
    let json_type = [(header::CONTENT_TYPE, "application/json")];
    (json_type, json).into_response()
}

/// A job and its tasks.
#[utoipa::path(
    get, path = "/api/jobs/{id}", tag = "jobs", params(("id" = JobId, Path)),
    responses((status = 200, body = JobView)),
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    OwnedJob(id): OwnedJob,
) -> Result<Response, Problem> {
    look(&app, &caller, id)
}

/// Cancels a job.
#[utoipa::path(
    delete, path = "/api/jobs/{id}", tag = "jobs", params(("id" = JobId, Path)),
    responses((status = 200, body = JobView)),
)]
pub(crate) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    OwnedJob(job): OwnedJob,
) -> Result<Response, Problem> {
    let is_over = || {
        Problem::new(
            ProblemKind::JobIsOver,
            format!("job {job} is over; nothing is left to cancel"),
        )
    };
    let is_final = |state: &jiggablend_raft::State| {
        let job = state.jobs.get(&job);
        job.is_some_and(|job| job.state.is_final())
    };
    if app.log.read(is_final) {
        return Err(is_over());
    }
    let cancelled = app.propose(&caller, Action::JobCancelled { job }).await;
    match cancelled {
        Ok(_) => look(&app, &caller, job),
        // It ended while the command was on its way.
        Err(ProposeError::Refused(Refusal::Conflict(_))) => Err(is_over()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_bounded() {
        assert_eq!(checked_name("  Küche  ").ok().as_deref(), Some("Küche"));
        assert_eq!(checked_name(" ").ok().as_deref(), Some(""));
        assert!(checked_name(&"x".repeat(201)).is_err());
        assert!(checked_name("a\u{7}b").is_err());
    }

    #[test]
    fn bad_frames_are_a_problem_of_their_own() {
        let problem = parse_frames("10-1").expect_err("reversed");
        assert_eq!(problem.kind(), ProblemKind::BadFrames);
        assert!(parse_frames("1-3,7").is_ok());
    }
}
