//! What can go wrong in the mesh.

use std::time::Duration;

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    #[error("{doing}: {reason}")]
    Io { doing: String, reason: String },
    #[error(
        "cannot listen on mesh port {port}: {reason}; is another program using it? choose another with --mesh-port"
    )]
    Listen { port: u16, reason: String },
    #[error("cannot reach {peer}: {reason}")]
    Unreachable { peer: PeerId, reason: String },
    #[error("{peer} did not answer within {} ms", .timeout.as_millis())]
    TimedOut { peer: PeerId, timeout: Duration },
    #[error("{peer} answered with an error: {reason}")]
    Remote { peer: PeerId, reason: String },
}

/// Why a farm did not let a node in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum JoinRefusal {
    #[error("the ticket was used already; make a new one with `jiggablend cluster ticket`")]
    TicketSpent,
    #[error("the ticket has expired; make a new one with `jiggablend cluster ticket`")]
    TicketExpired,
    #[error(
        "this farm does not know the ticket (revoked, or from another farm); make a new one with `jiggablend cluster ticket`"
    )]
    TicketUnknown,
    #[error("the farm cannot admit a node now: {0}")]
    Unavailable(String),
}

/// Why joining failed.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    #[error(transparent)]
    Refused(#[from] JoinRefusal),
    #[error("the node at {peer} belongs to another farm than the ticket; nothing was sent to it")]
    OtherFarm { peer: PeerId },
    #[error(
        "no member of the farm could be reached ({0}); is one of them up, and its mesh port open?"
    )]
    Unreachable(String),
}
