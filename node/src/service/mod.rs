//! A running node: opens its data directory, finds its place in a farm, starts every room in
//! order, and stops them in the opposite one.

mod announce;
mod entry;
mod greeting;
mod ground;
mod housekeeping;
mod local_auth;
mod running;

pub(crate) use running::{join, node_name, start};
