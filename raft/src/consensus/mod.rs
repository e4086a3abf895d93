//! Everything that openraft needs of us: its type parameters, the log store, the wire and the
//! network. Nothing outside `raft/` sees openraft.

mod config;
mod fault;
mod log_store;
mod network;
mod wire;

pub(crate) use config::{
    Answer, Entry, LogId, Member, Membership, StoredMembership, TypeConfig, Vote, raft_config,
};
pub(crate) use fault::Fault;
pub(crate) use log_store::{LogStore, PurgeLimit};
pub(crate) use network::Network;
pub(crate) use wire::{Forwarded, ReadIndex, Request, Response, SnapshotPiece, decode, encode};
