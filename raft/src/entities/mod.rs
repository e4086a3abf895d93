//! The things of the farm as the state holds them. The API shows them; `apply` alone changes them.

mod audit;
mod farm;
mod jobs;
mod nodes;
mod sign_in;
mod users;
mod webhooks;

pub use audit::*;
pub use farm::*;
pub use jobs::*;
pub use nodes::*;
pub use sign_in::*;
pub use users::*;
pub use webhooks::*;
