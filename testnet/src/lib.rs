//! Farms on one machine, made of real processes: for trying out, for tests, for benchmarks.
//!
//! In the order in which a test uses them:
//!
//! - [`program`] finds the programs: `jiggablend` itself, Blender.
//! - [`scenes`] makes the scene files that are rendered.
//! - [`farm`] starts a farm of [`node`] processes, each of which can be killed and restarted.
//! - [`api`] talks to a node as a client does; [`wire`] is what it says; [`events`] reads the
//!   live stream.
//! - [`http_runner`] starts runners that speak only HTTP.
//! - [`command_line`] runs `jiggablend` as a person would.
//! - [`wait`] waits for a condition, with a deadline.
//! - [`provider`] is a provider to sign in with.
//! - [`schemathesis`] goes through the whole API by its document.
//! - [`process_tree`] sees what a node has started.
//!
//! [`up`] is `testnet/up` and [`bench`] is `testnet/bench`; [`load_protocol`] is what a bench and
//! the program `jiggablend-load` say to each other.

pub mod api;
pub mod bench;
pub mod command_line;
mod error;
pub mod events;
pub mod farm;
pub mod http_runner;
pub mod load_protocol;
pub mod node;
pub mod process_tree;
pub mod program;
pub mod provider;
pub mod scenes;
pub mod schemathesis;
pub mod up;
pub mod wait;
pub mod wire;

pub use error::{Result, TestnetError};
