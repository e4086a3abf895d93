//! How one signs in at the made-up farm.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::fake_farm::{Context, problem};

const SESSION: &str = "jiggablend_session=the-session";

/// Who may do what.
pub struct FakeAccounts {
    /// Tokens that are good, with their ids.
    pub tokens: BTreeSet<(String, String)>,
    pub has_session: bool,
    pub has_local_accounts: bool,
    pub providers: Vec<&'static str>,
    /// How often a code is still to be asked for before somebody approves it.
    pub polls_until_approved: usize,
    /// What was asked of the tokens that were made.
    pub token_orders: Vec<Value>,
}

impl Default for FakeAccounts {
    fn default() -> Self {
        let operator = ("the-token".to_owned(), "none".to_owned());
        Self {
            tokens: BTreeSet::from([operator]),
            has_session: false,
            has_local_accounts: true,
            providers: Vec::new(),
            polls_until_approved: 2,
            token_orders: Vec::new(),
        }
    }
}

impl FakeAccounts {
    pub fn knows(&self, headers: &HeaderMap) -> bool {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        match text(header::AUTHORIZATION) {
            Some(authorization) => self
                .tokens
                .iter()
                .any(|(token, _)| authorization == format!("Bearer {token}")),
            None => self.has_session && text(header::COOKIE) == Some(SESSION),
        }
    }

    fn make_token(&mut self) -> Value {
        let (token, id) = (format!("jbt_{}", Uuid::new_v4()), Uuid::now_v7());
        self.tokens.insert((token.clone(), id.to_string()));
        json!({
            "token": token, "id": id, "name": "x", "scopes": ["read", "jobs", "admin"],
            "created_at_ms": 1, "expires_at_ms": 4_102_444_800_000_u64,
        })
    }
}

/// Routes that need nobody signed in.
pub fn is_public(path: &str) -> bool {
    path.starts_with("/api/auth/device")
        || matches!(path, "/api/auth/providers" | "/api/auth/login")
}

pub fn router() -> Router<Context> {
    Router::new()
        .route("/api/auth/providers", get(providers))
        .route("/api/auth/login", post(login))
        .route("/api/auth/logout", post(logout))
        .route("/api/auth/me", get(me))
        .route("/api/auth/device", post(device))
        .route("/api/auth/device/token", post(device_token))
        .route("/api/tokens", get(tokens).post(make_token))
        .route("/api/tokens/{token}", delete(revoke_token))
        .route("/api/users/names", get(names))
}

async fn providers(State(context): State<Context>) -> Json<Value> {
    let inner = context.farm.inner();
    let providers = inner.accounts.providers.iter();
    let providers: Vec<Value> = providers
        .map(|name| json!({"id": name, "name": name, "kind": "oidc"}))
        .collect();
    Json(json!({
        "local": inner.accounts.has_local_accounts, "registration": "closed",
        "first_account": false, "providers": providers,
    }))
}

fn ada() -> Value {
    json!({
        "id": Uuid::nil(), "name": "Ada", "email": "ada@example.org", "role": "member",
        "kind": "user",
    })
}

async fn me() -> Json<Value> {
    let quota = json!({"bytes": 1_073_741_824_u64, "jobs": null, "frames_in_flight": 8});
    Json(json!({
        "user": ada(), "identities": [], "has_password": true, "scopes": ["read", "jobs"],
        "quota": quota, "usage": {"bytes": 0, "jobs": 1, "frames_in_flight": 2},
    }))
}

async fn login(State(context): State<Context>, Json(body): Json<Value>) -> Response {
    if body != json!({"email": "ada@example.org", "password": "correct horse"}) {
        let why = "the e-mail address or the password is wrong";
        return problem(401, "wrong-credentials", why);
    }
    context.farm.inner().accounts.has_session = true;
    let cookie = [(header::SET_COOKIE, format!("{SESSION}; HttpOnly; Path=/"))];
    (cookie, Json(json!({ "user": ada() }))).into_response()
}

async fn logout(State(context): State<Context>) -> StatusCode {
    context.farm.inner().accounts.has_session = false;
    StatusCode::NO_CONTENT
}

async fn device(State(context): State<Context>, Json(body): Json<Value>) -> Json<Value> {
    context.farm.inner().accounts.token_orders.push(body);
    Json(json!({
        "device_code": "jbd_secret", "user_code": "BCDF-GHJK", "expires_in": 600, "interval": 1,
        "verification_uri": "https://farm.example/#/device",
        "verification_uri_complete": "https://farm.example/#/device?code=BCDF-GHJK",
    }))
}

async fn device_token(State(context): State<Context>, Json(body): Json<Value>) -> Response {
    assert_eq!(body["device_code"], "jbd_secret");
    let mut inner = context.farm.inner();
    let accounts = &mut inner.accounts;
    if accounts.polls_until_approved > 0 {
        accounts.polls_until_approved -= 1;
        return problem(
            400,
            "authorization-pending",
            "nobody has approved the code yet",
        );
    }
    Json(accounts.make_token()).into_response()
}

async fn make_token(State(context): State<Context>, Json(body): Json<Value>) -> Response {
    let mut inner = context.farm.inner();
    inner.accounts.token_orders.push(body);
    (StatusCode::CREATED, Json(inner.accounts.make_token())).into_response()
}

async fn tokens(State(context): State<Context>) -> Json<Value> {
    let inner = context.farm.inner();
    let tokens = inner.accounts.tokens.iter();
    let tokens: Vec<Value> = tokens.map(|(_, id)| json!({ "id": id })).collect();
    Json(json!({ "tokens": tokens }))
}

async fn revoke_token(State(context): State<Context>, Path(id): Path<String>) -> StatusCode {
    let mut inner = context.farm.inner();
    inner.accounts.tokens.retain(|(_, known)| *known != id);
    StatusCode::NO_CONTENT
}

async fn names() -> Json<Value> {
    Json(json!({ "users": [{"id": Uuid::nil(), "name": "Ada"}] }))
}
