//! Who may call what. Every route of the API states its [`Access`] in the route table, and
//! [`guard`] enforces it before the handler runs.

mod caller;
mod cookie;
mod cross_site;

use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use jiggablend_raft::{Job, JobId};

pub(crate) use caller::{Caller, Credential, Identity};
pub(crate) use cookie::{
    PLAIN_NAME as PLAIN_COOKIE, SESSION_LIFE, ended_cookie, new_secret, session_cookie,
};

use crate::app::App;
use crate::connections::Connection;
use crate::problem::{Problem, ProblemKind};
use crate::runners::RunnerCaller;

/// Who may call a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Public,
    /// Any account, and operators.
    SignedIn,
    /// Signed in, and not with an account that may only look.
    Member,
    /// May see the job that `{id}` in the path names. For others there is no such job.
    JobReader,
    /// May see that job, and not only look.
    JobManager,
    /// Admins, and whoever owns a node's machine.
    Admin,
    /// A runner that speaks only HTTP, by its own credential; it reaches nothing else.
    Runner,
}

/// The rule of one route, as the middleware's state.
#[derive(Clone)]
pub(crate) struct Rule {
    pub(crate) app: App,
    pub(crate) access: Access,
}

/// The job of the path, which the caller may see.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnedJob(pub(crate) JobId);

/// Lets the request through to the handler only where the route's rule allows it, and tells the
/// handler who calls.
pub(crate) async fn guard(
    State(rule): State<Rule>,
    params: RawPathParams,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if rule.access == Access::Runner {
        let runner = RunnerCaller::of_request(&rule.app, request.headers())?;
        request.extensions_mut().insert(runner);
        return Ok(next.run(request).await);
    }
    let caller = caller::of_request(&rule.app, request.headers());
    let has_token = caller.as_ref().is_some_and(Caller::has_token);
    if !request.method().is_safe() && !has_token {
        let connection = request.extensions().get::<Connection>();
        let host = connection.and_then(|connection| connection.host.as_deref());
        cross_site::refuse(request.headers(), host)?;
    }
    match (rule.access, caller) {
        (Access::Public, caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
        }
        (_, None) => return Err(Problem::not_signed_in()),
        (access, Some(caller)) => {
            check_role(access, &caller)?;
            if matches!(access, Access::JobReader | Access::JobManager) {
                let job = visible_job(&rule.app, &caller, &params)?;
                request.extensions_mut().insert(OwnedJob(job));
            }
            request.extensions_mut().insert(caller);
        }
    }
    Ok(next.run(request).await)
}

fn check_role(access: Access, caller: &Caller) -> Result<(), Problem> {
    match access {
        Access::Public | Access::SignedIn | Access::JobReader => Ok(()),
        Access::Member | Access::JobManager if caller.may_change() => Ok(()),
        Access::Member | Access::JobManager => Err(Problem::new(
            ProblemKind::NotAllowed,
            "this account may only look; ask an admin for the role of a member",
        )),
        Access::Admin if caller.sees_all() => Ok(()),
        Access::Runner => Err(Problem::not_signed_in()),
        Access::Admin => Err(Problem::new(
            ProblemKind::NotAllowed,
            "this is for admins; ask one, or use the command line on a node",
        )),
    }
}

fn visible_job(app: &App, caller: &Caller, params: &RawPathParams) -> Result<JobId, Problem> {
    let text = params
        .iter()
        .find_map(|(name, value)| (name == "id").then_some(value))
        .unwrap_or_default();
    let unknown = || Problem::unknown_job(text);
    let id: JobId = text.parse().map_err(|_| unknown())?;
    let is_visible = app.log.read(|state| {
        let job: Option<&Job> = state.jobs.get(&id);
        job.is_some_and(|job| caller.may_see(job))
    });
    if is_visible { Ok(id) } else { Err(unknown()) }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(Problem::not_signed_in)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OwnedJob {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        // Closed where a route forgot its rule.
        let job = parts.extensions.get::<Self>().copied();
        job.ok_or_else(|| Problem::unknown_job(""))
    }
}
