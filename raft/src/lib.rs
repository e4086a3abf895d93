//! The replicated job log: what may be written into it, the pure state that it acts on, and how
//! both are kept on disk and spread over the farm's voters.
//!
//! In the order in which things happen: a [`Command`] is proposed to the [`JobLog`], goes through
//! openraft to a quorum of fsynced logs, is applied to the [`State`] in memory, becomes an
//! [`Applied`] event, and reaches DuckDB in a batch behind.
//!
//! This crate knows no libp2p and no axum: it speaks to other nodes through a [`Transport`].

mod command;
mod consensus;
mod entities;
mod event;
mod frames;
mod ids;
mod job_log;
mod machine;
mod projection;
mod state;
#[cfg(test)]
mod testing;

pub use command::*;
pub use entities::*;
pub use event::*;
pub use frames::*;
pub use ids::*;
pub use job_log::*;
pub use state::*;
