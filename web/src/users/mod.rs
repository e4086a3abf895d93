//! Accounts as admins see them, [`invitations`] to make one, and finding somebody by [`names`].

pub(crate) mod invitations;
pub(crate) mod names;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiggablend_raft::{
    Action, Owner, Quota, State as FarmState, TimestampMs, Usage, User, UserChange, UserId,
    UserRole,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::app::App;
use crate::auth::account::{IdentityView, identities_of};
use crate::auth::{checked_email, checked_name, checked_password};
use crate::json::{ApiJson, given};
use crate::path::ApiPath;
use crate::problem::{Problem, ProblemKind};
use crate::query::ApiQuery;
use crate::quota::QuotaChange;
use crate::secrets::{IdempotencyHeader, IdempotencyKey, key_reused};

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

#[derive(Serialize, ToSchema)]
pub(crate) struct AccountView {
    id: UserId,
    name: String,
    email: Option<String>,
    role: UserRole,
    disabled: bool,
    has_password: bool,
    identities: Vec<IdentityView>,
    /// Null: the farm's default.
    quota: Option<Quota>,
    usage: Usage,
    created_at_ms: TimestampMs,
}

impl AccountView {
    fn of(app: &App, state: &FarmState, user: &User) -> Self {
        Self {
            id: user.id,
            name: user.name.clone(),
            email: user.email.clone(),
            role: user.role,
            disabled: user.disabled,
            has_password: user.password_hash.is_some(),
            identities: identities_of(app, user),
            quota: user.quota,
            usage: state.usage_of(Owner::User(user.id)),
            created_at_ms: user.created_at,
        }
    }
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Accounts {
    users: Vec<AccountView>,
    /// There where more follow: the `after` of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_after: Option<UserId>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    after: Option<UserId>,
}

/// All accounts, by the time they were made.
#[utoipa::path(
    get, path = "/api/users", tag = "users", params(Page),
    responses((status = 200, body = Accounts)),
)]
pub(crate) async fn list(
    State(app): State<App>,
    ApiQuery(page): ApiQuery<Page>,
) -> Result<Json<Accounts>, Problem> {
    let limit = page.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        let why = format!("limit must be from 1 to {MAX_PAGE}");
        return Err(Problem::new(ProblemKind::InvalidRequest, why));
    }
    Ok(Json(app.log.read(|state| {
        // Ids are made from the time.
        let users = state.users.values();
        let rest = users.filter(|user| page.after.is_none_or(|after| user.id > after));
        let mut users: Vec<AccountView> = rest
            .take(limit + 1)
            .map(|user| AccountView::of(&app, state, user))
            .collect();
        let has_more = users.len() > limit;
        users.truncate(limit);
        Accounts {
            next_after: users.last().filter(|_| has_more).map(|user| user.id),
            users,
        }
    })))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAccount {
    #[schema(
        max_length = 254,
        pattern = r"^[^@\s\x00-\x1F\x7F-\x9F]+@[^@\s\x00-\x1F\x7F-\x9F]+$"
    )]
    email: String,
    /// Without one, what stands before the @ of the address.
    #[serde(default)]
    #[schema(max_length = 100, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    name: String,
    #[schema(min_length = 8, max_length = 1024)]
    password: String,
    role: UserRole,
}

/// Makes a local account.
#[utoipa::path(
    post, path = "/api/users", tag = "users", request_body = NewAccount,
    params(IdempotencyHeader),
    responses((status = 201, body = AccountView, headers(("location" = String)))),
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    key: IdempotencyKey,
    ApiJson(new): ApiJson<NewAccount>,
) -> Result<Response, Problem> {
    let email = checked_email(&new.email)?;
    let name = match checked_name(&new.name)? {
        name if name.is_empty() => email.split('@').next().unwrap_or_default().to_owned(),
        name => name,
    };
    let password = checked_password(new.password)?;
    let seed = key.seed(&app, &caller, "POST /api/users")?;
    let user: UserId = seed.id();
    let created = Action::UserCreated {
        user,
        name,
        email: Some(email.clone()),
        password_hash: Some(app.passwords.hash(password.clone()).await?),
        identity: None,
        role: new.role,
    };
    app.propose(&caller, created).await?;
    let made = app.log.read(|state| state.users.get(&user).cloned());
    let made = made.ok_or_else(key_reused)?;
    let has_same_password = app.passwords.verify(password, made.password_hash.clone());
    if made.email != Some(email) || made.role != new.role || !has_same_password.await? {
        return Err(key_reused());
    }
    let location = format!("/api/users/{user}");
    let view = app.log.read(|state| AccountView::of(&app, state, &made));
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(view),
    )
        .into_response())
}

fn view(app: &App, user: UserId) -> Result<Json<AccountView>, Problem> {
    let view = app.log.read(|state| {
        let user = state.users.get(&user)?;
        Some(AccountView::of(app, state, user))
    });
    view.map(Json).ok_or_else(unknown)
}

fn unknown() -> Problem {
    let why = "there is no such user; GET /api/users lists them";
    Problem::new(ProblemKind::NotFound, why)
}

/// One account.
#[utoipa::path(
    get, path = "/api/users/{user}", tag = "users", params(("user" = UserId, Path)),
    responses((status = 200, body = AccountView)),
)]
pub(crate) async fn get(
    State(app): State<App>,
    ApiPath(user): ApiPath<UserId>,
) -> Result<Json<AccountView>, Problem> {
    view(&app, user)
}

/// What is left out stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountChanges {
    #[schema(max_length = 100, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    name: Option<String>,
    #[schema(
        max_length = 254,
        pattern = r"^[^@\s\x00-\x1F\x7F-\x9F]+@[^@\s\x00-\x1F\x7F-\x9F]+$"
    )]
    email: Option<String>,
    role: Option<UserRole>,
    /// A disabled account cannot sign in, its sessions end and its tokens do not count.
    disabled: Option<bool>,
    /// Ends the user's sessions.
    #[schema(min_length = 8, max_length = 1024)]
    password: Option<String>,
    /// Null: the farm's default.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<QuotaChange>)]
    quota: Option<Option<QuotaChange>>,
}

/// Changes an account. Each change is an entry of its own: where one is refused, those before it
/// stay.
#[utoipa::path(
    patch, path = "/api/users/{user}", tag = "users", params(("user" = UserId, Path)),
    request_body = AccountChanges, responses((status = 200, body = AccountView)),
)]
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    ApiPath(user): ApiPath<UserId>,
    ApiJson(wanted): ApiJson<AccountChanges>,
) -> Result<Json<AccountView>, Problem> {
    let quota_before = app.log.read(|state| {
        let user = state.users.get(&user)?;
        Some(user.quota.unwrap_or(state.settings.default_quota))
    });
    let quota_before = quota_before.ok_or_else(unknown)?;
    let mut changes = Vec::new();
    if let Some(name) = &wanted.name {
        changes.push(UserChange::Name(checked_name(name)?));
    }
    if let Some(email) = &wanted.email {
        changes.push(UserChange::Email(Some(checked_email(email)?)));
    }
    if let Some(role) = wanted.role {
        changes.push(UserChange::Role(role));
    }
    if let Some(quota) = wanted.quota {
        let quota = quota.map(|change| change.of(quota_before));
        changes.push(UserChange::Quota(quota));
    }
    if let Some(password) = wanted.password {
        let password = checked_password(password)?;
        changes.push(UserChange::Password {
            password_hash: app.passwords.hash(password).await?,
            keep: None,
        });
    }
    if let Some(disabled) = wanted.disabled {
        changes.push(UserChange::Disabled(disabled));
    }
    for change in changes {
        app.propose(&caller, Action::UserChanged { user, change })
            .await?;
    }
    view(&app, user)
}

/// Deletes an account with its sessions, tokens and webhooks; its jobs stay. The last admin stays
/// too.
#[utoipa::path(
    delete, path = "/api/users/{user}", tag = "users", params(("user" = UserId, Path)),
    responses((status = 204, description = "It is gone")),
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    ApiPath(user): ApiPath<UserId>,
) -> Result<StatusCode, Problem> {
    let Json(_) = view(&app, user)?;
    app.propose(&caller, Action::UserDeleted { user }).await?;
    Ok(StatusCode::NO_CONTENT)
}
