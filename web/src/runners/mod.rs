//! Runners that speak only HTTP, and what admins see of all runners.
//!
//! Such a runner is a node of the farm like any other, with leases, epochs and attempts in the job
//! log. It shows a registration token once ([`register`]), then works with its own credential
//! ([`caller`]): it says that it is there ([`heartbeat`]), takes [`tasks`], reads what they need
//! ([`files`]), brings what it made ([`upload`]), and completes them ([`complete`]).
//!
//! Its leases are read from the state ([`leases`]), so that it may talk to any node and change at
//! any time. What the leader must hear of it goes through the [`RunnerGateway`]; what this node
//! remembers of it ([`presence`]) is only who asks for how much.

pub(crate) mod admin;
mod caller;
pub(crate) mod complete;
mod facts;
pub(crate) mod files;
mod gateway;
mod handle;
pub(crate) mod heartbeat;
mod leases;
mod made;
mod picture;
mod presence;
pub(crate) mod register;
mod sent;
mod shared;
pub(crate) mod tasks;
pub(crate) mod upload;

pub(crate) use caller::RunnerCaller;
pub use gateway::{RunnerCondition, RunnerGateway};
pub use picture::{ExpectedSize, PictureError, check_png};
pub(crate) use presence::Presence;
pub(crate) use sent::Sent;
