//! Which runner calls: the guard finds it by its credential.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use jiggablend_raft::{NodeId, RunnerFacts, SecretHash};

use super::leases::Lease;
use crate::app::App;
use crate::problem::{Problem, ProblemKind};

/// What every runner's credential begins with.
pub(super) const CREDENTIAL_PREFIX: &str = "jbr_";

/// A runner that speaks only HTTP and is a member of the farm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunnerCaller(pub(crate) NodeId);

impl RunnerCaller {
    /// The runner whose credential the request shows.
    pub(crate) fn of_request(app: &App, headers: &HeaderMap) -> Result<Self, Problem> {
        let credential = headers
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, credential)| credential.trim())
            .filter(|credential| credential.starts_with(CREDENTIAL_PREFIX))
            .ok_or_else(not_a_runner)?;
        let hash = SecretHash::of(credential.as_bytes());
        let runner = app.log.read(|state| {
            let runner = state.node_by_credential(hash);
            runner.map(|runner| runner.id)
        });
        runner.map(Self).ok_or_else(not_a_runner)
    }

    /// Its current leases and what it announced of itself. A runner that was removed meanwhile is
    /// told so.
    pub(super) fn standing(self, app: &App) -> Result<(Vec<Lease>, RunnerFacts), Problem> {
        let standing = app.log.read(|state| {
            let node = state.nodes.get(&self.0).filter(|node| !node.removed)?;
            Some((state.leases_of(self.0), node.runner.clone()))
        });
        standing.ok_or_else(not_a_runner)
    }
}

fn not_a_runner() -> Problem {
    Problem::new(
        ProblemKind::NotSignedIn,
        "this needs the credential of a runner of this farm; register with a token of an admin, \
         and send what comes back as a bearer token",
    )
    .header(
        header::WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"jiggablend\""),
    )
}

impl<S: Send + Sync> FromRequestParts<S> for RunnerCaller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        // Closed where a route forgot its rule.
        let runner = parts.extensions.get::<Self>().copied();
        runner.ok_or_else(not_a_runner)
    }
}
