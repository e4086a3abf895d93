//! The API over a real socket, a real job log and a real content store of one node.

#![allow(clippy::unwrap_used)]

mod access;
mod accounts;
mod admin;
mod archives;
mod create;
mod devices;
mod doors;
mod downloads;
mod job_parts;
mod live_events;
mod metrics;
mod neighbours;
mod node;
mod page_and_health;
mod previews;
mod provider;
mod providers;
mod quotas;
mod resumable_uploads;
mod rights;
mod routes;
mod runners;
mod sign_in;
mod slow;
mod tokens;
mod uploads;
mod webhooks;
