//! What admins see of all runners, and the tokens with which runners that speak only HTTP come in.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiggablend_raft::{
    Action, Reach, RegistrationToken, RegistrationTokenId, SecretHash, TimestampMs,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::shared::{checked_name, invalid};
use crate::access::Caller;
use crate::app::App;
use crate::json::ApiJson;
use crate::problem::{Problem, ProblemKind};
use crate::secrets::{IdempotencyHeader, IdempotencyKey, key_reused};
use crate::views::{NodeView, Nodes};

/// What every registration token begins with.
const TOKEN_PREFIX: &str = "jbg_";
const MAX_NAME_CHARS: usize = 100;
const DEFAULT_TTL_SECONDS: u64 = 24 * 60 * 60;
const TTL_SECONDS: std::ops::RangeInclusive<u64> = 60..=365 * 24 * 60 * 60;

#[derive(Serialize, ToSchema)]
pub(crate) struct RunnerList {
    runners: Vec<RunnerView>,
}

/// A runner: what it can, whether it is there, and what it works on.
#[derive(Serialize, ToSchema)]
struct RunnerView {
    #[serde(flatten)]
    node: NodeView,
    /// `mesh`, or `http` where it calls any node over HTTP.
    reach: &'static str,
    /// `working`, `idle`, `unable` (it has no Blender and no ffmpeg), `away`.
    state: &'static str,
    /// When this node last heard that it is there; null where it has not since it started.
    last_heard_at_ms: Option<TimestampMs>,
    /// The registration token that let it in.
    registered_with: Option<RegistrationTokenId>,
}

/// All runners, of the mesh and over HTTP. Removing one is `DELETE /api/nodes/{node}`.
#[utoipa::path(get, path = "/api/admin/runners", tag = "runners", responses((status = 200, body = RunnerList)))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Json<RunnerList> {
    let nodes = Nodes::new(app.log.status(), &app.live);
    let runners = app.log.read(|state| {
        let members = state.members().filter(|node| node.roles.runner);
        members
            .map(|node| {
                let view = nodes.view(state, node, &caller);
                let can_work =
                    node.runner.blender_version.is_some() || node.runner.ffmpeg.is_some();
                RunnerView {
                    reach: match node.reach {
                        Reach::Mesh { .. } => "mesh",
                        Reach::Http { .. } => "http",
                    },
                    state: match view.is_connected() {
                        false => "away",
                        true if view.is_working() => "working",
                        true if can_work => "idle",
                        true => "unable",
                    },
                    last_heard_at_ms: match view.is_connected() {
                        true => Some(TimestampMs::now()),
                        false => app.live.last_connected(node.id),
                    },
                    registered_with: match node.reach {
                        Reach::Mesh { .. } => None,
                        Reach::Http {
                            registered_with, ..
                        } => Some(registered_with),
                    },
                    node: view,
                }
            })
            .collect()
    });
    Json(RunnerList { runners })
}

#[derive(Serialize, ToSchema)]
#[schema(as = RunnerTokens)]
pub(crate) struct TokenList {
    registration_tokens: Vec<TokenView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RunnerToken)]
struct TokenView {
    id: RegistrationTokenId,
    name: String,
    reusable: bool,
    created_at_ms: TimestampMs,
    /// Null: until it is revoked.
    expires_at_ms: Option<TimestampMs>,
    /// Runners that registered with it.
    used: u32,
}

impl TokenView {
    fn of(token: &RegistrationToken) -> Self {
        Self {
            id: token.id,
            name: token.name.clone(),
            reusable: token.reusable,
            created_at_ms: token.created_at,
            expires_at_ms: token.expires_at,
            used: token.used,
        }
    }
}

/// The registration tokens; not their secrets, which nobody has.
#[utoipa::path(
    get, path = "/api/admin/registration-tokens", tag = "runners",
    responses((status = 200, body = TokenList)),
)]
pub(crate) async fn list_tokens(State(app): State<App>) -> Json<TokenList> {
    let registration_tokens = app.log.read(|state| {
        let tokens = state.registration_tokens.values();
        tokens.map(TokenView::of).collect()
    });
    Json(TokenList {
        registration_tokens,
    })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewRunnerToken)]
pub(crate) struct NewToken {
    /// What it is for, for people.
    #[schema(
        max_length = 100,
        pattern = r"^[^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*$"
    )]
    name: String,
    /// How long runners may register with it: from a minute to a year; a day where it is left out.
    #[schema(minimum = 60, maximum = 31_536_000)]
    ttl_seconds: Option<u64>,
    /// Lets many runners in, not only one.
    #[serde(default)]
    reusable: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = CreatedRunnerToken)]
pub(crate) struct CreatedToken {
    /// `jbg_…`; it is shown once.
    token: String,
    #[serde(flatten)]
    view: TokenView,
}

/// Makes a token with which a runner registers.
#[utoipa::path(
    post, path = "/api/admin/registration-tokens", tag = "runners", request_body = NewToken,
    params(IdempotencyHeader),
    responses((status = 201, body = CreatedToken)),
)]
pub(crate) async fn create_token(
    State(app): State<App>,
    caller: Caller,
    key: IdempotencyKey,
    ApiJson(new): ApiJson<NewToken>,
) -> Result<(StatusCode, Json<CreatedToken>), Problem> {
    let name = checked_name(&new.name, "say what the token is for", MAX_NAME_CHARS)?;
    let ttl_seconds = new.ttl_seconds.unwrap_or(DEFAULT_TTL_SECONDS);
    if !TTL_SECONDS.contains(&ttl_seconds) {
        return Err(invalid(format!(
            "ttl_seconds is {ttl_seconds}; it must be from {} to {}",
            TTL_SECONDS.start(),
            TTL_SECONDS.end()
        )));
    }
    let seed = key.seed(&app, &caller, "POST /api/admin/registration-tokens")?;
    let id: RegistrationTokenId = seed.id();
    let token = seed.secret(TOKEN_PREFIX);
    let expires_at = TimestampMs::now().plus(Duration::from_secs(ttl_seconds));
    let created = Action::RegistrationTokenCreated {
        token: id,
        hash: SecretHash::of(token.as_bytes()),
        name: name.clone(),
        expires_at: Some(expires_at),
        reusable: new.reusable,
    };
    app.propose(&caller, created).await?;
    let view = app.log.read(|state| {
        let token = state.registration_tokens.get(&id);
        token.map(TokenView::of)
    });
    let is_same = |view: &TokenView| view.name == name && view.reusable == new.reusable;
    let view = view.filter(is_same).ok_or_else(key_reused)?;
    Ok((StatusCode::CREATED, Json(CreatedToken { token, view })))
}

/// Lets nobody in with it any more. Runners that registered with it stay.
#[utoipa::path(
    delete, path = "/api/admin/registration-tokens/{token}", tag = "runners",
    params(("token" = String, Path, description = "Its id")),
    responses((status = 204, description = "Revoked")),
)]
pub(crate) async fn revoke_token(
    State(app): State<App>,
    caller: Caller,
    Path(token): Path<String>,
) -> Result<StatusCode, Problem> {
    let token: RegistrationTokenId = token.parse().map_err(|_| unknown_token())?;
    let is_known = app
        .log
        .read(|state| state.registration_tokens.contains_key(&token));
    if !is_known {
        return Err(unknown_token());
    }
    let revoked = Action::RegistrationTokenRevoked { token };
    app.propose(&caller, revoked).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn unknown_token() -> Problem {
    Problem::new(
        ProblemKind::UnknownRegistrationToken,
        "there is no such registration token; GET /api/admin/registration-tokens lists them",
    )
}
