//! What only admins and operators do: accounts, runners, tickets, settings, audit.

mod audit;
mod invitations;
mod quota;
mod runners;
mod settings;
mod tickets;
mod users;

pub use audit::audit;
pub use runners::runners;
pub use settings::settings;
pub use tickets::{new_ticket, tickets};
pub use users::users;
