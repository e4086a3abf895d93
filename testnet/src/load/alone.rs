//! What a farm of one that nobody joins needs of a node's other rooms: nothing.

use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use jiggablend_raft::{Actor, Epoch, NodeId, ProposeError, TaskId, Transport, TransportError};
use jiggablend_web::{
    LogLines, NeighbourStream, Neighbours, RunnerCondition, RunnerGateway, RunningLogs,
    TicketMaker, TicketOrder,
};

pub(crate) struct Alone;

#[async_trait]
impl Transport for Alone {
    async fn call(
        &self,
        node: NodeId,
        _peer_id: &str,
        _request: Vec<u8>,
        _timeout: Duration,
    ) -> Result<Vec<u8>, TransportError> {
        Err(TransportError(format!("node {node} is not there")))
    }
}

#[async_trait]
impl TicketMaker for Alone {
    async fn make(
        &self,
        _actor: Actor,
        _from: Option<IpAddr>,
        _order: TicketOrder,
    ) -> Result<String, ProposeError> {
        Err(ProposeError::NoLeader("this farm takes no nodes".into()))
    }
}

impl RunnerGateway for Alone {
    fn heard(&self, _condition: RunnerCondition) {}
}

#[async_trait]
impl Neighbours for Alone {
    async fn connect(&self, node: NodeId) -> Result<Box<dyn NeighbourStream>, String> {
        Err(format!("node {node} is not there"))
    }

    async fn accept(&self) -> Option<Box<dyn NeighbourStream>> {
        std::future::pending().await
    }
}

impl RunningLogs for Alone {
    fn lines(&self, _task: TaskId, _epoch: Epoch, _from: u64) -> Option<LogLines> {
        None
    }
}
