//! What a mesh is started with, and what it knows of farms and members.

use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};

use super::Identity;

/// How to start a mesh.
#[derive(Clone)]
pub struct MeshConfig {
    pub identity: Identity,
    /// TCP port; QUIC listens on the same number over UDP. 0 takes any free one.
    pub port: u16,
    /// The addresses to listen on: `0.0.0.0` and `::` normally, `127.0.0.1` in a testnet.
    pub listen: Vec<std::net::IpAddr>,
    /// Find members (and farms to join) on the local network.
    pub mdns: bool,
    /// The farm that this node is a member of, announced on the local network.
    pub farm: Option<FarmBeacon>,
}

/// What a member tells the local network of its farm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FarmBeacon {
    pub farm: [u8; 32],
    pub name: String,
}

/// A farm seen on the local network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiscoveredFarm {
    pub beacon: FarmBeacon,
    pub peer: PeerId,
    pub addresses: Vec<Multiaddr>,
}

/// A peer that may use more than the join protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub peer: PeerId,
    pub addresses: Vec<Multiaddr>,
}
