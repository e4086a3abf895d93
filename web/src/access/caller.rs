//! Who calls: an account by its session or one of its tokens, or the owner of a node's machine.

use std::collections::BTreeSet;
use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use jiggablend_raft::{
    Actor, Job, NodeId, Owner, Scope, SecretHash, ShareAccess, State, TimestampMs, TokenId, User,
    UserId, UserRole,
};

use super::cookie;
use crate::app::App;

/// API tokens begin so, which is how scanners of leaked secrets find them.
pub(crate) const API_TOKEN_PREFIX: &str = "jbt_";

/// Whoever sent the request, as the job log knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    pub(crate) credential: Credential,
    /// The client's address.
    pub(crate) address: IpAddr,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    User {
        id: UserId,
        name: String,
        email: Option<String>,
        role: UserRole,
    },
    /// Whoever owns that node's machine.
    Operator(NodeId),
}

/// What they showed. Only hashes of it are ever kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credential {
    Session(SecretHash),
    ApiToken {
        id: TokenId,
        scopes: BTreeSet<Scope>,
        expires_at: Option<TimestampMs>,
    },
    /// An operator's.
    NodeToken(SecretHash),
}

impl Caller {
    /// True where no browser sends the credential by itself.
    pub(super) fn has_token(&self) -> bool {
        !matches!(self.credential, Credential::Session(_))
    }

    /// Whether what they showed is good for that. What its user may do is another question.
    pub(super) fn has_scope(&self, scope: Scope) -> bool {
        match &self.credential {
            Credential::Session(_) | Credential::NodeToken(_) => true,
            Credential::ApiToken { scopes, .. } => scopes.contains(&scope),
        }
    }

    fn has_role(&self, role: UserRole) -> bool {
        matches!(&self.identity, Identity::User { role: own, .. } if *own == role)
    }

    /// An operator, or an admin whose token may act as one.
    pub(crate) fn is_admin(&self) -> bool {
        let is_operator = matches!(self.identity, Identity::Operator(_));
        is_operator || (self.has_role(UserRole::Admin) && self.has_scope(Scope::Admin))
    }

    pub(super) fn may_read_metrics(&self) -> bool {
        let is_admins = self.has_role(UserRole::Admin) && self.has_scope(Scope::Metrics);
        self.is_admin() || is_admins
    }

    pub(super) fn may_change(&self) -> bool {
        match &self.identity {
            Identity::User { role, .. } => *role != UserRole::Viewer,
            Identity::Operator(_) => true,
        }
    }

    pub(crate) fn may_see(&self, job: &Job) -> bool {
        self.may_own(job) || self.share_of(job).is_some()
    }

    /// Cancel, upload: the owner, admins, and those whom the owner lets manage it.
    pub(crate) fn may_manage(&self, job: &Job) -> bool {
        self.may_own(job) || self.share_of(job) == Some(ShareAccess::Manage)
    }

    /// Share it with others.
    pub(crate) fn may_own(&self, job: &Job) -> bool {
        self.is_admin() || self.owner() == job.owner
    }

    fn share_of(&self, job: &Job) -> Option<ShareAccess> {
        job.shares.get(&self.user()?).copied()
    }

    pub(crate) fn user(&self) -> Option<UserId> {
        match &self.identity {
            Identity::User { id, .. } => Some(*id),
            Identity::Operator(_) => None,
        }
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

    /// The same caller as the state knows it now; `None` where what they showed is good no
    /// longer.
    pub(crate) fn again(&self, state: &State, now: TimestampMs) -> Option<Self> {
        found_by(state, &self.credential, now).map(|found| found.at(self.address))
    }
}

impl Caller {
    /// Whoever just got that credential.
    pub(crate) fn of_credential(
        state: &State,
        credential: &Credential,
        address: IpAddr,
    ) -> Option<Self> {
        let now = TimestampMs::now();
        found_by(state, credential, now).map(|found| found.at(address))
    }
}

fn found_by(state: &State, credential: &Credential, now: TimestampMs) -> Option<Found> {
    match credential {
        Credential::Session(hash) => of_session(state, *hash, now),
        Credential::ApiToken { id, .. } => of_api_token(state, *id, now),
        Credential::NodeToken(hash) => of_operator(state, *hash),
    }
}

/// A caller but for where they call from.
struct Found {
    identity: Identity,
    credential: Credential,
}

impl Found {
    fn at(self, address: IpAddr) -> Caller {
        Caller {
            identity: self.identity,
            credential: self.credential,
            address,
        }
    }
}

/// A bearer token goes before a cookie; a wrong one is no caller, whatever the cookie says.
pub(super) fn of_request(app: &App, headers: &HeaderMap, address: IpAddr) -> Option<Caller> {
    let now = TimestampMs::now();
    let found = if let Some(authorization) = headers.get(header::AUTHORIZATION) {
        let token = bearer_token(authorization.to_str().ok()?)?;
        let hash = SecretHash::of(token.as_bytes());
        app.log.read(|state| of_token(state, token, hash, now))?
    } else {
        let hash = cookie::session_of(headers)?;
        app.log.read(|state| of_session(state, hash, now))?
    };
    Some(found.at(address))
}

fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares hashes of 256 bits, so that the time it takes says nothing of the secret.
fn of_token(state: &State, token: &str, hash: SecretHash, now: TimestampMs) -> Option<Found> {
    if token.starts_with(API_TOKEN_PREFIX) {
        let token = state.tokens.values().find(|token| token.hash == hash)?;
        return of_api_token(state, token.id, now);
    }
    of_operator(state, hash)
}

fn of_api_token(state: &State, id: TokenId, now: TimestampMs) -> Option<Found> {
    let token = state.tokens.get(&id)?;
    if token.expires_at.is_some_and(|expires_at| expires_at <= now) {
        return None;
    }
    let credential = Credential::ApiToken {
        id,
        scopes: token.scopes.clone(),
        expires_at: token.expires_at,
    };
    of_user(state, token.user, credential)
}

fn of_session(state: &State, hash: SecretHash, now: TimestampMs) -> Option<Found> {
    let session = state.sessions.get(&hash)?;
    if session.expires_at <= now {
        return None;
    }
    of_user(state, session.user, Credential::Session(hash))
}

fn of_user(state: &State, user: UserId, credential: Credential) -> Option<Found> {
    let user: &User = state.users.get(&user).filter(|user| !user.disabled)?;
    Some(Found {
        identity: Identity::User {
            id: user.id,
            name: user.name.clone(),
            email: user.email.clone(),
            role: user.role,
        },
        credential,
    })
}

fn of_operator(state: &State, hash: SecretHash) -> Option<Found> {
    let node = state
        .members()
        .find(|node| node.operator_token == Some(hash))?;
    Some(Found {
        identity: Identity::Operator(node.id),
        credential: Credential::NodeToken(hash),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use jiggablend_raft::{ApiToken, Session};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn state_with_user(role: UserRole) -> (State, UserId) {
        let mut state = State::default();
        let user = User {
            id: UserId::new(),
            name: "Ada".into(),
            email: Some("ada@example.org".into()),
            password_hash: None,
            identities: BTreeSet::new(),
            role,
            disabled: false,
            quota: None,
            created_at: TimestampMs(1),
        };
        let id = user.id;
        state.users.insert(id, user);
        (state, id)
    }

    fn with_session(state: &mut State, user: UserId, expires_at: TimestampMs) -> SecretHash {
        let hash = SecretHash::of(b"secret");
        let session = Session {
            hash,
            user,
            created_at: TimestampMs(1),
            expires_at,
            from: None,
            agent: String::new(),
        };
        state.sessions.insert(hash, session);
        hash
    }

    fn with_token(state: &mut State, user: UserId, scopes: &[Scope]) -> Caller {
        let token = ApiToken {
            id: TokenId::new(),
            hash: SecretHash::of(b"jbt_x"),
            user,
            name: "ci".into(),
            scopes: scopes.iter().copied().collect(),
            created_at: TimestampMs(1),
            expires_at: Some(TimestampMs(1000)),
        };
        let id = token.id;
        state.tokens.insert(id, token);
        of_api_token(state, id, TimestampMs(999)).unwrap().at(HERE)
    }

    #[test]
    fn a_session_ends_at_its_time_and_with_its_entry_and_with_its_user() {
        let (mut state, user) = state_with_user(UserRole::Member);
        let hash = with_session(&mut state, user, TimestampMs(1000));
        let found = of_session(&state, hash, TimestampMs(999)).unwrap();
        let caller = found.at(HERE);
        assert_eq!(caller.again(&state, TimestampMs(999)), Some(caller.clone()));
        assert_eq!(caller.again(&state, TimestampMs(1000)), None);
        state.users.get_mut(&user).unwrap().disabled = true;
        assert_eq!(caller.again(&state, TimestampMs(999)), None);
        state.users.get_mut(&user).unwrap().disabled = false;
        state.sessions.clear();
        assert_eq!(caller.again(&state, TimestampMs(999)), None);
    }

    #[test]
    fn a_token_ends_at_its_time_and_when_it_is_revoked_and_with_its_user() {
        let (mut state, user) = state_with_user(UserRole::Member);
        let caller = with_token(&mut state, user, &[Scope::Read]);
        assert_eq!(caller.again(&state, TimestampMs(999)), Some(caller.clone()));
        assert_eq!(caller.again(&state, TimestampMs(1000)), None);
        state.users.get_mut(&user).unwrap().disabled = true;
        assert_eq!(caller.again(&state, TimestampMs(999)), None);
        state.users.get_mut(&user).unwrap().disabled = false;
        state.tokens.clear();
        assert_eq!(caller.again(&state, TimestampMs(999)), None);
    }

    #[test]
    fn an_admins_token_acts_as_an_admin_only_with_that_scope() {
        let (mut state, user) = state_with_user(UserRole::Admin);
        let reads = with_token(&mut state, user, &[Scope::Read, Scope::Jobs]);
        assert!(!reads.is_admin() && !reads.may_read_metrics());
        let scrapes = with_token(&mut state, user, &[Scope::Metrics]);
        assert!(!scrapes.is_admin() && scrapes.may_read_metrics());
        assert!(with_token(&mut state, user, &[Scope::Admin]).is_admin());
        let (mut state, user) = state_with_user(UserRole::Member);
        let member = with_token(&mut state, user, &[Scope::Admin, Scope::Metrics]);
        assert!(!member.is_admin() && !member.may_read_metrics());
    }

    #[test]
    fn bearer_tokens_are_read_and_other_schemes_are_not() {
        assert_eq!(bearer_token("Bearer abc"), Some("abc"));
        assert_eq!(bearer_token("bearer abc"), Some("abc"));
        assert_eq!(bearer_token("Basic abc"), None);
        assert_eq!(bearer_token("abc"), None);
    }
}
