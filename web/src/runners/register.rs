//! A runner comes in: it shows a registration token and gets a credential of its own.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::{Extension, Json};
use jiggablend_raft::{Action, Actor, Effect, NodeId, ProposeError, Refusal, SecretHash};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::CREDENTIAL_PREFIX;
use super::facts::Facts;
use super::shared::{HEARTBEAT_SECONDS, LEASE_SECONDS, checked_name, invalid};
use crate::app::App;
use crate::auth::{Door, Try};
use crate::connections::Connection;
use crate::json::ApiJson;
use crate::problem::{Problem, ProblemKind};
use crate::secrets::CreationSeed;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// It is as good as the credential that follows from it.
const KEY_CHARS: std::ops::RangeInclusive<usize> = 32..=255;
const MAX_NAME_CHARS: usize = 100;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RunnerRegistration)]
pub(crate) struct Registration {
    /// A registration token of an admin: `jbg_…`
    token: String,
    /// What the farm's people call the runner.
    #[schema(
        max_length = 100,
        pattern = r"^[^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*$"
    )]
    name: String,
    facts: Facts,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Registered {
    runner: NodeId,
    /// The runner's bearer token from now on: `jbr_…`. It is shown once.
    credential: String,
    heartbeat_seconds: u64,
    lease_seconds: u64,
}

/// Lets a runner in that speaks only HTTP.
#[utoipa::path(
    post, path = "/api/runner/register", tag = "runner", request_body = Registration,
    params((
        "idempotency-key" = Option<String>, Header, pattern = "^[!-~]{32,255}$",
        description = "Makes registering safe to repeat: a secret that the runner has drawn and \
            kept. The same one again, with the same token, gets the same runner and credential.",
    )),
    responses((status = 201, body = Registered)),
)]
pub(crate) async fn register(
    State(app): State<App>,
    Extension(connection): Extension<Connection>,
    headers: HeaderMap,
    ApiJson(registration): ApiJson<Registration>,
) -> Result<(StatusCode, Json<Registered>), Problem> {
    let address = connection.address;
    let tries = [Try::from_address(&app, Door::Runner, address)?];
    app.attempt(&tries).await?;
    let name = checked_name(
        &registration.name,
        "call the runner something",
        MAX_NAME_CHARS,
    )?;
    let (facts, version) = registration.facts.checked()?;
    let credential = credential(&app, &registration.token, headers.get(IDEMPOTENCY_KEY))?;
    let registered = Action::RunnerRegistered {
        token: SecretHash::of(registration.token.as_bytes()),
        credential: SecretHash::of(credential.as_bytes()),
        name,
        facts,
        version,
    };
    let runner = match app.propose_from(Actor::Farm, address, registered).await {
        Ok(Effect::Admitted(runner)) => runner,
        Ok(_) => {
            let why = "the farm let the runner in and did not say as whom; register again";
            return Err(Problem::new(ProblemKind::Internal, why));
        }
        Err(ProposeError::Refused(refusal)) => return Err(refused(&refusal)),
        Err(error) => return Err(error.into()),
    };
    app.succeeded(&tries);
    let registered = Registered {
        runner,
        credential,
        heartbeat_seconds: HEARTBEAT_SECONDS,
        lease_seconds: LEASE_SECONDS,
    };
    Ok((StatusCode::CREATED, Json(registered)))
}

/// A new credential, or the one that follows from the runner's own secret, on every node alike.
fn credential(app: &App, token: &str, secret: Option<&HeaderValue>) -> Result<String, Problem> {
    let Some(secret) = secret else {
        return Ok(CreationSeed::Random.secret(CREDENTIAL_PREFIX));
    };
    let secret = secret.to_str().ok();
    let secret = secret.filter(|secret| KEY_CHARS.contains(&secret.len()));
    let secret = secret.ok_or_else(|| {
        invalid(format!(
            "{IDEMPOTENCY_KEY} must have from {} to {} visible characters, since the credential follows from it; draw it, or leave it out",
            KEY_CHARS.start(),
            KEY_CHARS.end()
        ))
    })?;
    let parts = [token.as_bytes(), secret.as_bytes()];
    let seed = app.keyed_hash("the credential of a runner", &parts)?;
    Ok(CreationSeed::Derived(seed).secret(CREDENTIAL_PREFIX))
}

fn refused(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::Invalid(_) => invalid(refusal.to_string()),
        _ => Problem::new(ProblemKind::WrongRegistrationToken, refusal.to_string()),
    }
}
