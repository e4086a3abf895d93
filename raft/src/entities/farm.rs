//! The farm itself, and what its admins set for it.

use serde::{Deserialize, Serialize};

use crate::{FarmId, Quota, TimestampMs, UserRole};

/// The farm itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Farm {
    pub id: FarmId,
    pub name: String,
    pub public_key: [u8; 32],
    pub secret_key: [u8; 32],
    pub created_at: TimestampMs,
}

/// What admins set for the whole farm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Settings {
    /// Who may make an account of their own.
    pub registration: Registration,
    /// The role of those who do, where no invitation says another.
    pub default_role: UserRole,
    /// For owners that have none of their own.
    pub default_quota: Quota,
    /// `https://farm.example.org`: where people reach the farm's pages, for links in messages.
    pub public_url: Option<String>,
    /// Webhooks may call addresses of the farm's own network.
    pub webhooks_to_private_addresses: bool,
}

/// Who may make an account of their own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub enum Registration {
    Open,
    #[default]
    Invitation,
    Closed,
}
