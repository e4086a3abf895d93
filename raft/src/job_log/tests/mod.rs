//! The whole job log in one process: real logs on disk, nodes joined by a transport in memory.
#![allow(clippy::unwrap_used)]

mod farm;

mod catch_up;
mod failover;
mod restart;
mod storage_suite;
