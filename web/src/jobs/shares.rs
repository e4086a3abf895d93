//! With whom a job is shared. Its owner and admins decide; those who may manage it see it.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiggablend_raft::{Action, JobId, ShareAccess, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::{Caller, OwnedJob};
use crate::app::App;
use crate::json::ApiJson;
use crate::path::ApiPath;
use crate::problem::Problem;

#[derive(Serialize, ToSchema)]
pub(crate) struct Shares {
    shares: Vec<Share>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Share {
    user: Sharer,
    access: ShareAccess,
}

#[derive(Serialize, ToSchema)]
struct Sharer {
    id: UserId,
    name: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewShare {
    access: ShareAccess,
}

/// Who else may see the job.
#[utoipa::path(
    get, path = "/api/jobs/{id}/shares", tag = "jobs", params(("id" = JobId, Path)),
    responses((status = 200, body = Shares)),
)]
pub(crate) async fn shares(
    State(app): State<App>,
    OwnedJob(job): OwnedJob,
) -> Result<Json<Shares>, Problem> {
    look(&app, job)
}

/// Lets somebody see the job, or manage it.
#[utoipa::path(
    put, path = "/api/jobs/{id}/shares/{user}", tag = "jobs",
    params(("id" = JobId, Path), ("user" = UserId, Path)), request_body = NewShare,
    responses((status = 200, body = Shares)),
)]
pub(crate) async fn share(
    State(app): State<App>,
    caller: Caller,
    OwnedJob(job): OwnedJob,
    ApiPath((_, user)): ApiPath<(String, UserId)>,
    ApiJson(NewShare { access }): ApiJson<NewShare>,
) -> Result<Json<Shares>, Problem> {
    let shared = Action::JobShared { job, user, access };
    app.propose(&caller, shared).await?;
    look(&app, job)
}

/// Shares the job with somebody no more.
#[utoipa::path(
    delete, path = "/api/jobs/{id}/shares/{user}", tag = "jobs",
    params(("id" = JobId, Path), ("user" = UserId, Path)),
    responses((status = 204)),
)]
pub(crate) async fn unshare(
    State(app): State<App>,
    caller: Caller,
    OwnedJob(job): OwnedJob,
    ApiPath((_, user)): ApiPath<(String, UserId)>,
) -> Result<StatusCode, Problem> {
    app.propose(&caller, Action::JobUnshared { job, user })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

fn look(app: &App, job: JobId) -> Result<Json<Shares>, Problem> {
    let shares = app.log.read(|state| {
        let shares = state.jobs.get(&job)?.shares.iter();
        let shares = shares.map(|(id, access)| Share {
            user: Sharer {
                id: *id,
                name: state
                    .users
                    .get(id)
                    .map_or_else(|| "a former user".to_owned(), |user| user.name.clone()),
            },
            access: *access,
        });
        Some(Shares {
            shares: shares.collect(),
        })
    });
    shares
        .map(Json)
        .ok_or_else(|| Problem::unknown_job(&job.to_string()))
}
