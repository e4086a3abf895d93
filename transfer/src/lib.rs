//! How nodes reach each other and how bytes move between them.
//!
//! Two halves: the [`Mesh`] (identity, discovery, admission, streams over libp2p) and the
//! [`ContentStore`] (chunks and manifests on disk, named by their blake3 hashes). [`Content`] joins
//! them: it keeps bytes on R nodes and fetches what this node lacks from peers that have it.

mod content;
mod mesh;
mod store;
#[cfg(test)]
mod test_farm;
mod ticket;

pub use content::*;
pub use mesh::*;
pub use store::*;
pub use ticket::*;

pub use libp2p::{Multiaddr, PeerId};
