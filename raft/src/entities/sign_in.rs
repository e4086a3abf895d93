//! Sign-ins that have begun. Short-lived, and in the state so that any node can end them.

use serde::{Deserialize, Serialize};

use crate::{SecretHash, TimestampMs, UserId};

/// A browser that was sent to a provider and has not come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingSignIn {
    /// Hash of the `state` parameter.
    pub state: SecretHash,
    /// Hash of the secret in the browser's cookie.
    pub binding: SecretHash,
    pub provider: String,
    pub link_to: Option<UserId>,
    pub invitation: Option<SecretHash>,
    pub return_to: String,
    pub expires_at: TimestampMs,
}

/// A command line that waits for its approval in a browser (RFC 8628).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceSignIn {
    pub device: SecretHash,
    /// What its owner types into the page.
    pub user_code: String,
    pub expires_at: TimestampMs,
    pub answer: DeviceAnswer,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceAnswer {
    Waiting,
    Approved(UserId),
    Refused,
}
