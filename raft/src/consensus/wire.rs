//! What nodes of the Raft group say to each other, as msgpack through the transport.

use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use openraft::type_config::alias::SnapshotMetaOf;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{TypeConfig, Vote};
use crate::{Command, Effect, Refusal};

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    Append(AppendEntriesRequest<TypeConfig>),
    Vote(VoteRequest<TypeConfig>),
    PreVote(VoteRequest<TypeConfig>),
    Snapshot(SnapshotPiece),
    TransferLeader(TransferLeaderRequest<TypeConfig>),
    Propose(Command),
    ReadIndex,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Response {
    Append(AppendEntriesResponse<TypeConfig>),
    Vote(VoteResponse<TypeConfig>),
    PreVote(VoteResponse<TypeConfig>),
    /// The piece is kept; the next one may come.
    SnapshotPieceKept,
    SnapshotInstalled(SnapshotResponse<TypeConfig>),
    TransferLeader(TransferLeaderResponse<TypeConfig>),
    Proposed(Forwarded),
    ReadIndex(ReadIndex),
    /// The node cannot serve the request.
    Failed(String),
}

/// A part of a snapshot's file. Pieces come in order; a piece at offset 0 starts anew.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SnapshotPiece {
    pub(crate) vote: Vote,
    pub(crate) meta: SnapshotMetaOf<TypeConfig>,
    pub(crate) offset_bytes: u64,
    pub(crate) total_bytes: u64,
    #[serde(with = "bytes_of_piece")]
    pub(crate) bytes: Vec<u8>,
}

/// What became of a proposal that was sent to the leader.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Forwarded {
    Applied {
        index: u64,
        result: Result<Effect, Refusal>,
    },
    /// That node does not lead, or could not finish. Nothing is known of the command.
    NotLeading(String),
}

/// Everything that was acknowledged before the question is at or below `Known`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum ReadIndex {
    Known(u64),
    NotLeading(String),
}

pub(crate) fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(message).expect("messages of the job log are always encodable")
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    rmp_serde::from_slice(bytes).map_err(|error| error.to_string())
}

/// As one msgpack byte string instead of a list of numbers.
mod bytes_of_piece {
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Vec<u8>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a byte string")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }

            fn visit_byte_buf<E>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
                Ok(bytes)
            }
        }
        from.deserialize_byte_buf(Visitor)
    }
}
