//! A runner comes in: it shows a registration token and gets a credential of its own.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::{Extension, Json};
use jiggablend_raft::{Action, Actor, Command, Effect, NodeId, ProposeError, Refusal, SecretHash};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::CREDENTIAL_PREFIX;
use super::facts::Facts;
use super::work::{HEARTBEAT_SECONDS, LEASE_SECONDS, invalid, one_line};
use crate::access::new_secret;
use crate::app::App;
use crate::auth::{Door, Try};
use crate::connections::Connection;
use crate::json::ApiJson;
use crate::problem::{Problem, ProblemKind};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// It is as good as the credential that follows from it.
const KEY_CHARS: std::ops::RangeInclusive<usize> = 32..=255;
const MAX_NAME_CHARS: usize = 100;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Registration {
    /// A registration token of an admin: `jbg_…`
    token: String,
    /// What the farm's people call the runner.
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
        "idempotency-key" = Option<String>, Header, min_length = 32, max_length = 255,
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
    let name = one_line(&registration.name, MAX_NAME_CHARS);
    if name.is_empty() {
        return Err(invalid(
            "name is empty; call the runner something".to_owned(),
        ));
    }
    let (facts, version) = registration.facts.checked()?;
    let credential = credential(&app, &registration.token, headers.get(IDEMPOTENCY_KEY))?;
    let registered = Action::RunnerRegistered {
        token: SecretHash::of(registration.token.as_bytes()),
        credential: SecretHash::of(credential.as_bytes()),
        name,
        facts,
        version,
    };
    let command = Command::new(Actor::Farm, registered).from(address);
    let runner = match app.log.propose(command).await {
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
        return Ok(format!("{CREDENTIAL_PREFIX}{}", new_secret()));
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
    let farm_key = app
        .log
        .read(|state| state.farm.as_ref().map(|farm| farm.secret_key));
    let farm_key = farm_key.ok_or_else(|| {
        let why = "this node does not know its farm yet; try again when it has caught up";
        Problem::new(ProblemKind::NotReady, why).retry_after_seconds(2)
    })?;
    Ok(derived_credential(&farm_key, token, secret))
}

fn derived_credential(farm_key: &[u8; 32], token: &str, secret: &str) -> String {
    const CONTEXT: &str = "jiggablend 2026-11-24 the credential of a runner";
    let mut hasher = blake3::Hasher::new_keyed(&blake3::derive_key(CONTEXT, farm_key));
    for part in [token, secret] {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    format!("{CREDENTIAL_PREFIX}{}", hasher.finalize().to_hex())
}

fn refused(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::Invalid(_) => invalid(refusal.to_string()),
        _ => Problem::new(ProblemKind::WrongCredentials, refusal.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_secret_gets_the_same_credential_and_another_one_another() {
        let of = derived_credential;
        let secret = "0123456789abcdef0123456789abcdef";
        let first = of(&[1; 32], "jbg_1", secret);
        assert!(first.starts_with(CREDENTIAL_PREFIX));
        assert_eq!(first, of(&[1; 32], "jbg_1", secret));
        assert_ne!(first, of(&[2; 32], "jbg_1", secret), "another farm");
        assert_ne!(first, of(&[1; 32], "jbg_2", secret), "another token");
        assert_ne!(first, of(&[1; 32], "jbg_10", &secret[1..]), "other parts");
    }
}
