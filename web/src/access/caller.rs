//! Who calls: the account of a session, or the owner of a node's machine.

use axum::http::{HeaderMap, header};
use jiggablend_raft::{
    Actor, Job, NodeId, Owner, SecretHash, State, TimestampMs, User, UserId, UserRole,
};

use super::cookie;
use crate::app::App;

/// Whoever sent the request, as the job log knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    pub(crate) credential: Credential,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    User {
        id: UserId,
        email: String,
        role: UserRole,
    },
    Operator(NodeId),
}

/// What they showed. Only hashes of it are ever kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Credential {
    Session(SecretHash),
    Token(SecretHash),
}

impl Caller {
    /// True where no browser sends the credential by itself.
    pub(super) fn has_token(&self) -> bool {
        matches!(self.credential, Credential::Token(_))
    }

    pub(crate) fn sees_all(&self) -> bool {
        match &self.identity {
            Identity::User { role, .. } => *role == UserRole::Admin,
            Identity::Operator(_) => true,
        }
    }

    pub(super) fn may_change(&self) -> bool {
        match &self.identity {
            Identity::User { role, .. } => *role != UserRole::Viewer,
            Identity::Operator(_) => true,
        }
    }

    pub(crate) fn may_see(&self, job: &Job) -> bool {
        self.sees_all() || job.owner == self.owner()
    }

    /// The owner of what the caller creates.
    pub(crate) fn owner(&self) -> Owner {
        match &self.identity {
            Identity::User { id, .. } => Owner::User(*id),
            Identity::Operator(node) => Owner::Operator(*node),
        }
    }

    pub(crate) fn actor(&self) -> Actor {
        match &self.identity {
            Identity::User { id, .. } => Actor::User(*id),
            Identity::Operator(node) => Actor::Operator(*node),
        }
    }

    /// The same caller as the state knows it now; `None` where the session or the node is gone.
    pub(crate) fn again(&self, state: &State, now: TimestampMs) -> Option<Self> {
        match self.credential {
            Credential::Session(hash) => of_session(state, hash, now),
            Credential::Token(hash) => of_token(state, hash),
        }
    }
}

/// A bearer token goes before a cookie; a wrong one is no caller, whatever the cookie says.
pub(super) fn of_request(app: &App, headers: &HeaderMap) -> Option<Caller> {
    if let Some(authorization) = headers.get(header::AUTHORIZATION) {
        let token = bearer_token(authorization.to_str().ok()?)?;
        let hash = SecretHash::of(token.as_bytes());
        return app.log.read(|state| of_token(state, hash));
    }
    let hash = cookie::session_of(headers)?;
    let now = TimestampMs::now();
    app.log.read(|state| of_session(state, hash, now))
}

fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares hashes of 256 bits, so that the time it takes says nothing of the secret.
fn of_token(state: &State, hash: SecretHash) -> Option<Caller> {
    let node = state
        .members()
        .find(|node| node.operator_token == Some(hash))?;
    Some(Caller {
        identity: Identity::Operator(node.id),
        credential: Credential::Token(hash),
    })
}

fn of_session(state: &State, hash: SecretHash, now: TimestampMs) -> Option<Caller> {
    let session = state.sessions.get(&hash)?;
    if session.expires_at <= now {
        return None;
    }
    let user: &User = state.users.get(&session.user)?;
    Some(Caller {
        identity: Identity::User {
            id: user.id,
            email: user.email.clone().unwrap_or_default(),
            role: user.role,
        },
        credential: Credential::Session(hash),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use jiggablend_raft::Session;

    use super::*;

    fn state_with_session(expires_at: TimestampMs) -> (State, SecretHash) {
        let mut state = State::default();
        let user = User {
            id: UserId::new(),
            name: "Ada".into(),
            email: Some("ada@example.org".into()),
            password_hash: Some(String::new()),
            identities: std::collections::BTreeSet::new(),
            role: UserRole::Member,
            disabled: false,
            quota: None,
            created_at: TimestampMs(1),
        };
        let hash = SecretHash::of(b"secret");
        let session = Session {
            hash,
            user: user.id,
            created_at: TimestampMs(1),
            expires_at,
            from: None,
            agent: String::new(),
        };
        state.users.insert(user.id, user);
        state.sessions.insert(hash, session);
        (state, hash)
    }

    #[test]
    fn a_session_ends_at_its_time_and_with_its_entry() {
        let (mut state, hash) = state_with_session(TimestampMs(1000));
        let caller = of_session(&state, hash, TimestampMs(999)).unwrap();
        assert_eq!(caller.again(&state, TimestampMs(999)), Some(caller.clone()));
        assert_eq!(caller.again(&state, TimestampMs(1000)), None);
        state.sessions.clear();
        assert_eq!(caller.again(&state, TimestampMs(999)), None);
    }

    #[test]
    fn bearer_tokens_are_read_and_other_schemes_are_not() {
        assert_eq!(bearer_token("Bearer abc"), Some("abc"));
        assert_eq!(bearer_token("bearer abc"), Some("abc"));
        assert_eq!(bearer_token("Basic abc"), None);
        assert_eq!(bearer_token("abc"), None);
    }
}
