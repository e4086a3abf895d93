//! Webhooks: the leader sends what apply enqueued, and writes into the log what came of it, so that
//! retries go on wherever the leader is.
//!
//! [`Deliveries`] takes what is due, [`message`] says it in the webhook's shape, [`signature`] signs
//! it, and [`post`] sends it, only to where a webhook may go.

mod deliveries;
mod message;
mod post;
mod signature;
#[cfg(test)]
mod tests;

pub(super) use deliveries::Deliveries;
