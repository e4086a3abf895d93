//! What the mesh asks of the node that it serves.

use async_trait::async_trait;
use bytes::Bytes;
use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::JoinRefusal;

/// Answers requests of members on one channel.
#[async_trait]
pub trait RequestHandler: Send + Sync + 'static {
    /// May see one request twice, when the connection broke before the answer was out.
    async fn handle(&self, from: PeerId, request: Bytes) -> Result<Vec<u8>, String>;
}

/// Lets new nodes in. The node implements it over the job log.
#[async_trait]
pub trait Admission: Send + Sync + 'static {
    /// Proves to `joiner` which farm this is: the farm's public key, and its signature over
    /// [`FarmProof::signed_bytes`].
    async fn prove(&self, joiner: PeerId, challenge: [u8; 32]) -> Result<FarmProof, String>;
    /// Shows the secret of a ticket; answers what the joiner must know of the farm. A peer that
    /// asks again with the secret that let it in gets the same answer again.
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
