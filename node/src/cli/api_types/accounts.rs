//! Accounts, what they sign in with, and what only admins see of them.

use jiggablend_raft::{InvitationId, Quota, Scope, TimestampMs, TokenId, Usage, UserId, UserRole};
use serde::Deserialize;

/// How one can sign in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Providers {
    /// With an e-mail address and a password.
    pub local: bool,
    #[serde(default)]
    pub providers: Vec<Provider>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Provider {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Me {
    pub user: User,
    #[serde(default)]
    pub identities: Vec<Identity>,
    #[serde(default)]
    pub has_password: bool,
    /// Of an API token; without one everything that its owner may do.
    #[serde(default)]
    pub scopes: Option<Vec<Scope>>,
    #[serde(default)]
    pub quota: Quota,
    #[serde(default)]
    pub usage: Usage,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct User {
    pub id: String,
    #[serde(default)]
    pub name: String,
    pub email: Option<String>,
    pub role: UserRole,
    /// `user` or `operator`.
    pub kind: String,
}

impl User {
    /// The e-mail address, or what else there is.
    pub fn words(&self) -> &str {
        match (&self.email, self.name.as_str()) {
            (Some(email), _) => email,
            (None, "") => &self.id,
            (None, name) => name,
        }
    }
}

/// An account at a provider that signs this one in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Identity {
    pub name: String,
    pub subject: String,
}

/// The codes of a sign-in with a browser (RFC 8628).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DeviceCodes {
    pub device_code: String,
    pub user_code: String,
    pub verification_uri: String,
    pub verification_uri_complete: Option<String>,
    /// In seconds.
    pub expires_in: u64,
    /// In seconds.
    pub interval: u64,
}

/// A token that was just made: the only time that it is seen.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NewToken {
    pub token: String,
    #[serde(default)]
    pub id: Option<TokenId>,
    pub expires_at_ms: Option<TimestampMs>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ApiToken {
    pub id: TokenId,
    pub name: String,
    pub scopes: Vec<Scope>,
    pub created_at_ms: TimestampMs,
    pub expires_at_ms: Option<TimestampMs>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ApiTokenList {
    pub tokens: Vec<ApiToken>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Session {
    pub id: String,
    pub created_at_ms: TimestampMs,
    pub expires_at_ms: TimestampMs,
    pub from: Option<String>,
    #[serde(default)]
    pub agent: String,
    #[serde(default)]
    pub is_this_one: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub struct SessionList {
    pub sessions: Vec<Session>,
}

/// Somebody, as admins see them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Account {
    pub id: UserId,
    pub name: String,
    pub email: Option<String>,
    pub role: UserRole,
    pub disabled: bool,
    #[serde(default)]
    pub has_password: bool,
    #[serde(default)]
    pub identities: Vec<Identity>,
    /// None: the farm's default.
    pub quota: Option<Quota>,
    #[serde(default)]
    pub usage: Usage,
    pub created_at_ms: TimestampMs,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Invitation {
    pub id: InvitationId,
    pub role: UserRole,
    pub email: Option<String>,
    pub reusable: bool,
    pub expires_at_ms: TimestampMs,
    #[serde(default)]
    pub used_by: Vec<UserId>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct InvitationList {
    pub invitations: Vec<Invitation>,
}

/// Somebody, as everybody sees them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Person {
    pub id: UserId,
    pub name: String,
}

#[derive(Debug, Clone, Deserialize)]
pub struct PersonList {
    pub users: Vec<Person>,
}

/// A role as people say it.
pub fn role_word(role: UserRole) -> &'static str {
    match role {
        UserRole::Admin => "admin",
        UserRole::Member => "member",
        UserRole::Viewer => "viewer",
    }
}

/// A scope as it is typed.
pub fn scope_word(scope: Scope) -> &'static str {
    match scope {
        Scope::Read => "read",
        Scope::Jobs => "jobs",
        Scope::Admin => "admin",
        Scope::Metrics => "metrics",
    }
}
