//! The mesh: one libp2p swarm a node, and what travels over it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::Ticket;

/// A node's Ed25519 key, kept in its data directory. Its PeerId is derived from it.
#[derive(Clone)]
pub struct Identity {}

impl Identity {
    /// Loads the key from `path`, or makes one and writes it (mode 0600, fsynced) where there is none.
    pub fn load_or_create(_path: &Path) -> Result<Self, MeshError> {
        todo!()
    }

    pub fn peer_id(&self) -> PeerId {
        todo!()
    }
}

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

/// What travels over the mesh between members. Each is a libp2p protocol of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The job log's requests (Raft and forwarded proposals).
    JobLog,
    /// The standing streams between a node and the leader.
    Link,
    /// Chunks and manifests.
    Content,
}

#[derive(Debug, thiserror::Error)]
pub enum MeshError {
    #[error("{doing}: {reason}")]
    Io { doing: String, reason: String },
    #[error("cannot listen on port {port}: {reason}")]
    Listen { port: u16, reason: String },
    #[error("cannot reach {peer}: {reason}")]
    Unreachable { peer: PeerId, reason: String },
    #[error("{peer} did not answer within {} ms", .timeout.as_millis())]
    TimedOut { peer: PeerId, timeout: Duration },
    #[error("{peer} answered with an error: {reason}")]
    Remote { peer: PeerId, reason: String },
}

/// Answers requests of members on one channel.
#[async_trait]
pub trait RequestHandler: Send + Sync + 'static {
    async fn handle(&self, from: PeerId, request: Bytes) -> Result<Vec<u8>, String>;
}

/// Lets new nodes in. The node implements it over the job log.
#[async_trait]
pub trait Admission: Send + Sync + 'static {
    /// Proves which farm this is: the farm's public key, and its signature over `challenge`.
    async fn prove(&self, challenge: [u8; 32]) -> Result<FarmProof, String>;
    /// Shows the secret of a ticket; answers what the joiner must know of the farm.
    async fn admit(&self, peer: PeerId, request: JoinRequest) -> Result<Vec<u8>, JoinRefusal>;
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FarmProof {
    pub public_key: [u8; 32],
    /// Ed25519 over `b"jiggablend join" || challenge || joiner's PeerId bytes`; 64 bytes.
    pub signature: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    pub secret: [u8; 32],
    pub name: String,
    /// Mesh addresses of the joiner.
    pub addresses: Vec<String>,
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

/// A stream of whole messages to or from one member, each at most [`MAX_MESSAGE_BYTES`].
/// One direction is written by one side only; use two streams for two directions.
pub struct MessageStream {}

/// The longest message that a stream carries.
pub const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

impl MessageStream {
    pub async fn send(&mut self, _message: &[u8]) -> Result<(), MeshError> {
        todo!()
    }

    /// `None` when the other side closed the stream in order.
    pub async fn receive(&mut self) -> Result<Option<Bytes>, MeshError> {
        todo!()
    }
}

/// A node's place in the mesh. Cheap to clone; the swarm runs in a task of its own.
#[derive(Clone)]
pub struct Mesh {}

impl Mesh {
    pub async fn start(_config: MeshConfig) -> Result<Self, MeshError> {
        todo!()
    }

    pub fn peer_id(&self) -> PeerId {
        todo!()
    }

    /// Where this node listens, with the port that it really has.
    pub fn addresses(&self) -> Vec<Multiaddr> {
        todo!()
    }

    /// Says who is a member now. Connections of peers that are no longer in the list are closed,
    /// members that are not connected are dialled in the background.
    pub fn set_members(&self, _members: Vec<Member>) {
        todo!()
    }

    /// From now on this node announces that it belongs to the farm.
    pub fn set_farm(&self, _farm: FarmBeacon) {
        todo!()
    }

    /// The members that are connected now.
    pub fn connected(&self) -> watch::Receiver<BTreeSet<PeerId>> {
        todo!()
    }

    /// Farms that mDNS found, newest word of each peer.
    pub fn discovered_farms(&self) -> watch::Receiver<Vec<DiscoveredFarm>> {
        todo!()
    }

    /// One request to a member and its answer.
    pub async fn call(
        &self,
        _peer: PeerId,
        _channel: Channel,
        _request: &[u8],
        _timeout: Duration,
    ) -> Result<Bytes, MeshError> {
        todo!()
    }

    /// Answers members' requests on that channel from now on.
    pub fn serve(&self, _channel: Channel, _handler: Arc<dyn RequestHandler>) {
        todo!()
    }

    /// Opens a stream to a member for this side to write.
    pub async fn open(
        &self,
        _peer: PeerId,
        _channel: Channel,
        _timeout: Duration,
    ) -> Result<MessageStream, MeshError> {
        todo!()
    }

    /// Streams that members open on that channel, for this side to read.
    pub fn accept(&self, _channel: Channel) -> mpsc::Receiver<(PeerId, MessageStream)> {
        todo!()
    }

    /// Serves the join protocol, the only one that reaches peers that are not members.
    pub fn serve_join(&self, _admission: Arc<dyn Admission>) {
        todo!()
    }

    /// Joins the ticket's farm: checks the farm's identity first, then shows the secret.
    /// Answers the bytes that the farm's [`Admission::admit`] gave.
    pub async fn join(&self, _ticket: &Ticket, _name: &str) -> Result<Vec<u8>, JoinError> {
        todo!()
    }

    pub async fn shutdown(&self) {
        todo!()
    }
}
