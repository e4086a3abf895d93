//! Who calls: an account by its session or one of its tokens, or the owner of a node's machine.

use std::collections::BTreeSet;
use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use jiggablend_raft::{
    Actor, Job, NodeId, Owner, Scope, SecretHash, ShareAccess, State, TimestampMs, User, UserId,
    UserRole,
};

use super::cookie;
use crate::app::App;
use crate::connections::Connection;

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
        hash: SecretHash,
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
        Credential::ApiToken { hash, .. } => of_api_token(state, *hash, now),
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
pub(super) fn of_request(
    app: &App,
    headers: &HeaderMap,
    connection: &Connection,
) -> Option<Caller> {
    let now = TimestampMs::now();
    let found = if let Some(authorization) = headers.get(header::AUTHORIZATION) {
        let token = bearer_token(authorization.to_str().ok()?)?;
        let hash = SecretHash::of(token.as_bytes());
        app.log.read(|state| of_token(state, token, hash, now))?
    } else {
        let hash = cookie::session_of(headers, connection.over_tls)?;
        app.log.read(|state| of_session(state, hash, now))?
    };
    Some(found.at(connection.address))
}

fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares hashes of 256 bits, so that the time it takes says nothing of the secret.
fn of_token(state: &State, token: &str, hash: SecretHash, now: TimestampMs) -> Option<Found> {
    if token.starts_with(API_TOKEN_PREFIX) {
        of_api_token(state, hash, now)
    } else {
        of_operator(state, hash)
    }
}

fn of_api_token(state: &State, hash: SecretHash, now: TimestampMs) -> Option<Found> {
    let (token, user) = state.live_token(hash, now)?;
    let credential = Credential::ApiToken {
        hash,
        scopes: token.scopes.clone(),
        expires_at: token.expires_at,
    };
    Some(of_user(user, credential))
}

fn of_session(state: &State, hash: SecretHash, now: TimestampMs) -> Option<Found> {
    let (_, user) = state.live_session(hash, now)?;
    Some(of_user(user, Credential::Session(hash)))
}

fn of_user(user: &User, credential: Credential) -> Found {
    Found {
        identity: Identity::User {
            id: user.id,
            name: user.name.clone(),
            email: user.email.clone(),
            role: user.role,
        },
        credential,
    }
}

fn of_operator(state: &State, hash: SecretHash) -> Option<Found> {
    let node = state.node_by_operator_token(hash)?;
    Some(Found {
        identity: Identity::Operator(node.id),
        credential: Credential::NodeToken(hash),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use jiggablend_raft::{Action, Command, TokenId, UserChange};

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn apply(state: &mut State, action: Action) {
        let mut command = Command::new(Actor::Farm, action);
        command.at = TimestampMs(1);
        state.apply(&command, &mut Vec::new()).unwrap();
    }

    fn state_with_user(role: UserRole) -> (State, UserId) {
        let mut state = State::default();
        let user = UserId::new();
        // Beside an admin, so that the user can be disabled.
        for (user, name, role) in [
            (UserId::new(), "root", UserRole::Admin),
            (user, "ada", role),
        ] {
            let created = Action::UserCreated {
                user,
                name: name.into(),
                email: Some(format!("{name}@example.org")),
                password_hash: Some("$argon2id$".into()),
                identity: None,
                role,
            };
            apply(&mut state, created);
        }
        (state, user)
    }

    fn disable(state: &mut State, user: UserId) {
        let change = UserChange::Disabled(true);
        apply(state, Action::UserChanged { user, change });
    }

    fn with_session(state: &mut State, user: UserId) -> Caller {
        let session = SecretHash::of(b"secret");
        let created = Action::SessionCreated {
            session,
            user,
            expires_at: TimestampMs(1000),
            agent: String::new(),
        };
        apply(state, created);
        let found = of_session(state, session, TimestampMs(999));
        found.unwrap().at(HERE)
    }

    fn with_token(state: &mut State, user: UserId, scopes: &[Scope]) -> (Caller, TokenId) {
        let token = TokenId::new();
        let hash = SecretHash::of(token.to_string().as_bytes());
        let created = Action::TokenCreated {
            token,
            hash,
            user,
            name: "ci".into(),
            scopes: scopes.iter().copied().collect(),
            expires_at: Some(TimestampMs(1000)),
        };
        apply(state, created);
        let found = of_token(state, "jbt_x", hash, TimestampMs(999));
        (found.unwrap().at(HERE), token)
    }

    #[test]
    fn a_session_ends_at_its_time_and_with_its_entry_and_with_its_user() {
        let now = TimestampMs(999);
        let (mut state, user) = state_with_user(UserRole::Member);
        let caller = with_session(&mut state, user);
        assert_eq!(caller.again(&state, now), Some(caller.clone()));
        assert_eq!(caller.again(&state, TimestampMs(1000)), None);
        let session = SecretHash::of(b"secret");
        apply(&mut state, Action::SessionEnded { session });
        assert_eq!(caller.again(&state, now), None);
        let caller = with_session(&mut state, user);
        disable(&mut state, user);
        assert_eq!(caller.again(&state, now), None);
    }

    #[test]
    fn a_token_ends_at_its_time_and_when_it_is_revoked_and_with_its_user() {
        let now = TimestampMs(999);
        let (mut state, user) = state_with_user(UserRole::Member);
        let (caller, token) = with_token(&mut state, user, &[Scope::Read]);
        assert_eq!(caller.again(&state, now), Some(caller.clone()));
        assert_eq!(caller.again(&state, TimestampMs(1000)), None);
        apply(&mut state, Action::TokenRevoked { token });
        assert_eq!(caller.again(&state, now), None);
        let (caller, _) = with_token(&mut state, user, &[Scope::Read]);
        disable(&mut state, user);
        assert_eq!(caller.again(&state, now), None);
    }

    #[test]
    fn a_role_that_changed_is_seen_when_one_looks_again() {
        let (mut state, user) = state_with_user(UserRole::Admin);
        let caller = with_session(&mut state, user);
        assert!(caller.is_admin());
        let change = UserChange::Role(UserRole::Viewer);
        apply(&mut state, Action::UserChanged { user, change });
        let again = caller.again(&state, TimestampMs(999)).unwrap();
        assert!(!again.is_admin() && !again.may_change());
    }

    #[test]
    fn an_admins_token_acts_as_an_admin_only_with_that_scope() {
        let (mut state, user) = state_with_user(UserRole::Admin);
        let mut token = |scopes: &[Scope]| with_token(&mut state, user, scopes).0;
        let reads = token(&[Scope::Read, Scope::Jobs]);
        assert!(!reads.is_admin() && !reads.may_read_metrics());
        let scrapes = token(&[Scope::Metrics]);
        assert!(!scrapes.is_admin() && scrapes.may_read_metrics());
        assert!(token(&[Scope::Admin]).is_admin());
        let (mut state, user) = state_with_user(UserRole::Member);
        let scopes = [Scope::Admin, Scope::Metrics];
        let (member, _) = with_token(&mut state, user, &scopes);
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
