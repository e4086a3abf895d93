//! A ticket: the one string that lets a new node into a farm.

use std::fmt;
use std::str::FromStr;

use libp2p::{Multiaddr, PeerId};

/// What `jiggablend node join <TICKET>` needs. Its text form has a version and a checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The farm's identity: blake3 of its Ed25519 public key.
    pub farm: [u8; 32],
    /// Two or three members and where to dial them.
    pub members: Vec<(PeerId, Vec<Multiaddr>)>,
    /// 256 random bits. The farm stores only its hash.
    pub secret: [u8; 32],
    pub voter: bool,
    pub runner: bool,
    /// Milliseconds since the Unix epoch; the farm's own record decides.
    pub expires_at_ms: u64,
}

/// Why a text is no ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    #[error(
        "this is not a JiggaBlend ticket; a ticket starts with 'jigga1'; make one with `jiggablend cluster ticket` on a member"
    )]
    NotATicket,
    #[error("the ticket is damaged (its checksum does not match); copy it again as a whole")]
    Damaged,
}

impl fmt::Display for Ticket {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(_text: &str) -> Result<Self, Self::Err> {
        todo!()
    }
}
