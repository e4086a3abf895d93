//! Hands the mesh to the job log: its requests travel on the `JobLog` channel.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiggablend_raft::{JobLog, NodeId, Transport, TransportError};
use jiggablend_transfer::{Channel, Mesh, PeerId, RequestHandler};

pub(crate) struct MeshTransport {
    mesh: Mesh,
}

impl MeshTransport {
    pub(crate) fn new(mesh: Mesh) -> Self {
        Self { mesh }
    }
}

#[async_trait]
impl Transport for MeshTransport {
    async fn call(
        &self,
        node: NodeId,
        peer_id: &str,
        request: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, TransportError> {
        let peer: PeerId = peer_id
            .parse()
            .map_err(|error| TransportError(format!("node {node} has a bad peer id: {error}")))?;
        let answer = self
            .mesh
            .call(peer, Channel::JobLog, &request, timeout)
            .await
            .map_err(|error| TransportError(error.to_string()))?;
        Ok(answer.into())
    }
}

struct JobLogHandler {
    log: JobLog,
}

#[async_trait]
impl RequestHandler for JobLogHandler {
    async fn handle(&self, _from: PeerId, request: Bytes) -> Result<Vec<u8>, String> {
        Ok(self.log.handle(&request).await)
    }
}

/// Answers other members' job log requests from now on.
pub(crate) fn serve_job_log(mesh: &Mesh, log: JobLog) {
    mesh.serve(Channel::JobLog, Arc::new(JobLogHandler { log }));
}
