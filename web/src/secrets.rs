//! Secrets that are shown once, and what follows from the farm's own key.
//!
//! `Idempotency-Key` needs no store: with a key, the id and the secret of what is created follow
//! from the farm's key, the caller, the route and that key. So every node makes the same thing of
//! the same request, however often it is asked.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use jiggablend_raft::{Actor, derived_uuid};
use utoipa::IntoParams;
use uuid::Uuid;

use crate::access::{Caller, new_secret_bytes};
use crate::app::App;
use crate::problem::{Problem, ProblemKind};

const MAX_KEY_CHARS: usize = 255;

/// The header, for the document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    reason = "its shape is for the document; `IdempotencyKey` reads it"
)]
pub(crate) struct IdempotencyHeader {
    /// The same key of the same caller makes one thing, however often it is sent, on any node.
    #[param(rename = "Idempotency-Key", pattern = "^[!-~]{1,255}$")]
    idempotency_key: Option<String>,
}

/// The request's `Idempotency-Key`, if it has one.
#[derive(Debug, Clone)]
pub(crate) struct IdempotencyKey(Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let Some(value) = parts.headers.get("idempotency-key") else {
            return Ok(Self(None));
        };
        let text = value.to_str().unwrap_or_default();
        let is_visible = text.chars().all(|char| char.is_ascii_graphic());
        if text.is_empty() || text.len() > MAX_KEY_CHARS || !is_visible {
            let why = "Idempotency-Key must have 1 to 255 visible ASCII characters";
            return Err(Problem::new(ProblemKind::InvalidRequest, why));
        }
        Ok(Self(Some(text.to_owned())))
    }
}

impl IdempotencyKey {
    /// What a creation by that route gets its id and secrets from.
    pub(crate) fn seed(
        &self,
        app: &App,
        caller: &Caller,
        route: &str,
    ) -> Result<CreationSeed, Problem> {
        let Some(key) = &self.0 else {
            return Ok(CreationSeed::Random);
        };
        let caller = match caller.actor() {
            Actor::User(user) => user.to_string(),
            other => format!("{other:?}"),
        };
        let parts = [caller.as_bytes(), route.as_bytes(), key.as_bytes()];
        app.keyed_hash("idempotent creation", &parts)
            .map(CreationSeed::Derived)
    }
}

/// Where an id and a secret come from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum CreationSeed {
    Random,
    Derived([u8; 32]),
}

impl CreationSeed {
    pub(crate) fn id<Id: From<Uuid>>(&self) -> Id {
        match self {
            Self::Random => Uuid::now_v7().into(),
            Self::Derived(seed) => derived_uuid(&[seed, b"id"]).into(),
        }
    }

    pub(crate) fn secret_bytes(&self) -> [u8; 32] {
        match self {
            Self::Random => new_secret_bytes(),
            Self::Derived(seed) => blake3::derive_key("JiggaBlend secret", seed),
        }
    }

    /// 256 bits in hex after the prefix that says what it is.
    pub(crate) fn secret(&self, prefix: &str) -> String {
        format!("{prefix}{}", hex::encode(self.secret_bytes()))
    }
}

/// The answer where what the key made before is not what is asked for now.
pub(crate) fn key_reused() -> Problem {
    Problem::new(
        ProblemKind::IdempotencyKeyReused,
        "this Idempotency-Key was used for another request; take a new one",
    )
}

impl App {
    /// A hash that nobody outside of the farm can make, of parts that nobody can guess from it.
    pub(crate) fn keyed_hash(&self, purpose: &str, parts: &[&[u8]]) -> Result<[u8; 32], Problem> {
        let farm_key = self
            .log
            .read(|state| state.farm.as_ref().map(|farm| farm.secret_key))
            .ok_or_else(Problem::farm_unknown)?;
        let key = blake3::derive_key("JiggaBlend keyed hash", &farm_key);
        let mut hasher = blake3::Hasher::new_keyed(&key);
        for part in [&[purpose.as_bytes()], parts].concat() {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        Ok(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use jiggablend_raft::TokenId;

    use super::*;

    #[test]
    fn what_a_key_makes_is_the_same_each_time_and_else_never() {
        let id = |seed: CreationSeed| seed.id::<TokenId>();
        let derived = CreationSeed::Derived([1; 32]);
        assert_eq!(id(derived), id(CreationSeed::Derived([1; 32])));
        assert_ne!(id(derived), id(CreationSeed::Derived([2; 32])));
        assert_eq!(derived.secret("jbt_"), derived.secret("jbt_"));
        assert!(derived.secret("jbt_").starts_with("jbt_"));
        assert_eq!(derived.secret("jbt_").len(), 4 + 64);
        assert_ne!(id(CreationSeed::Random), id(CreationSeed::Random));
        let random = CreationSeed::Random;
        assert_ne!(random.secret("jbt_"), random.secret("jbt_"));
    }
}
