//! API tokens: what programs sign in with.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiggablend_raft::{Action, ApiToken, Scope, SecretHash, TimestampMs, TokenId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::{API_TOKEN_PREFIX, Caller, Credential};
use crate::app::App;
use crate::auth::checked_name;
use crate::json::ApiJson;
use crate::path::ApiPath;
use crate::problem::{Problem, ProblemKind};
use crate::secrets::{IdempotencyHeader, IdempotencyKey, key_reused};

const MAX_TTL_SECONDS: u64 = 10 * 366 * 24 * 60 * 60;
/// A retry says the same time to live at another time.
const SAME_EXPIRY_WITHIN_MS: u64 = 10 * 60 * 1000;

#[derive(Serialize, ToSchema)]
pub(crate) struct Tokens {
    tokens: Vec<ApiTokenView>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ApiTokenView {
    id: TokenId,
    name: String,
    scopes: Vec<Scope>,
    created_at_ms: TimestampMs,
    /// Null: until it is revoked.
    expires_at_ms: Option<TimestampMs>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct NewApiTokenView {
    /// `jbt_…`, shown this once.
    token: String,
    #[serde(flatten)]
    view: ApiTokenView,
}

impl ApiTokenView {
    fn of(token: &ApiToken) -> Self {
        Self {
            id: token.id,
            name: token.name.clone(),
            scopes: token.scopes.iter().copied().collect(),
            created_at_ms: token.created_at,
            expires_at_ms: token.expires_at,
        }
    }
}

/// One's own tokens, the newest first.
#[utoipa::path(
    get, path = "/api/tokens", tag = "tokens", responses((status = 200, body = Tokens)),
)]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Json<Tokens> {
    let now = TimestampMs::now();
    let mut tokens: Vec<ApiTokenView> = app.log.read(|state| {
        let own = caller.user().map(|user| state.tokens_of(user));
        own.into_iter()
            .flatten()
            .filter(|token| token.expires_at.is_none_or(|expires_at| expires_at > now))
            .map(ApiTokenView::of)
            .collect()
    });
    tokens.sort_by_key(|token| std::cmp::Reverse((token.created_at_ms, token.id)));
    Json(Tokens { tokens })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewApiToken {
    #[schema(
        max_length = 100,
        pattern = r"^[^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*$"
    )]
    name: String,
    /// `read`: look. `jobs`: change what is no admin's business. `admin`: one's own account, and
    /// for admins all the rest. `metrics`: for admins, `/metrics` alone.
    #[schema(value_type = Vec<Scope>)]
    scopes: BTreeSet<Scope>,
    /// Without one it is good until it is revoked.
    #[schema(minimum = 1, maximum = 316_224_000)]
    ttl_seconds: Option<u64>,
}

/// Makes a token. A token can make no other one that may do more, or for longer, than itself.
#[utoipa::path(
    post, path = "/api/tokens", tag = "tokens", request_body = NewApiToken,
    params(IdempotencyHeader),
    responses((status = 201, body = NewApiTokenView)),
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    key: IdempotencyKey,
    ApiJson(new): ApiJson<NewApiToken>,
) -> Result<(StatusCode, Json<NewApiTokenView>), Problem> {
    let user = caller.user().ok_or_else(Problem::not_signed_in)?;
    let invalid = |why: &str| Err(Problem::new(ProblemKind::InvalidRequest, why));
    let name = checked_name(&new.name)?;
    if name.is_empty() {
        return invalid("name is empty; say what the token is for");
    }
    if new.scopes.is_empty() {
        return invalid(
            "scopes is empty; give the token at least one of read, jobs, admin, metrics",
        );
    }
    if new
        .ttl_seconds
        .is_some_and(|ttl| !(1..=MAX_TTL_SECONDS).contains(&ttl))
    {
        return invalid("ttl_seconds must be from 1 to 316224000, which is ten years");
    }
    let asked = new
        .ttl_seconds
        .map(|ttl| TimestampMs::now().plus(Duration::from_secs(ttl)));
    let expires_at = bounded_by_own(&caller, &new.scopes, asked)?;
    let seed = key.seed(&app, &caller, "POST /api/tokens")?;
    let token = seed.secret(API_TOKEN_PREFIX);
    let id: TokenId = seed.id();
    let created = Action::TokenCreated {
        token: id,
        hash: SecretHash::of(token.as_bytes()),
        user,
        name: name.clone(),
        scopes: new.scopes.clone(),
        expires_at,
    };
    app.propose(&caller, created).await?;
    let made = app.log.read(|state| state.tokens.get(&id).cloned());
    let made = made.ok_or_else(key_reused)?;
    let is_same =
        made.name == name && made.scopes == new.scopes && is_about(made.expires_at, expires_at);
    if !is_same {
        return Err(key_reused());
    }
    let view = ApiTokenView::of(&made);
    Ok((StatusCode::CREATED, Json(NewApiTokenView { token, view })))
}

/// When the new token ends, if its maker may make it.
fn bounded_by_own(
    caller: &Caller,
    scopes: &BTreeSet<Scope>,
    asked: Option<TimestampMs>,
) -> Result<Option<TimestampMs>, Problem> {
    let Credential::ApiToken {
        scopes: own,
        expires_at,
        ..
    } = &caller.credential
    else {
        return Ok(asked);
    };
    if !scopes.is_subset(own) {
        let why =
            "a token can make no token with scopes that it has not itself; sign in with a browser";
        return Err(Problem::new(ProblemKind::NotAllowed, why));
    }
    Ok(match (asked, *expires_at) {
        (Some(asked), Some(own)) => Some(asked.min(own)),
        (asked, own) => asked.or(own),
    })
}

fn is_about(one: Option<TimestampMs>, other: Option<TimestampMs>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.0.abs_diff(other.0) < SAME_EXPIRY_WITHIN_MS,
        (one, other) => one == other,
    }
}

/// Revokes one's own token, on every node; admins revoke anybody's.
#[utoipa::path(
    delete, path = "/api/tokens/{token}", tag = "tokens", params(("token" = TokenId, Path)),
    responses((status = 204, description = "It is good no longer")),
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    ApiPath(token): ApiPath<TokenId>,
) -> Result<StatusCode, Problem> {
    let is_there = app.log.read(|state| {
        let token = state.tokens.get(&token);
        token.is_some_and(|token| caller.is_admin() || Some(token.user) == caller.user())
    });
    if !is_there {
        let why = "you have no such token; GET /api/tokens lists yours";
        return Err(Problem::new(ProblemKind::NotFound, why));
    }
    app.propose(&caller, Action::TokenRevoked { token }).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use jiggablend_raft::{UserId, UserRole};

    use super::*;
    use crate::access::Identity;

    fn caller(scopes: &[Scope], expires_at: Option<u64>) -> Caller {
        Caller {
            identity: Identity::User {
                id: UserId::new(),
                name: "Ada".into(),
                email: None,
                role: UserRole::Admin,
            },
            credential: Credential::ApiToken {
                hash: SecretHash::of(b"jbt_x"),
                scopes: scopes.iter().copied().collect(),
                expires_at: expires_at.map(TimestampMs),
            },
            address: std::net::Ipv4Addr::LOCALHOST.into(),
        }
    }

    #[test]
    fn a_token_makes_none_that_may_do_more_or_for_longer() {
        let maker = caller(&[Scope::Admin, Scope::Read], Some(1000));
        let read = BTreeSet::from([Scope::Read]);
        let ends =
            |asked: Option<u64>| bounded_by_own(&maker, &read, asked.map(TimestampMs)).unwrap();
        assert_eq!(ends(Some(500)), Some(TimestampMs(500)));
        assert_eq!(ends(Some(5000)), Some(TimestampMs(1000)));
        assert_eq!(ends(None), Some(TimestampMs(1000)));
        let jobs = BTreeSet::from([Scope::Jobs]);
        assert!(bounded_by_own(&maker, &jobs, None).is_err());
    }
}
