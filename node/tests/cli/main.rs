//! The real program against nodes that die at the worst moment.
//!
//! The nodes are small servers on loopback that speak `docs/api.md` and share one farm's state,
//! so that each test can say exactly when which of them goes. What a farm keeps and who may see it
//! is tested with a real node ([`real_node`]).

#![allow(clippy::unwrap_used, unreachable_pub)]

mod fake_accounts;
mod fake_events;
mod fake_farm;
mod fake_jobs;
mod fake_tus;
mod program;
mod real_node;

mod download;
mod failover;
mod farm_by_hand;
mod login;
mod logs;
mod plain;
mod submit;
mod submit_by_tus;
