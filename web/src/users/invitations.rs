//! Invitations: secrets with which somebody makes an account of their own.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiggablend_raft::{
    Action, Invitation, InvitationId, SecretHash, TimestampMs, UserId, UserRole,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Caller;
use crate::app::App;
use crate::auth::checked_email;
use crate::json::ApiJson;
use crate::path::ApiPath;
use crate::problem::{Problem, ProblemKind};
use crate::secrets::{IdempotencyHeader, IdempotencyKey, key_reused};

const PREFIX: &str = "jbi_";
const DEFAULT_TTL_SECONDS: u64 = 7 * 24 * 60 * 60;
const MAX_TTL_SECONDS: u64 = 90 * 24 * 60 * 60;

#[derive(Serialize, ToSchema)]
pub(crate) struct Invitations {
    invitations: Vec<InvitationView>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct InvitationView {
    id: InvitationId,
    /// The new account's.
    role: UserRole,
    /// Only for the account with that address.
    email: Option<String>,
    reusable: bool,
    created_at_ms: TimestampMs,
    expires_at_ms: TimestampMs,
    used_by: Vec<UserId>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct NewInvitationView {
    /// `jbi_…`, shown this once.
    invitation: String,
    /// The page's address with the invitation in it.
    link: String,
    #[serde(flatten)]
    view: InvitationView,
}

impl InvitationView {
    fn of(invitation: &Invitation) -> Self {
        Self {
            id: invitation.id,
            role: invitation.role,
            email: invitation.email.clone(),
            reusable: invitation.reusable,
            created_at_ms: invitation.created_at,
            expires_at_ms: invitation.expires_at,
            used_by: invitation.used_by.clone(),
        }
    }
}

/// Invitations that have not expired, the newest first.
#[utoipa::path(
    get, path = "/api/invitations", tag = "invitations", responses((status = 200, body = Invitations)),
)]
pub(crate) async fn list(State(app): State<App>) -> Json<Invitations> {
    let now = TimestampMs::now();
    let invitations = app.log.read(|state| {
        let known = state.invitations.values().rev();
        known
            .filter(|invitation| invitation.expires_at > now)
            .map(InvitationView::of)
            .collect()
    });
    Json(Invitations { invitations })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewInvitation {
    #[serde(default)]
    #[schema(default = "member")]
    role: UserRole,
    #[schema(
        max_length = 254,
        pattern = r"^[^@\s\x00-\x1F\x7F-\x9F]+@[^@\s\x00-\x1F\x7F-\x9F]+$"
    )]
    email: Option<String>,
    #[schema(minimum = 1, maximum = 7_776_000, default = 604_800)]
    ttl_seconds: Option<u64>,
    /// For more than one account.
    #[serde(default)]
    reusable: bool,
}

/// Makes an invitation.
#[utoipa::path(
    post, path = "/api/invitations", tag = "invitations", request_body = NewInvitation,
    params(IdempotencyHeader),
    responses((status = 201, body = NewInvitationView)),
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    key: IdempotencyKey,
    ApiJson(new): ApiJson<NewInvitation>,
) -> Result<(StatusCode, Json<NewInvitationView>), Problem> {
    let email = new.email.as_deref().map(checked_email).transpose()?;
    let ttl_seconds = new.ttl_seconds.unwrap_or(DEFAULT_TTL_SECONDS);
    if !(1..=MAX_TTL_SECONDS).contains(&ttl_seconds) {
        let why = format!("ttl_seconds must be from 1 to {MAX_TTL_SECONDS}, which is 90 days");
        return Err(Problem::new(ProblemKind::InvalidRequest, why));
    }
    let seed = key.seed(&app, &caller, "POST /api/invitations")?;
    let invitation = seed.secret(PREFIX);
    let id: InvitationId = seed.id();
    let created = Action::InvitationCreated {
        invitation: id,
        hash: SecretHash::of(invitation.as_bytes()),
        role: new.role,
        email: email.clone(),
        expires_at: TimestampMs::now().plus(Duration::from_secs(ttl_seconds)),
        reusable: new.reusable,
    };
    app.propose(&caller, created).await?;
    let made = app.log.read(|state| state.invitations.get(&id).cloned());
    let is_same = |made: &Invitation| {
        made.role == new.role && made.email == email && made.reusable == new.reusable
    };
    let made = made.filter(is_same).ok_or_else(key_reused)?;
    let link = format!("{}/#/register?invitation={invitation}", app.public_url());
    let view = InvitationView::of(&made);
    let view = NewInvitationView {
        invitation,
        link,
        view,
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Revokes an invitation. Accounts that were made with it stay.
#[utoipa::path(
    delete, path = "/api/invitations/{invitation}", tag = "invitations",
    params(("invitation" = InvitationId, Path)),
    responses((status = 204, description = "It is good no longer")),
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    ApiPath(invitation): ApiPath<InvitationId>,
) -> Result<StatusCode, Problem> {
    let is_there = |state: &jiggablend_raft::State| state.invitations.contains_key(&invitation);
    if !app.log.read(is_there) {
        let why = "there is no such invitation; GET /api/invitations lists them";
        return Err(Problem::new(ProblemKind::NotFound, why));
    }
    app.propose(&caller, Action::InvitationRevoked { invitation })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
