//! openraft's network over the farm's [`Transport`].

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::RPCOption;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotOf;
use openraft::{OptionalSend, RaftNetworkFactory, RaftNetworkV2};

use super::{Member, Request, Response, SnapshotPiece, TypeConfig, Vote, decode, encode};
use crate::machine::SnapshotBytes;
use crate::{NodeId, Transport};

/// Bytes of a snapshot in one request; the message around it stays below 4 MiB.
const SNAPSHOT_PIECE_BYTES: usize = 3 * 1024 * 1024;
/// A piece must be fsynced with the whole snapshot when it is the last one.
const SNAPSHOT_PIECE_TIMEOUT: Duration = Duration::from_secs(15);
/// openraft offers one heartbeat's time for an append. That is right for heartbeats, which have a
/// connection of their own, and too little for megabytes of entries and their fsync.
const HEARTBEATS_PER_APPEND: u32 = 16;

/// Makes a connection to any node of the Raft group.
#[derive(Clone)]
pub(crate) struct Network {
    transport: Arc<dyn Transport>,
}

impl Network {
    pub(crate) fn new(transport: Arc<dyn Transport>) -> Self {
        Self { transport }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: NodeId, member: &Member) -> Connection {
        Connection {
            transport: self.transport.clone(),
            target,
            peer_id: member.peer_id.clone(),
            append_patience: HEARTBEATS_PER_APPEND,
        }
    }

    async fn new_heartbeat_client(&mut self, target: NodeId, member: &Member) -> Connection {
        Connection {
            append_patience: 1,
            ..self.new_client(target, member).await
        }
    }
}

/// Raft's messages to one node.
pub(crate) struct Connection {
    transport: Arc<dyn Transport>,
    target: NodeId,
    peer_id: String,
    /// How often openraft's own time an append may take.
    append_patience: u32,
}

impl Connection {
    async fn call(
        &self,
        request: &Request,
        timeout: Duration,
    ) -> Result<Response, RPCError<TypeConfig>> {
        let answer = self
            .transport
            .call(self.target, &self.peer_id, encode(request), timeout)
            .await;
        let unreachable = |reason: String| {
            let reason = format!("node {}: {reason}", self.target);
            RPCError::Unreachable(Unreachable::from_string(reason))
        };
        let bytes = answer.map_err(|error| unreachable(error.to_string()))?;
        match decode(&bytes).map_err(unreachable)? {
            Response::Failed(reason) => Err(unreachable(reason)),
            response => Ok(response),
        }
    }

    fn unexpected(&self) -> RPCError<TypeConfig> {
        let reason = format!("node {} answered another question", self.target);
        RPCError::Unreachable(Unreachable::from_string(reason))
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig, SnapshotBytes>,
    ) -> Result<SnapshotResponse<TypeConfig>, RPCError<TypeConfig>> {
        let file = snapshot.snapshot.0;
        let total_bytes = file.len() as u64;
        tracing::info!(node = %self.target, total_bytes, "sending a snapshot");
        let mut offset_bytes = 0;
        loop {
            let end = file.len().min(offset_bytes + SNAPSHOT_PIECE_BYTES);
            let piece = SnapshotPiece {
                vote,
                meta: snapshot.meta.clone(),
                offset_bytes: offset_bytes as u64,
                total_bytes,
                bytes: file[offset_bytes..end].to_vec(),
            };
            let request = Request::Snapshot(piece);
            match self.call(&request, SNAPSHOT_PIECE_TIMEOUT).await? {
                Response::SnapshotPieceKept if end < file.len() => offset_bytes = end,
                Response::SnapshotInstalled(installed) => return Ok(installed),
                _ => return Err(self.unexpected()),
            }
        }
    }
}

impl RaftNetworkV2<TypeConfig> for Connection {
    type SnapshotData = SnapshotBytes;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RPCError<TypeConfig>> {
        let patience = option.hard_ttl() * self.append_patience;
        match self.call(&Request::Append(rpc), patience).await? {
            Response::Append(response) => Ok(response),
            _ => Err(self.unexpected()),
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self.call(&Request::Vote(rpc), option.hard_ttl()).await? {
            Response::Vote(response) => Ok(response),
            _ => Err(self.unexpected()),
        }
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RPCError<TypeConfig>> {
        match self.call(&Request::PreVote(rpc), option.hard_ttl()).await? {
            Response::PreVote(response) => Ok(response),
            _ => Err(self.unexpected()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<TypeConfig, SnapshotBytes>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            closed = cancel => Err(closed.into()),
            sent = self.send_snapshot(vote, snapshot) => Ok(sent?),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RPCError<TypeConfig>> {
        let request = Request::TransferLeader(request);
        match self.call(&request, option.hard_ttl()).await? {
            Response::TransferLeader(response) => Ok(response),
            _ => Err(self.unexpected()),
        }
    }
}
