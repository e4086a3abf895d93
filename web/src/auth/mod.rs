//! Signing in and out, and who one is.

mod limits;
mod passwords;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use axum_extra::extract::CookieJar;
use jiggablend_raft::{
    Action, Actor, Command, JobLog, ProposeError, Refusal, SecretHash, TimestampMs, UserId,
    UserRole, normalized_email,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub(crate) use limits::LoginLimits;
pub(crate) use passwords::Passwords;

use crate::access::{
    Caller, Credential, Identity, SESSION_LIFE, ended_cookie, new_secret, session_cookie,
};
use crate::app::App;
use crate::connections::Connection;
use crate::json::ApiJson;
use crate::problem::{Problem, ProblemKind};

#[derive(Serialize, ToSchema)]
pub(crate) struct Providers {
    local: bool,
    registration: &'static str,
}

/// How one can sign in at this farm.
#[utoipa::path(get, path = "/api/auth/providers", tag = "sign-in", responses((status = 200, body = Providers)))]
pub(crate) async fn providers(State(app): State<App>) -> Json<Providers> {
    Json(Providers {
        local: app.config.local_auth,
        registration: "closed",
    })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    email: String,
    password: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    user: UserView,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct UserView {
    id: String,
    email: Option<String>,
    role: UserRole,
    kind: &'static str,
}

impl UserView {
    fn of(identity: &Identity) -> Self {
        match identity {
            Identity::User { id, email, role } => Self {
                id: id.to_string(),
                email: Some(email.clone()),
                role: *role,
                kind: "user",
            },
            Identity::Operator(node) => Self {
                id: format!("node-{node}"),
                email: None,
                role: UserRole::Admin,
                kind: "operator",
            },
        }
    }
}

/// Who calls.
#[utoipa::path(get, path = "/api/auth/me", tag = "sign-in", responses((status = 200, body = Me)))]
pub(crate) async fn me(caller: Caller) -> Response {
    let user = UserView::of(&caller.identity);
    Json(Me { user }).into_response()
}

/// Signs in with a local account and sets the session cookie.
#[utoipa::path(post, path = "/api/auth/login", tag = "sign-in", request_body = Login, responses((status = 200, body = Me)))]
pub(crate) async fn login(
    State(app): State<App>,
    Extension(connection): Extension<Connection>,
    jar: CookieJar,
    old: Option<Extension<Caller>>,
    ApiJson(login): ApiJson<Login>,
) -> Result<Response, Problem> {
    if !app.config.local_auth {
        return Err(Problem::new(
            ProblemKind::NotAllowed,
            "local accounts are switched off on this node; start it with ENABLE_LOCAL_AUTH=true",
        ));
    }
    let email = normalized_email(&login.email);
    let address = connection.address;
    app.login_limits
        .attempt(&email, address)
        .map_err(|wait_seconds| {
            Problem::new(
                ProblemKind::TooManyAttempts,
                format!("too many attempts to sign in; try again in {wait_seconds} s"),
            )
            .retry_after_seconds(wait_seconds)
        })?;
    let user = app.log.read(|state| state.user_by_email(&email).cloned());
    let expected = user.as_ref().and_then(|user| user.password_hash.clone());
    let is_right = app.passwords.verify(login.password, expected).await?;
    let user = user.filter(|_| is_right).ok_or_else(|| {
        Problem::new(
            ProblemKind::WrongCredentials,
            "the e-mail address or the password is wrong",
        )
    })?;
    app.login_limits.succeeded(&email, address);

    let secret = new_secret();
    let actor = Actor::User(user.id);
    let created = Action::SessionCreated {
        session: SecretHash::of(secret.as_bytes()),
        user: user.id,
        expires_at: TimestampMs::now().plus(SESSION_LIFE),
        agent: String::new(),
    };
    app.propose(actor, created).await?;
    end_session(&app, old.as_deref()).await;

    let identity = Identity::User {
        id: user.id,
        email: user.email.unwrap_or_default(),
        role: user.role,
    };
    let user = UserView::of(&identity);
    let jar = jar.add(session_cookie(secret, connection.over_tls));
    Ok((jar, Json(Me { user })).into_response())
}

/// The session that the browser had before; that it stays until it expires is no failure of
/// the sign-in.
async fn end_session(app: &App, caller: Option<&Caller>) {
    let Some(caller) = caller else { return };
    if let Credential::Session(session) = caller.credential {
        let ended = app.propose(caller.actor(), Action::SessionEnded { session });
        if let Err(error) = ended.await {
            tracing::warn!(%error, "could not end the session before a new sign-in");
        }
    }
}

/// Ends the session on every node.
#[utoipa::path(post, path = "/api/auth/logout", tag = "sign-in", responses((status = 204, description = "Signed out")))]
pub(crate) async fn logout(
    State(app): State<App>,
    Extension(connection): Extension<Connection>,
    jar: CookieJar,
    caller: Caller,
) -> Result<Response, Problem> {
    if let Credential::Session(session) = caller.credential {
        app.propose(caller.actor(), Action::SessionEnded { session })
            .await?;
    }
    let jar = jar.add(ended_cookie(connection.over_tls));
    Ok((StatusCode::NO_CONTENT, jar).into_response())
}

/// Makes the test user of `LOCAL_TEST_EMAIL` and `LOCAL_TEST_PASSWORD` where no account has that
/// e-mail address. Called by the node when it has a leader. The farm's first account is an admin.
pub async fn ensure_test_user(
    log: &JobLog,
    email: &str,
    password: &str,
) -> Result<(), ProposeError> {
    let email = normalized_email(email);
    let (is_there, is_first) = log.read(|state| {
        let is_there = state.user_by_email(&email).is_some();
        (is_there, state.users.is_empty())
    });
    if is_there {
        return Ok(());
    }
    let password_hash = passwords::hash(password.to_owned()).await;
    let command = Command::new(
        Actor::Node(log.status().node),
        Action::UserCreated {
            user: UserId::new(),
            name: String::new(),
            email: Some(email),
            password_hash: Some(password_hash),
            identity: None,
            role: if is_first {
                UserRole::Admin
            } else {
                UserRole::Member
            },
        },
    );
    match log.propose(command).await {
        // Another node was first.
        Ok(_) | Err(ProposeError::Refused(Refusal::Conflict(_))) => Ok(()),
        Err(error) => Err(error),
    }
}
