//! Answers what other nodes ask: Raft's messages, pieces of snapshots, forwarded proposals.

use openraft::Snapshot;

use super::{Inner, propose};
use crate::consensus::{Request, Response, SnapshotPiece, decode, encode};
use crate::machine::{MAX_SNAPSHOT_BYTES, SnapshotBytes, SnapshotMeta};

/// What has come of a snapshot so far.
#[derive(Default)]
pub(super) struct IncomingSnapshot {
    meta: Option<SnapshotMeta>,
    bytes: Vec<u8>,
}

impl IncomingSnapshot {
    /// Adds a piece. True when the snapshot is whole.
    fn add(&mut self, piece: &SnapshotPiece) -> Result<bool, String> {
        if piece.total_bytes > MAX_SNAPSHOT_BYTES {
            return Err(format!(
                "a snapshot of {} bytes is too large",
                piece.total_bytes
            ));
        }
        if piece.offset_bytes == 0 {
            self.meta = Some(piece.meta.clone());
            self.bytes.clear();
        }
        let follows = self.meta.as_ref() == Some(&piece.meta)
            && self.bytes.len() as u64 == piece.offset_bytes
            && piece.offset_bytes + piece.bytes.len() as u64 <= piece.total_bytes;
        if !follows {
            *self = Self::default();
            return Err("a piece of a snapshot is out of order; send it from the start".into());
        }
        self.bytes.extend_from_slice(&piece.bytes);
        Ok(self.bytes.len() as u64 == piece.total_bytes)
    }
}

pub(super) async fn answer(inner: &Inner, request: &[u8]) -> Vec<u8> {
    let response = match decode(request) {
        Ok(request) => respond(inner, request).await,
        Err(error) => Err(format!("the request cannot be read: {error}")),
    };
    encode(&response.unwrap_or_else(Response::Failed))
}

async fn respond(inner: &Inner, request: Request) -> Result<Response, String> {
    // What this node could not keep it must not acknowledge (I11).
    if let Some(reason) = inner.fault.get() {
        return Err(format!("its job log has stopped: {reason}"));
    }
    let raft = &inner.raft;
    Ok(match request {
        Request::Append(rpc) => {
            Response::Append(raft.append_entries(rpc).await.map_err(|e| e.to_string())?)
        }
        Request::Vote(rpc) => Response::Vote(raft.vote(rpc).await.map_err(|e| e.to_string())?),
        Request::PreVote(rpc) => {
            Response::PreVote(raft.pre_vote(rpc).await.map_err(|e| e.to_string())?)
        }
        Request::Snapshot(piece) => take_snapshot(inner, piece).await?,
        Request::TransferLeader(request) => Response::TransferLeader(
            raft.handle_transfer_leader(request)
                .await
                .map_err(|e| e.to_string())?,
        ),
        Request::Propose(command) => {
            Response::Proposed(propose::propose_as_leader(inner, command).await)
        }
        Request::ReadIndex => Response::ReadIndex(propose::read_index_as_leader(inner).await),
    })
}

async fn take_snapshot(inner: &Inner, piece: SnapshotPiece) -> Result<Response, String> {
    let mut incoming = inner.incoming.lock().await;
    if !incoming.add(&piece)? {
        return Ok(Response::SnapshotPieceKept);
    }
    let whole = std::mem::take(&mut *incoming);
    drop(incoming);
    let snapshot = Snapshot {
        meta: piece.meta,
        snapshot: SnapshotBytes(whole.bytes.into()),
    };
    let installed = inner
        .raft
        .install_full_snapshot(piece.vote, snapshot)
        .await
        .map_err(|error| error.to_string())?;
    Ok(Response::SnapshotInstalled(installed))
}
