//! Content across nodes: keep it on R of them, fetch it from whichever has it.
//!
//! - [`protocol`]: what members ask each other, one request and one answer at a time.
//! - [`server`]: answering them from this node's store.
//! - [`peers`]: asking them, and who is asked next.
//! - [`keep`], [`fetch`], [`read`]: what a node wants of it.

mod fetch;
mod keep;
mod peers;
mod protocol;
mod read;
mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use libp2p::PeerId;

pub use read::{ContentReader, ContentStream};

use crate::{Channel, ContentStore, Mesh, Stored};
use peers::Usage;
use server::ContentServer;

/// How many nodes keep each file, where there are that many.
pub const DEFAULT_COPIES: usize = 2;

/// What was kept, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub stored: Stored,
    /// This node first, then the peers that have fsynced all of it.
    pub holders: Vec<PeerId>,
}

/// The store of this node and of its peers, as one. Cheap to clone.
#[derive(Clone)]
pub struct Content {
    store: ContentStore,
    mesh: Mesh,
    usage: Arc<Usage>,
}

impl Content {
    /// Joins store and mesh, and serves the [`crate::Channel::Content`] channel to members.
    pub fn new(store: ContentStore, mesh: Mesh) -> Self {
        let server = ContentServer::new(store.clone());
        mesh.serve(Channel::Content, Arc::new(server));
        Self {
            store,
            mesh,
            usage: Arc::default(),
        }
    }

    pub fn store(&self) -> &ContentStore {
        &self.store
    }
}
