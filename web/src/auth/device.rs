//! Sign-in for a command line (RFC 8628): it shows a code, its owner types the code into the page
//! of a browser that is signed in, and it gets an API token.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiggablend_raft::{
    Action, Actor, DeviceAnswer, DeviceSignIn, ProposeError, Refusal, Scope, SecretHash,
    TimestampMs, TokenId, UserId,
};
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::limits::{Door, Try};
use super::local::checked_name;
use crate::access::{API_TOKEN_PREFIX, Caller, Credential, new_secret};
use crate::app::App;
use crate::connections::Connection;
use crate::json::ApiJson;
use crate::problem::{Problem, ProblemKind};

const DEVICE_PREFIX: &str = "jbd_";
/// How long its owner may take.
const LIFE: Duration = Duration::from_secs(10 * 60);
/// How often the command line may ask.
const INTERVAL: Duration = Duration::from_secs(5);
/// Clocks and networks are not that exact.
const INTERVAL_LEEWAY: Duration = Duration::from_secs(1);
const TOKEN_LIFE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// No vowels, so that no words come of it, and nothing that looks like something else.
const CODE_LETTERS: &[u8] = b"BCDFGHJKLMNPQRSTVWXZ";
const CODE_CHARS: usize = 8;
const MAX_POLLS: usize = 10_000;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewDevice {
    /// What the token will be called: the machine's name.
    #[serde(default)]
    #[schema(max_length = 100, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    name: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DeviceCodes {
    /// The command line's secret.
    device_code: String,
    /// To be typed into the page.
    user_code: String,
    verification_uri: String,
    /// The same, with the code filled in.
    verification_uri_complete: String,
    /// In seconds.
    expires_in: u64,
    /// In seconds, between two questions.
    interval: u64,
}

/// Begins the sign-in of a command line.
#[utoipa::path(
    post, path = "/api/auth/device", tag = "device", request_body = NewDevice,
    responses((status = 200, body = DeviceCodes)),
)]
pub(crate) async fn start(
    State(app): State<App>,
    Extension(connection): Extension<Connection>,
    ApiJson(new): ApiJson<NewDevice>,
) -> Result<Json<DeviceCodes>, Problem> {
    let name = checked_name(&new.name)?;
    let tries = [Try::from_address(&app, Door::Device, connection.address)?];
    app.attempt(&tries).await?;
    // The name travels in the code, and with the code's hash nobody can change it.
    let name = BASE64_URL_SAFE_NO_PAD.encode(name);
    let device_code = format!("{DEVICE_PREFIX}{}.{name}", new_secret());
    let user_code = new_user_code();
    let started = Action::DeviceSignInStarted {
        device: SecretHash::of(device_code.as_bytes()),
        user_code: user_code.clone(),
        expires_at: TimestampMs::now().plus(LIFE),
    };
    let node = Actor::Node(app.config.node);
    app.propose_from(node, connection.address, started).await?;
    let page = format!("{}/#/device", app.public_url());
    Ok(Json(DeviceCodes {
        device_code,
        verification_uri_complete: format!("{page}?code={user_code}"),
        user_code,
        verification_uri: page,
        expires_in: LIFE.as_secs(),
        interval: INTERVAL.as_secs(),
    }))
}

/// `BCDF-GHJK`: 34 bits, of which nobody can try many.
fn new_user_code() -> String {
    let mut random = rand::rng();
    let mut letter = || char::from(CODE_LETTERS[random.random_range(0..CODE_LETTERS.len())]);
    let letters: String = (0..CODE_CHARS).map(|_| letter()).collect();
    format!("{}-{}", &letters[..4], &letters[4..])
}

/// The code however it was typed.
fn normalized_code(text: &str) -> Option<String> {
    let letters: String = text
        .chars()
        .filter(|char| !matches!(char, '-' | ' '))
        .map(|char| char.to_ascii_uppercase())
        .take(CODE_CHARS + 1)
        .collect();
    let is_code =
        letters.len() == CODE_CHARS && letters.bytes().all(|byte| CODE_LETTERS.contains(&byte));
    is_code.then(|| format!("{}-{}", &letters[..4], &letters[4..]))
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approval {
    user_code: String,
    /// False refuses it.
    #[serde(default = "yes")]
    approve: bool,
}

fn yes() -> bool {
    true
}

/// Lets the command line that shows this code sign in as oneself, or refuses it. Needs a session:
/// a token makes no other one this way.
#[utoipa::path(
    post, path = "/api/auth/device/approve", tag = "device", request_body = Approval,
    responses((status = 204, description = "It may sign in, or not")),
)]
pub(crate) async fn approve(
    State(app): State<App>,
    caller: Caller,
    ApiJson(approval): ApiJson<Approval>,
) -> Result<StatusCode, Problem> {
    let user = caller.user().ok_or_else(Problem::not_signed_in)?;
    if !matches!(caller.credential, Credential::Session(_)) {
        let why = "a token cannot approve this; sign in with a browser";
        return Err(Problem::new(ProblemKind::NotAllowed, why));
    }
    let tries = [Try::by_account(&app, Door::DeviceCode, &user.to_string())?];
    app.attempt(&tries).await?;
    let unknown = || {
        let why = "no command line waits with that code; look at it again, or begin anew";
        Problem::new(ProblemKind::NotFound, why)
    };
    let user_code = normalized_code(&approval.user_code).ok_or_else(unknown)?;
    let answered = if approval.approve {
        Action::DeviceSignInApproved { user_code, user }
    } else {
        Action::DeviceSignInRefused { user_code }
    };
    match app.propose(&caller, answered).await {
        Ok(_) => {
            app.succeeded(&tries);
            Ok(StatusCode::NO_CONTENT)
        }
        Err(ProposeError::Refused(Refusal::NotFound(_))) => Err(unknown()),
        Err(error) => Err(error.into()),
    }
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DevicePoll {
    device_code: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DeviceToken {
    /// The API token, shown this once.
    token: String,
    id: TokenId,
    name: String,
    scopes: Vec<Scope>,
    expires_at_ms: TimestampMs,
}

/// Asks whether the code was approved, and takes the token. Problems `authorization-pending` and
/// `slow-down` say to ask again after the interval.
#[utoipa::path(
    post, path = "/api/auth/device/token", tag = "device", request_body = DevicePoll,
    responses((status = 200, body = DeviceToken)),
)]
pub(crate) async fn token(
    State(app): State<App>,
    Extension(connection): Extension<Connection>,
    ApiJson(poll): ApiJson<DevicePoll>,
) -> Result<Json<DeviceToken>, Problem> {
    let tries = [Try::from_address(
        &app,
        Door::DevicePoll,
        connection.address,
    )?];
    app.attempt(&tries).await?;
    let name = name_in(&poll.device_code).ok_or_else(expired)?;
    let device = SecretHash::of(poll.device_code.as_bytes());
    let sign_in = waiting(&app, device).await.ok_or_else(expired)?;
    let user = match sign_in.answer {
        DeviceAnswer::Approved(user) => user,
        DeviceAnswer::Refused => {
            let why = "its owner refused the sign-in; begin anew if that was a mistake";
            return Err(Problem::new(ProblemKind::DeviceDenied, why));
        }
        DeviceAnswer::Waiting if app.device_polls.is_too_soon(device, Instant::now()) => {
            let seconds = INTERVAL.as_secs();
            let why = format!("wait {seconds} s between two questions");
            return Err(Problem::new(ProblemKind::SlowDown, why).retry_after_seconds(seconds));
        }
        DeviceAnswer::Waiting => {
            let why = "nobody has approved the code yet; ask again after the interval";
            let seconds = INTERVAL.as_secs();
            let pending = Problem::new(ProblemKind::AuthorizationPending, why);
            return Err(pending.retry_after_seconds(seconds));
        }
    };
    finish(&app, &connection, device, user, name)
        .await
        .map(Json)
}

/// The sign-in, if its time is not over.
async fn waiting(app: &App, device: SecretHash) -> Option<DeviceSignIn> {
    let known = || {
        app.log
            .read(|state| state.device_sign_ins.get(&device).cloned())
    };
    let mut sign_in = known();
    if sign_in.is_none() {
        // It may have begun at another node just now.
        app.caught_up().await;
        sign_in = known();
    }
    sign_in.filter(|sign_in| sign_in.expires_at > TimestampMs::now())
}

async fn finish(
    app: &App,
    connection: &Connection,
    device: SecretHash,
    user: UserId,
    name: String,
) -> Result<DeviceToken, Problem> {
    // Who asks has shown a code and is nobody yet: the audit log says for which node, and from
    // which address, beside whose token it is.
    let actor = Actor::Node(app.config.node);
    let finished = Action::DeviceSignInFinished { device };
    match app.propose_from(actor, connection.address, finished).await {
        Ok(_) => {}
        Err(ProposeError::Refused(_)) => return Err(expired()),
        Err(error) => return Err(error.into()),
    }
    let token = format!("{API_TOKEN_PREFIX}{}", new_secret());
    let id = TokenId::new();
    let scopes = BTreeSet::from([Scope::Read, Scope::Jobs, Scope::Admin]);
    let expires_at = TimestampMs::now().plus(TOKEN_LIFE);
    let created = Action::TokenCreated {
        token: id,
        hash: SecretHash::of(token.as_bytes()),
        user,
        name: name.clone(),
        scopes: scopes.clone(),
        expires_at: Some(expires_at),
    };
    app.propose_from(actor, connection.address, created).await?;
    Ok(DeviceToken {
        token,
        id,
        name,
        scopes: scopes.into_iter().collect(),
        expires_at_ms: expires_at,
    })
}

fn expired() -> Problem {
    let why = "this sign-in is over, or it never began; begin anew";
    Problem::new(ProblemKind::DeviceExpired, why)
}

fn name_in(device_code: &str) -> Option<String> {
    let (_, name) = device_code.strip_prefix(DEVICE_PREFIX)?.split_once('.')?;
    let name = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(name).ok()?).ok()?;
    Some(match checked_name(&name).ok()? {
        name if name.is_empty() => "command line".to_owned(),
        name => name,
    })
}

/// When command lines last asked this node.
#[derive(Default)]
pub(crate) struct DevicePolls(Mutex<HashMap<SecretHash, Instant>>);

impl DevicePolls {
    /// Notes the question, and whether the one before was less than the interval ago.
    fn is_too_soon(&self, device: SecretHash, now: Instant) -> bool {
        let mut polls = self
            .0
            .lock()
            .expect("nothing panics while it holds the polls");
        if polls.len() >= MAX_POLLS {
            polls.retain(|_, at| now.saturating_duration_since(*at) < INTERVAL);
        }
        let before = if polls.len() < MAX_POLLS {
            polls.insert(device, now)
        } else {
            Some(now)
        };
        let since = before.map(|before| now.saturating_duration_since(before));
        since.is_some_and(|since| since < INTERVAL.saturating_sub(INTERVAL_LEEWAY))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_code_is_read_however_it_was_typed() {
        let code = new_user_code();
        assert_eq!(code.len(), 9);
        let typed = code.to_lowercase().replace('-', " ");
        assert_eq!(normalized_code(&typed), Some(code.clone()));
        assert_eq!(normalized_code(&code.replace('-', "")), Some(code));
        for wrong in ["", "BCDF-GHJ", "BCDF-GHJKL", "AEIO-UUUU", "ÄCDF-GHJK"] {
            assert_eq!(normalized_code(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_command_line_that_asks_too_often_is_told_so() {
        let polls = DevicePolls::default();
        let device = SecretHash::of(b"device");
        let start = Instant::now();
        assert!(!polls.is_too_soon(device, start));
        assert!(polls.is_too_soon(device, start + Duration::from_secs(1)));
        let later = start + Duration::from_secs(6);
        assert!(!polls.is_too_soon(device, later));
        assert!(!polls.is_too_soon(SecretHash::of(b"another"), later));
    }

    #[test]
    fn the_name_is_in_the_code() {
        let name = BASE64_URL_SAFE_NO_PAD.encode("Küche");
        let code = format!("jbd_0123.{name}");
        assert_eq!(name_in(&code).unwrap(), "Küche");
        assert_eq!(name_in("jbd_0123.").unwrap(), "command line");
        assert_eq!(name_in("jbd_0123"), None);
        assert_eq!(name_in("x"), None);
    }
}
