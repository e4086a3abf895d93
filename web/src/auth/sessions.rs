//! Sessions: each sign-in of a browser begins one.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use axum_extra::extract::CookieJar;
use axum_extra::extract::cookie::Cookie;
use jiggablend_raft::{Action, Actor, ProposeError, SecretHash, Session, TimestampMs, UserId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::{Caller, Credential, SESSION_LIFE, ended_cookie, new_secret, session_cookie};
use crate::app::App;
use crate::connections::Connection;
use crate::path::ApiPath;
use crate::problem::{Problem, ProblemKind};

/// Begins a session under a new id, which no earlier page of the browser knows, and ends the one
/// that it had.
pub(super) async fn begin(
    app: &App,
    user: UserId,
    connection: &Connection,
    headers: &HeaderMap,
    old: Option<&Caller>,
) -> Result<(Caller, Cookie<'static>), Problem> {
    let secret = new_secret();
    let session = SecretHash::of(secret.as_bytes());
    let agent = headers.get(header::USER_AGENT);
    let agent = agent.and_then(|agent| agent.to_str().ok());
    let created = Action::SessionCreated {
        session,
        user,
        expires_at: TimestampMs::now().plus(SESSION_LIFE),
        agent: agent.unwrap_or_default().to_owned(),
    };
    app.propose_from(Actor::User(user), connection.address, created)
        .await?;
    if let Some(old) = old
        && let Err(error) = end_session_of(app, old).await
    {
        // That it stays until it expires is no failure of the sign-in.
        tracing::warn!(%error, "could not end the session before a new sign-in");
    }
    let credential = Credential::Session(session);
    let caller = app
        .log
        .read(|state| Caller::of_credential(state, &credential, connection.address))
        .ok_or_else(Problem::not_signed_in)?;
    Ok((caller, session_cookie(secret, connection.over_tls)))
}

async fn end_session_of(app: &App, caller: &Caller) -> Result<(), ProposeError> {
    if let Credential::Session(session) = caller.credential {
        app.propose(caller, Action::SessionEnded { session })
            .await?;
    }
    Ok(())
}

/// Ends the session on every node. A token is revoked instead.
#[utoipa::path(
    post, path = "/api/auth/logout", tag = "sign-in",
    responses((status = 204, description = "Signed out")),
)]
pub(crate) async fn logout(
    State(app): State<App>,
    Extension(connection): Extension<Connection>,
    jar: CookieJar,
    caller: Caller,
) -> Result<Response, Problem> {
    let Credential::Session(_) = caller.credential else {
        let why = "this is a token, which has no session to end; revoke an API token with DELETE /api/tokens/{id}";
        return Err(Problem::new(ProblemKind::NotAllowed, why));
    };
    end_session_of(&app, &caller).await?;
    let jar = jar.add(ended_cookie(connection.over_tls));
    Ok((StatusCode::NO_CONTENT, jar).into_response())
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Sessions {
    sessions: Vec<SessionView>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct SessionView {
    /// Names the session in the routes, and is no secret.
    id: String,
    is_this_one: bool,
    created_at_ms: TimestampMs,
    expires_at_ms: TimestampMs,
    /// The address that it was begun from.
    from: Option<String>,
    /// What the browser calls itself.
    agent: String,
}

/// The beginning of its secret's hash.
fn id_of(hash: SecretHash) -> String {
    hash.to_string().chars().take(16).collect()
}

/// One's own sessions, the newest first.
#[utoipa::path(
    get, path = "/api/auth/sessions", tag = "sessions", responses((status = 200, body = Sessions)),
)]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Json<Sessions> {
    let now = TimestampMs::now();
    let mut sessions = app.log.read(|state| -> Vec<Session> {
        let own = caller.user().map(|user| state.sessions_of(user));
        own.into_iter()
            .flatten()
            .filter(|session| session.expires_at > now)
            .cloned()
            .collect()
    });
    sessions.sort_by_key(|session| std::cmp::Reverse(session.created_at));
    let view = |session: Session| SessionView {
        id: id_of(session.hash),
        is_this_one: caller.credential == Credential::Session(session.hash),
        created_at_ms: session.created_at,
        expires_at_ms: session.expires_at,
        from: session.from.map(|address| address.to_string()),
        agent: session.agent,
    };
    Json(Sessions {
        sessions: sessions.into_iter().map(view).collect(),
    })
}

/// Ends one of one's own sessions, on every node.
#[utoipa::path(
    delete, path = "/api/auth/sessions/{session}", tag = "sessions",
    params(("session" = String, Path)),
    responses((status = 204, description = "The session is over")),
)]
pub(crate) async fn end(
    State(app): State<App>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> Result<StatusCode, Problem> {
    let session = app.log.read(|state| {
        let mut sessions = state.sessions.values();
        let found = sessions
            .find(|session| Some(session.user) == caller.user() && id_of(session.hash) == id);
        found.map(|session| session.hash)
    });
    let session = session.ok_or_else(|| {
        let why = "you have no such session; GET /api/auth/sessions lists them";
        Problem::new(ProblemKind::NotFound, why)
    })?;
    app.propose(&caller, Action::SessionEnded { session })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends all of one's own sessions but the one that asks for it.
#[utoipa::path(
    delete, path = "/api/auth/sessions", tag = "sessions",
    responses((status = 204, description = "The others are over")),
)]
pub(crate) async fn end_others(
    State(app): State<App>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    let user = caller.user().ok_or_else(Problem::not_signed_in)?;
    let except = match caller.credential {
        Credential::Session(session) => Some(session),
        Credential::ApiToken { .. } | Credential::NodeToken(_) => None,
    };
    app.propose(&caller, Action::SessionsEnded { user, except })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
