//! Members of the farm, and what lets them in.

use serde::{Deserialize, Serialize};

use crate::{Actor, NodeId, RegistrationTokenId, SecretHash, TimestampMs};

/// What a node may be used for. Voting needs its own word: a runner's ticket makes no voter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Roles {
    pub voter: bool,
    pub runner: bool,
}

/// A member of the farm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    pub id: NodeId,
    pub name: String,
    pub reach: Reach,
    pub web_address: Option<String>,
    pub roles: Roles,
    pub version: String,
    pub runner: RunnerFacts,
    pub operator_token: Option<SecretHash>,
    pub joined_at: TimestampMs,
    /// The ticket that let it in; `None` for the farm's first node and for runners that speak
    /// only HTTP.
    pub admitted_by: Option<SecretHash>,
    /// A removed node stays in the list, for the names in history, and reaches nothing.
    pub removed: bool,
}

/// How a node and the farm reach each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    Mesh {
        /// The libp2p PeerId in its text form.
        peer_id: String,
        /// Mesh addresses (multiaddrs).
        addresses: Vec<String>,
    },
    /// A runner that calls any node over HTTP. It holds no files, never votes and is in no
    /// address book.
    Http {
        /// Hash of its own credential.
        credential: SecretHash,
        registered_with: RegistrationTokenId,
    },
}

impl Node {
    /// The libp2p PeerId in its text form; `None` for runners that speak only HTTP.
    pub fn peer_id(&self) -> Option<&str> {
        match &self.reach {
            Reach::Mesh { peer_id, .. } => Some(peer_id),
            Reach::Http { .. } => None,
        }
    }

    /// The mesh addresses at which it can be dialled; none for runners that speak only HTTP.
    pub fn addresses(&self) -> &[String] {
        match &self.reach {
            Reach::Mesh { addresses, .. } => addresses,
            Reach::Http { .. } => &[],
        }
    }

    pub fn is_in_mesh(&self) -> bool {
        matches!(self.reach, Reach::Mesh { .. })
    }
}

/// What a node can render with, as it last announced.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RunnerFacts {
    /// `3.4.1`; `None` where it does not render.
    pub blender_version: Option<String>,
    /// Why it does not render, and what to do about it.
    pub why_not: Option<String>,
    /// What Cycles can use, in Blender's words: `CPU`, `CUDA`, `OPTIX`, `HIP`, `ONEAPI`, `METAL`.
    pub devices: Vec<Device>,
    /// The first line of `ffmpeg -version`; `None` where it cannot encode.
    pub ffmpeg: Option<String>,
    /// Frames that it renders at once.
    pub slots: u32,
    pub cpu_threads: u32,
    pub memory_bytes: u64,
}

/// A compute device of a runner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Device {
    pub kind: String,
    pub name: String,
}

/// A ticket that has not been revoked. A one-time ticket goes when it is spent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    pub hash: SecretHash,
    pub roles: Roles,
    pub created_at: TimestampMs,
    pub created_by: Actor,
    pub expires_at: TimestampMs,
    pub reusable: bool,
    /// Kept after spending until it expires, so that the answer can be "spent", not "unknown".
    pub spent_by: Option<NodeId>,
}

/// What a runner that speaks only HTTP shows when it registers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationToken {
    pub id: RegistrationTokenId,
    pub hash: SecretHash,
    pub name: String,
    pub created_at: TimestampMs,
    pub created_by: Actor,
    /// `None`: until it is revoked.
    pub expires_at: Option<TimestampMs>,
    pub reusable: bool,
    /// Runners that registered with it.
    pub used: u32,
}
