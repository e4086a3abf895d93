//! Two nodes of one farm, whose web rooms reach each other over streams in memory: what the mesh
//! does, without it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jiggablend_raft::NodeId;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use crate::{NeighbourStream, Neighbours};

const BUFFER_BYTES: usize = 64 * 1024;

/// Where streams between nodes begin and end.
#[derive(Clone, Default)]
pub(super) struct Hallway {
    doors: Arc<Mutex<HashMap<NodeId, mpsc::Sender<DuplexStream>>>>,
}

/// One node's end of the hallway.
pub(super) struct Door {
    hallway: Hallway,
    incoming: tokio::sync::Mutex<mpsc::Receiver<DuplexStream>>,
}

impl Hallway {
    pub(super) fn door_of(&self, node: NodeId) -> Arc<Door> {
        let (sender, incoming) = mpsc::channel(16);
        self.doors.lock().unwrap().insert(node, sender);
        Arc::new(Door {
            hallway: self.clone(),
            incoming: tokio::sync::Mutex::new(incoming),
        })
    }

    /// Nobody reaches that node any more.
    pub(super) fn close(&self, node: NodeId) {
        self.doors.lock().unwrap().remove(&node);
    }
}

#[async_trait]
impl Neighbours for Door {
    async fn connect(&self, node: NodeId) -> Result<Box<dyn NeighbourStream>, String> {
        let door = self.hallway.doors.lock().unwrap().get(&node).cloned();
        let door = door.ok_or_else(|| "it is not there".to_owned())?;
        let (here, there) = tokio::io::duplex(BUFFER_BYTES);
        door.send(there).await.map_err(|error| error.to_string())?;
        Ok(Box::new(here))
    }

    async fn accept(&self) -> Option<Box<dyn NeighbourStream>> {
        let stream = self.incoming.lock().await.recv().await?;
        Some(Box::new(stream))
    }
}
