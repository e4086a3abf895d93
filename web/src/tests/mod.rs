//! The API over a real socket, a real job log and a real content store of one node.

#![allow(clippy::unwrap_used)]

mod access;
mod create;
mod downloads;
mod live_events;
mod metrics;
mod node;
mod page_and_health;
mod sign_in;
mod uploads;
mod webhooks;
