//! Who may call what. Every route of the API states its [`Access`] in the route table, and
//! [`guard`] enforces it before the handler runs.

mod caller;
mod cookie;
mod cross_site;
mod in_touch;

use axum::Extension;
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::header;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use jiggablend_raft::{Job, JobId, Scope, State as FarmState, TimestampMs};

pub(crate) use caller::{API_TOKEN_PREFIX, Caller, Credential, Identity};
pub(crate) use cookie::{
    PLAIN_NAME as PLAIN_COOKIE, SESSION_LIFE, ended_cookie, new_secret, new_secret_bytes,
    session_cookie,
};
pub(crate) use cross_site::refuse as refuse_cross_site;
pub(crate) use in_touch::{InTouch, see_what_was_written_elsewhere};

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
    /// Any account, for what is its own: tokens, sessions, password, identities.
    Account,
    /// Signed in, and not with an account that may only look.
    Member,
    /// May see the job that `{id}` in the path names. For others there is no such job.
    JobReader,
    /// May see that job and manage it: its owner, whoever it is shared with to manage, admins.
    JobManager,
    /// Its owner, and admins.
    JobOwner,
    /// Admins, and whoever owns a node's machine.
    Admin,
    /// The same, and what they made a token for.
    Metrics,
    /// A runner that speaks only HTTP, by its own credential; it reaches nothing else.
    Runner,
}

impl Access {
    /// What an API token must be good for.
    fn scope(self, changes: bool) -> Option<Scope> {
        match self {
            Self::Public | Self::Metrics | Self::Runner => None,
            Self::Account | Self::Admin => Some(Scope::Admin),
            _ if changes => Some(Scope::Jobs),
            _ => Some(Scope::Read),
        }
    }
}

/// The rule of one route, as the middleware's state.
#[derive(Clone)]
pub(crate) struct Rule {
    pub(crate) app: App,
    pub(crate) access: Access,
    /// Whether the route changes something; its method alone does not tell.
    pub(crate) changes: bool,
}

/// The job of the path, with which the caller may do what the route does.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnedJob(pub(crate) JobId);

/// Lets the request through to the handler only where the route's rule allows it, and tells the
/// handler who calls.
pub(crate) async fn guard(
    State(rule): State<Rule>,
    Extension(connection): Extension<Connection>,
    params: RawPathParams,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    if rule.access == Access::Runner {
        let runner = RunnerCaller::of_request(&rule.app, request.headers())?;
        let log = &rule.app.log;
        log.read(|state| rule.app.in_touch.check(state))?;
        request.extensions_mut().insert(runner);
        return Ok(next.run(request).await);
    }
    let headers = request.headers();
    let caller = caller::of_request(&rule.app, headers, &connection);
    let has_token = caller.as_ref().is_some_and(Caller::has_token);
    // A connection that is upgraded can do anything afterwards.
    if (rule.changes || headers.contains_key(header::UPGRADE)) && !has_token {
        cross_site::refuse(headers, connection.host.as_deref())?;
    }
    if rule.access == Access::Public {
        if let Some(caller) = caller {
            request.extensions_mut().insert(caller);
        }
        return Ok(next.run(request).await);
    }
    let caller = caller.ok_or_else(Problem::not_signed_in)?;
    let log = &rule.app.log;
    log.read(|state| rule.app.in_touch.check_for(&caller, state))?;
    check_caller(rule.access, rule.changes, &caller)?;
    if let Some(job) = job_of_path(&rule, &caller, &params)? {
        request.extensions_mut().insert(OwnedJob(job));
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

/// Checks anew what the guard let through, for what goes on long after it: the session may have
/// ended meanwhile, or the token, the account, its role or the share.
pub(crate) fn check_again(
    app: &App,
    caller: &Caller,
    access: Access,
    changes: bool,
    job: JobId,
) -> Result<(), Problem> {
    let now = TimestampMs::now();
    app.log.read(|state| {
        let caller = caller.again(state, now);
        let caller = caller.ok_or_else(Problem::not_signed_in)?;
        app.in_touch.check_for(&caller, state)?;
        check_caller(access, changes, &caller)?;
        check_job(state, access, &caller, job)
    })
}

/// Whether such a caller may call such a route at all.
fn check_caller(access: Access, changes: bool, caller: &Caller) -> Result<(), Problem> {
    let refused = |why: &str| Err(Problem::new(ProblemKind::NotAllowed, why));
    if let Some(scope) = access.scope(changes)
        && !caller.has_scope(scope)
    {
        let needed = match scope {
            Scope::Read => "read",
            Scope::Jobs => "jobs",
            Scope::Admin => "admin",
            Scope::Metrics => "metrics",
        };
        let why = format!("this token has not the scope '{needed}'; make one that has");
        return Err(Problem::new(ProblemKind::NotAllowed, why));
    }
    match access {
        Access::Member | Access::JobManager | Access::JobOwner if !caller.may_change() => {
            refused("this account may only look; ask an admin for the role of a member")
        }
        Access::Admin if !caller.is_admin() => {
            refused("this is for admins; ask one, or use the command line on a node")
        }
        Access::Metrics if !caller.may_read_metrics() => {
            refused("this is for admins, and for tokens of theirs with the scope 'metrics'")
        }
        Access::Account if caller.user().is_none() => {
            refused("a node's operator has no account of its own; sign in as a user")
        }
        Access::Runner => Err(Problem::not_signed_in()),
        _ => Ok(()),
    }
}

/// The job of the path where the rule is about one, and the caller may do with it what the rule
/// says.
fn job_of_path(
    rule: &Rule,
    caller: &Caller,
    params: &RawPathParams,
) -> Result<Option<JobId>, Problem> {
    let is_about_job = matches!(
        rule.access,
        Access::JobReader | Access::JobManager | Access::JobOwner
    );
    if !is_about_job {
        return Ok(None);
    }
    let text = params
        .iter()
        .find_map(|(name, value)| (name == "id").then_some(value))
        .unwrap_or_default();
    let id: JobId = text.parse().map_err(|_| Problem::unknown_job(text))?;
    let checking = |state: &FarmState| check_job(state, rule.access, caller, id);
    rule.app.log.read(checking).map(|()| Some(id))
}

/// Who may not see the job learns nothing of it.
fn check_job(state: &FarmState, access: Access, caller: &Caller, id: JobId) -> Result<(), Problem> {
    let job: Option<&Job> = state.jobs.get(&id);
    let job = job.filter(|job| caller.may_see(job));
    let job = job.ok_or_else(|| Problem::unknown_job(&id.to_string()))?;
    let may = match access {
        Access::JobManager => caller.may_manage(job),
        Access::JobOwner => caller.may_own(job),
        _ => true,
    };
    if may {
        return Ok(());
    }
    let why = "this job is shared with you, but not for this; ask its owner";
    Err(Problem::new(ProblemKind::NotAllowed, why))
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
