//! A running node: opens its data directory, finds its place in a farm, starts every room in
//! order, and stops them in the opposite one.

mod announce;
mod entry;
mod greeting;
mod ground;
mod housekeeping;
mod running;
mod sign_in;

pub(crate) use running::{join, node_name, start};
