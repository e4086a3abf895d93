//! Runners that speak only HTTP.

mod gateway;

pub use gateway::{RunnerCondition, RunnerGateway};
