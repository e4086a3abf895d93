//! The REST API, sign-in and live events of a node, and the embedded page.
//!
//! `docs/api.md` describes the routes. Handlers read the node's own state and propose commands
//! to the job log, which takes them to the leader; bytes go to and come from the content store.
//!
//! A request goes through [`connections`], finds its line in the table of [`routes`], passes the
//! guard of [`access`] and reaches its handler: [`auth`], [`jobs`], [`upload`], [`files`],
//! [`events`], [`farm`], [`health`], [`metrics`], or [`page`] for what is no route. [`views`] are the shapes of
//! what they answer, [`problem`]s what they answer when they cannot.

mod access;
mod app;
mod audit;
mod auth;
mod blend;
mod connections;
mod events;
mod farm;
mod files;
mod health;
mod jobs;
mod json;
mod live;
mod metrics;
mod neighbours;
mod openapi;
mod page;
mod path;
mod places;
mod problem;
mod query;
mod quota;
mod routes;
mod runners;
mod secrets;
mod server;
mod settings;
mod tickets;
mod tokens;
mod upload;
mod users;
mod views;
mod webhooks;

#[cfg(test)]
mod tests;

pub use auth::{
    DiscordConfig, OidcConfig, ProviderConfig, ProviderKind, ProviderUrl, ProviderUrlError,
    ensure_test_user, password_fault,
};
pub use blend::{BlendError, SceneError, check_scene};
pub use connections::{Certificates, TlsFiles};
pub use jobs::logs::{LogLines, RunningLogs};
pub use live::*;
pub use neighbours::{NeighbourStream, Neighbours};
pub use runners::{ExpectedSize, PictureError, RunnerCondition, RunnerGateway, check_png};
pub use server::*;
pub use views::job_name;
pub use webhooks::WebhookReach;
