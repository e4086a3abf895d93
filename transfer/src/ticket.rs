//! A ticket: the one string that lets a new node into a farm.
//!
//! Its text is `jigga1` and the lowercase base32 of a msgpack body and the first four bytes of the
//! body's blake3 hash: one word, nothing that a shell, a chat or a mail program would change.

use std::fmt;
use std::str::FromStr;

use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};

/// What every ticket of this version starts with.
const PREFIX: &str = "jigga1";
const CHECKSUM_BYTES: usize = 4;
/// Longer than any ticket that is made here; bounds the work on a pasted text.
const MAX_TEXT_BYTES: usize = 8 * 1024;

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

/// The body as it is encoded: addresses as text, so that msgpack needs to know no libp2p type.
#[derive(Serialize, Deserialize)]
struct Body {
    farm: [u8; 32],
    members: Vec<(String, Vec<String>)>,
    secret: [u8; 32],
    voter: bool,
    runner: bool,
    expires_at_ms: u64,
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts = |addresses: &[Multiaddr]| addresses.iter().map(ToString::to_string).collect();
        let body = Body {
            farm: self.farm,
            members: self
                .members
                .iter()
                .map(|(peer, addresses)| (peer.to_string(), texts(addresses)))
                .collect(),
            secret: self.secret,
            voter: self.voter,
            runner: self.runner,
            expires_at_ms: self.expires_at_ms,
        };
        let mut bytes = rmp_serde::to_vec(&body).map_err(|_| fmt::Error)?;
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        let text = data_encoding::BASE32_NOPAD.encode(&bytes);
        write!(f, "{PREFIX}{}", text.to_ascii_lowercase())
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    /// Ignores white space around the text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let encoded = text
            .trim()
            .strip_prefix(PREFIX)
            .filter(|rest| rest.len() <= MAX_TEXT_BYTES)
            .ok_or(TicketError::NotATicket)?;
        let bytes = data_encoding::BASE32_NOPAD
            .decode(encoded.to_ascii_uppercase().as_bytes())
            .map_err(|_| TicketError::Damaged)?;
        let (body, expected) = bytes
            .split_last_chunk::<CHECKSUM_BYTES>()
            .ok_or(TicketError::Damaged)?;
        if checksum(body) != *expected {
            return Err(TicketError::Damaged);
        }
        let body: Body = rmp_serde::from_slice(body).map_err(|_| TicketError::Damaged)?;
        let mut members = Vec::new();
        for (peer, addresses) in body.members {
            let peer: PeerId = peer.parse().map_err(|_| TicketError::Damaged)?;
            let addresses: Result<Vec<Multiaddr>, _> =
                addresses.iter().map(|address| address.parse()).collect();
            members.push((peer, addresses.map_err(|_| TicketError::Damaged)?));
        }
        Ok(Self {
            farm: body.farm,
            members,
            secret: body.secret,
            voter: body.voter,
            runner: body.runner,
            expires_at_ms: body.expires_at_ms,
        })
    }
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = blake3::hash(body);
    let bytes = hash.as_bytes();
    [bytes[0], bytes[1], bytes[2], bytes[3]]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            farm: [7; 32],
            members: vec![(
                PeerId::random(),
                vec![
                    "/ip4/192.168.1.4/tcp/7100".parse().unwrap(),
                    "/ip4/192.168.1.4/udp/7100/quic-v1".parse().unwrap(),
                ],
            )],
            secret: [9; 32],
            voter: true,
            runner: true,
            expires_at_ms: 1_764_000_000_000,
        }
    }

    #[test]
    fn a_ticket_survives_being_copied_as_text() {
        let ticket = ticket();
        let text = format!("  {ticket}\n");
        assert_eq!(text.parse::<Ticket>().unwrap(), ticket);
        assert!(
            ticket
                .to_string()
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        );
    }

    #[test]
    fn a_changed_letter_and_a_missing_end_are_noticed() {
        let text = ticket().to_string();
        let mut changed = text.clone().into_bytes();
        let middle = changed.len() / 2;
        changed[middle] = if changed[middle] == b'a' { b'b' } else { b'a' };
        let changed = String::from_utf8(changed).unwrap();
        assert_eq!(changed.parse::<Ticket>(), Err(TicketError::Damaged));
        assert_eq!(
            text[..text.len() - 8].parse::<Ticket>(),
            Err(TicketError::Damaged)
        );
    }

    #[test]
    fn another_text_is_no_ticket() {
        assert_eq!("hello".parse::<Ticket>(), Err(TicketError::NotATicket));
        assert_eq!("".parse::<Ticket>(), Err(TicketError::NotATicket));
        assert_eq!("jigga1".parse::<Ticket>(), Err(TicketError::Damaged));
    }
}
