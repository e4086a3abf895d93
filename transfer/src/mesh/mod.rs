//! The mesh: one libp2p swarm a node, and what travels over it.
//!
//! - [`Identity`], [`MeshConfig`]: who this node is and where it listens; [`start`] builds the swarm.
//! - [`gate`]: peers that are not members reach the join protocol only.
//! - [`driver`]: the task that owns the swarm, dials members ([`address_book`]) and reports.
//! - [`calls`], [`MessageStream`]: requests and streams between members, on [`frames`];
//!   [`ByteStream`]: bytes that another protocol frames.
//! - [`join`], [`neighbours`]: how a new node finds a farm and gets in.

mod address_book;
mod behaviour;
mod byte_stream;
mod calls;
mod channel;
mod config;
mod driver;
mod error;
mod frames;
mod gate;
mod handle;
mod handlers;
mod identity;
mod join;
mod message_stream;
mod neighbours;
mod opening;
mod start;
#[cfg(test)]
mod tests;

pub use byte_stream::ByteStream;
pub use channel::Channel;
pub use config::{DiscoveredFarm, FarmBeacon, Member, MeshConfig};
pub use error::{JoinError, JoinRefusal, MeshError};
pub use handle::Mesh;
pub use handlers::{Admission, FarmProof, JoinRequest, RequestHandler};
pub use identity::Identity;
pub use message_stream::{MAX_MESSAGE_BYTES, MessageStream};
