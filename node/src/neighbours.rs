//! Lets calls between the web rooms of two nodes travel through the mesh.

use std::time::Duration;

use async_trait::async_trait;
use jiggablend_raft::{JobLog, NodeId};
use jiggablend_transfer::{ByteStream, Mesh, PeerId};
use jiggablend_web::{NeighbourStream, Neighbours};
use tokio::sync::{Mutex, mpsc};

/// A node that cannot be reached by then is told so to the client.
const REACHING: Duration = Duration::from_secs(6);

/// The web rooms of the other members, over the mesh.
pub(crate) struct MeshNeighbours {
    mesh: Mesh,
    log: JobLog,
    incoming: Mutex<mpsc::Receiver<ByteStream>>,
}

impl MeshNeighbours {
    pub(crate) fn new(mesh: Mesh, log: JobLog) -> Self {
        let incoming = Mutex::new(mesh.accept_web());
        Self {
            mesh,
            log,
            incoming,
        }
    }

    fn peer_of(&self, node: NodeId) -> Option<PeerId> {
        self.log.read(|state| {
            let node = state.members().find(|member| member.id == node)?;
            node.peer_id()?.parse().ok()
        })
    }
}

#[async_trait]
impl Neighbours for MeshNeighbours {
    async fn connect(&self, node: NodeId) -> Result<Box<dyn NeighbourStream>, String> {
        let peer = self
            .peer_of(node)
            .ok_or_else(|| "it is no member of the farm's mesh".to_owned())?;
        let stream = self.mesh.open_web(peer, REACHING).await;
        let stream = stream.map_err(|error| error.to_string())?;
        Ok(Box::new(stream))
    }

    async fn accept(&self) -> Option<Box<dyn NeighbourStream>> {
        let stream = self.incoming.lock().await.recv().await?;
        Some(Box::new(stream))
    }
}
