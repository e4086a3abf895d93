//! The real program against nodes that die at the worst moment.
//!
//! The nodes are small servers on loopback that speak `docs/api.md` and share one farm's state,
//! so that each test can say exactly when which of them goes.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod fake_farm;
mod program;

mod download;
mod failover;
mod plain;
mod submit;
