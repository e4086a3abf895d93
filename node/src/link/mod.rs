//! The standing streams between every node and the leader.
//!
//! Each node keeps one stream up to the leader and the leader one down to each node; each is
//! written by one side only. What travels here never enters the log: leases being pushed,
//! progress, heartbeats. A node says there too what it hears of runners that speak only HTTP
//! ([`HttpRunners`]). Whatever is lost with a stream is said again in the next [`Hello`].

mod http_runners;
mod messages;
mod node_side;
mod streams;

pub(crate) use http_runners::HttpRunners;
pub(crate) use messages::*;
pub(crate) use node_side::*;
pub(crate) use streams::*;
