//! Local accounts: an e-mail address and a password.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use axum_extra::extract::CookieJar;
use jiggablend_raft::{
    Action, Actor, Command, JobLog, NewCredential, ProposeError, Refusal, Registration, SecretHash,
    State as FarmState, UserChange, UserId, UserRole, normalized_email,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::account::Me;
use super::limits::{Door, Try};
use super::{passwords, sessions};
use crate::access::{Caller, Credential};
use crate::app::App;
use crate::connections::Connection;
use crate::json::ApiJson;
use crate::problem::{Problem, ProblemKind};

const MAX_NAME_CHARS: usize = 100;
const MAX_EMAIL_CHARS: usize = 254;
const MIN_PASSWORD_CHARS: usize = 8;
const MAX_INVITATION_CHARS: usize = 200;

/// How one can sign in at this farm.
#[derive(Serialize, ToSchema)]
pub(crate) struct Providers {
    /// With an e-mail address and a password.
    local: bool,
    registration: Registration,
    /// Nobody has an account yet: the first one becomes an admin.
    first_account: bool,
    providers: Vec<ProviderView>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ProviderView {
    id: String,
    name: String,
    kind: &'static str,
}

/// How one can sign in at this farm.
#[utoipa::path(
    get, path = "/api/auth/providers", tag = "sign-in",
    responses((status = 200, body = Providers)),
)]
pub(crate) async fn providers(State(app): State<App>) -> Json<Providers> {
    let (registration, first_account) = app
        .log
        .read(|state| (state.settings.registration, state.users.is_empty()));
    let providers = app.providers.iter().map(|provider| ProviderView {
        id: provider.id.clone(),
        name: provider.name.clone(),
        kind: provider.kind(),
    });
    Json(Providers {
        local: app.config.local_auth,
        registration,
        first_account,
        providers: providers.collect(),
    })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    email: String,
    password: String,
}

/// Signs in with a local account and sets the session cookie.
#[utoipa::path(
    post, path = "/api/auth/login", tag = "sign-in", request_body = Login,
    responses((status = 200, body = Me)),
)]
pub(crate) async fn login(
    State(app): State<App>,
    Extension(connection): Extension<Connection>,
    jar: CookieJar,
    headers: HeaderMap,
    old: Option<Extension<Caller>>,
    ApiJson(login): ApiJson<Login>,
) -> Result<Response, Problem> {
    refuse_without_local_accounts(&app)?;
    let email = normalized_email(&login.email);
    let tries = [
        Try::by_account(&app, Door::Account, &email)?,
        Try::from_address(&app, Door::Login, connection.address)?,
    ];
    app.attempt(&tries).await?;
    let user = app.log.read(|state| state.user_by_email(&email).cloned());
    let expected = user.as_ref().and_then(|user| user.password_hash.clone());
    let is_right = app.passwords.verify(login.password, expected).await?;
    let user = user.filter(|_| is_right).ok_or_else(|| {
        let why = "the e-mail address or the password is wrong";
        Problem::new(ProblemKind::WrongCredentials, why)
    })?;
    app.succeeded(&tries);
    // Only who knows the password learns that.
    if user.disabled {
        return Err(Problem::account_disabled());
    }
    let beginning = sessions::begin(&app, user.id, &connection, &headers, old.as_deref());
    let (caller, cookie) = beginning.await?;
    let me = app.log.read(|state| Me::of(&app, state, &caller));
    Ok((jar.add(cookie), Json(me)).into_response())
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Register {
    #[schema(
        max_length = 254,
        pattern = r"^[^@\s\x00-\x1F\x7F-\x9F]+@[^@\s\x00-\x1F\x7F-\x9F]+$"
    )]
    email: String,
    #[schema(min_length = 8, max_length = 1024)]
    password: String,
    /// Without one, what stands before the @ of the address.
    #[serde(default)]
    name: String,
    /// `jbi_…`, where the farm's registration needs one.
    invitation: Option<String>,
}

/// Makes a local account as far as the farm's settings let one, and signs in with it. The farm's
/// first account is an admin.
#[utoipa::path(
    post, path = "/api/auth/register", tag = "sign-in", request_body = Register,
    responses((status = 201, body = Me)),
)]
pub(crate) async fn register(
    State(app): State<App>,
    Extension(connection): Extension<Connection>,
    jar: CookieJar,
    headers: HeaderMap,
    old: Option<Extension<Caller>>,
    ApiJson(new): ApiJson<Register>,
) -> Result<Response, Problem> {
    refuse_without_local_accounts(&app)?;
    let tries = [Try::from_address(&app, Door::Register, connection.address)?];
    app.attempt(&tries).await?;
    let invitation = new.invitation.as_deref().map(invitation_hash);
    // Before anything else: strangers must not find out who has an account.
    app.log
        .read(|state| refuse_registration(state, invitation))?;
    let email = checked_email(&new.email)?;
    let name = match checked_name(&new.name)? {
        name if name.is_empty() => email.split('@').next().unwrap_or_default().to_owned(),
        name => name,
    };
    let password = checked_password(new.password)?;
    let password_hash = app.passwords.hash(password).await?;
    let user = UserId::new();
    let registered = Action::UserRegistered {
        user,
        name,
        email: Some(email),
        credential: NewCredential::Password(password_hash),
        invitation,
    };
    let made = app.propose_from(Actor::User(user), connection.address, registered);
    match made.await {
        Ok(_) => {}
        Err(ProposeError::Refused(Refusal::NotAllowed(why))) => {
            return Err(Problem::new(ProblemKind::RegistrationRefused, why));
        }
        Err(error) => return Err(error.into()),
    }
    let beginning = sessions::begin(&app, user, &connection, &headers, old.as_deref());
    let (caller, cookie) = beginning.await?;
    let me = app.log.read(|state| Me::of(&app, state, &caller));
    Ok((StatusCode::CREATED, jar.add(cookie), Json(me)).into_response())
}

fn refuse_without_local_accounts(app: &App) -> Result<(), Problem> {
    if app.config.local_auth {
        return Ok(());
    }
    let why = "local accounts are switched off on this node; sign in another way (GET /api/auth/providers), or have it started with ENABLE_LOCAL_AUTH=true";
    Err(Problem::new(ProblemKind::LocalAccountsOff, why))
}

/// What is there to see of an invitation: its hash.
pub(super) fn invitation_hash(secret: &str) -> SecretHash {
    let secret: String = secret.trim().chars().take(MAX_INVITATION_CHARS).collect();
    SecretHash::of(secret.as_bytes())
}

/// Whether anybody may make an account with that invitation. The job log decides; this is what
/// can be said before.
fn refuse_registration(state: &FarmState, invitation: Option<SecretHash>) -> Result<(), Problem> {
    let refused = |why: &str| Err(Problem::new(ProblemKind::RegistrationRefused, why));
    match state.settings.registration {
        Registration::Closed => refused("this farm takes no new accounts; ask an admin for one"),
        Registration::Open => Ok(()),
        Registration::Invitation if state.users.is_empty() => Ok(()),
        Registration::Invitation => {
            let now = jiggablend_raft::TimestampMs::now();
            let known = invitation.and_then(|hash| state.invitation_by_hash(hash));
            if known.is_some_and(|known| known.expires_at > now) {
                Ok(())
            } else {
                refused("this farm takes new accounts by invitation; ask an admin for a new one")
            }
        }
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPassword {
    /// Left out by an account that has none yet.
    current: Option<String>,
    #[schema(min_length = 8, max_length = 1024)]
    new: String,
}

/// Changes one's own password, and ends one's other sessions.
#[utoipa::path(
    post, path = "/api/auth/password", tag = "account", request_body = NewPassword,
    responses((status = 204, description = "It is changed")),
)]
pub(crate) async fn change_password(
    State(app): State<App>,
    caller: Caller,
    ApiJson(change): ApiJson<NewPassword>,
) -> Result<StatusCode, Problem> {
    refuse_without_local_accounts(&app)?;
    let id = caller.user().ok_or_else(Problem::not_signed_in)?;
    let user = app.log.read(|state| state.users.get(&id).cloned());
    let user = user.ok_or_else(Problem::not_signed_in)?;
    let new = checked_password(change.new)?;
    if user.password_hash.is_some() {
        let tries = [Try::by_account(&app, Door::Account, &id.to_string())?];
        app.attempt(&tries).await?;
        let current = change.current.unwrap_or_default();
        if !app.passwords.verify(current, user.password_hash).await? {
            let why = "the current password is wrong; nothing was changed";
            return Err(Problem::new(ProblemKind::WrongPassword, why));
        }
        app.succeeded(&tries);
    }
    let password_hash = app.passwords.hash(new).await?;
    let keep = match caller.credential {
        Credential::Session(session) => Some(session),
        Credential::ApiToken { .. } | Credential::NodeToken(_) => None,
    };
    let change = UserChange::Password {
        password_hash,
        keep,
    };
    app.propose(&caller, Action::UserChanged { user: id, change })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The address as accounts have it. That mail arrives there is nobody's promise.
pub(crate) fn checked_email(text: &str) -> Result<String, Problem> {
    let email = normalized_email(text);
    let has_parts = email
        .split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
    let is_clean = !email
        .chars()
        .any(|char| char.is_control() || char.is_whitespace());
    if has_parts && is_clean && email.chars().count() <= MAX_EMAIL_CHARS {
        return Ok(email);
    }
    let why = "email is no e-mail address; write one like ada@example.org";
    Err(Problem::new(ProblemKind::InvalidRequest, why))
}

pub(crate) fn checked_name(text: &str) -> Result<String, Problem> {
    let name = text.trim();
    if name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
        let why = format!(
            "name is longer than {MAX_NAME_CHARS} characters or has control characters; shorten it"
        );
        return Err(Problem::new(ProblemKind::InvalidRequest, why));
    }
    Ok(name.to_owned())
}

pub(crate) fn checked_password(password: String) -> Result<String, Problem> {
    match password_fault(&password) {
        None => Ok(password),
        Some(why) => {
            let why = format!("the password {why}");
            Err(Problem::new(ProblemKind::InvalidRequest, why))
        }
    }
}

/// Why that can be no account's password, as what it must be; `None` where it can.
pub fn password_fault(password: &str) -> Option<String> {
    let is_long_enough = password.chars().count() >= MIN_PASSWORD_CHARS;
    let is_fit = is_long_enough && password.len() <= passwords::MAX_PASSWORD_BYTES;
    (!is_fit).then(|| {
        format!(
            "must have {MIN_PASSWORD_CHARS} characters or more, and at most {} bytes",
            passwords::MAX_PASSWORD_BYTES
        )
    })
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
    let name = email.split('@').next().unwrap_or_default().to_owned();
    let created = Action::UserCreated {
        user: UserId::new(),
        name,
        email: Some(email),
        password_hash: Some(passwords::hash(password.to_owned()).await),
        identity: None,
        role: if is_first {
            UserRole::Admin
        } else {
            UserRole::Member
        },
    };
    let command = Command::new(Actor::Node(log.status().node), created);
    match log.propose(command).await {
        // Another node was first.
        Ok(_) | Err(ProposeError::Refused(Refusal::Conflict(_))) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_address_has_a_name_and_a_host_and_no_case() {
        let checked = checked_email(" Ada@Example.ORG ").unwrap();
        assert_eq!(checked, "ada@example.org");
        for bad in [
            "", "ada", "@x", "ada@", "a b@x", "a@b@c", "a\n@b", "\u{0}@x",
        ] {
            assert!(checked_email(bad).is_err(), "{bad:?}");
        }
        let long = format!("{}@example.org", "x".repeat(300));
        assert!(checked_email(&long).is_err());
    }

    #[test]
    fn passwords_are_neither_short_nor_endless() {
        assert!(checked_password("seven 7".into()).is_err());
        assert!(checked_password("küche ☃☃".into()).is_ok());
        assert!(checked_password("x".repeat(1025)).is_err());
    }
}
