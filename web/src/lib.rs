//! The REST API, sign-in and live events of a node, and the embedded page.
//!
//! `docs/api.md` describes the routes. Handlers read the node's own state and propose commands
//! to the job log, which takes them to the leader; bytes go to and come from the content store.

mod blend;
mod live;
mod server;

pub use live::*;
pub use server::*;
