//! What only the leader does: who renders what, who is gone, who votes, who is told by webhook.
//!
//! [`Scheduler`] and [`plan_group`] decide, as functions over values; [`Duties`] does the I/O:
//! it hears of events and of nodes, proposes what was decided, and pushes leases to runners.
//! [`Deliveries`] sends what webhooks are due.

mod assignment;
mod duties;
mod group;
mod http_runners;
mod round;
mod scheduler;
mod session;
mod webhooks;

pub(crate) use duties::{Duties, FAREWELL};
use group::plan_group;
use scheduler::Scheduler;
use webhooks::Deliveries;
