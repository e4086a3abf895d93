//! Accounts, and what their owners sign in with.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{Actor, InvitationId, SecretHash, TimestampMs, TokenId, UserId};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum UserRole {
    Admin,
    #[default]
    Member,
    Viewer,
}

/// An account. It has a password, an identity at a provider, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub id: UserId,
    pub name: String,
    /// With a password: what it signs in with, nobody else's. Else only for display.
    pub email: Option<String>,
    /// argon2id in PHC format; `None` where it is no local account.
    pub password_hash: Option<String>,
    pub identities: BTreeSet<Identity>,
    pub role: UserRole,
    /// Cannot sign in; its tokens do not count.
    pub disabled: bool,
    /// `None`: the farm's default.
    pub quota: Option<Quota>,
    pub created_at: TimestampMs,
}

/// Who somebody is at a provider: never the e-mail address, which may change hands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Identity {
    pub provider: String,
    /// The provider's own id for the account.
    pub subject: String,
}

/// What an owner may take of the farm. `None`: as much as there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Quota {
    /// All files of all jobs.
    pub bytes: Option<u64>,
    /// Jobs that are not over.
    #[cfg_attr(
        feature = "schema",
        schema(value_type = Option<i64>, minimum = 0, maximum = 4_294_967_295_i64)
    )]
    pub jobs: Option<u32>,
    /// Tasks that are leased at the same time.
    #[cfg_attr(
        feature = "schema",
        schema(value_type = Option<i64>, minimum = 0, maximum = 4_294_967_295_i64)
    )]
    pub frames_in_flight: Option<u32>,
}

/// What an owner takes of the farm now, in the terms of [`Quota`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Usage {
    pub bytes: u64,
    pub jobs: u32,
    pub frames_in_flight: u32,
}

/// A signed-in browser.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub hash: SecretHash,
    pub user: UserId,
    pub created_at: TimestampMs,
    pub expires_at: TimestampMs,
    /// The address it was made from.
    pub from: Option<IpAddr>,
    /// What the client calls itself, at most [`MAX_AGENT_CHARS`].
    pub agent: String,
}

/// Of a session's [`Session::agent`], this much is kept.
pub const MAX_AGENT_CHARS: usize = 200;

/// What a program signs in with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    pub id: TokenId,
    pub hash: SecretHash,
    pub user: UserId,
    pub name: String,
    pub scopes: BTreeSet<Scope>,
    pub created_at: TimestampMs,
    /// `None`: until it is revoked.
    pub expires_at: Option<TimestampMs>,
}

/// What a token is good for, within what its user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Scope {
    Read,
    Jobs,
    Admin,
    Metrics,
}

/// Lets somebody make an account. Kept until it expires or is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    pub id: InvitationId,
    pub hash: SecretHash,
    /// The new account's.
    pub role: UserRole,
    /// Only for the account with that address.
    pub email: Option<String>,
    pub created_by: Actor,
    pub created_at: TimestampMs,
    pub expires_at: TimestampMs,
    pub reusable: bool,
    pub used_by: Vec<UserId>,
}

/// Lowercase without surrounding space: e-mail addresses are compared so, though the standard
/// would tell cases apart.
pub fn normalized_email(email: &str) -> String {
    email.trim().to_lowercase()
}
