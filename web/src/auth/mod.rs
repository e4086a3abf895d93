//! Signing in and out, and who one is.
//!
//! [`local`] accounts sign in with a password, [`external`] ones through the [`providers`] that
//! the node's owner configured, a command line through a browser: [`device`]. What comes of it is
//! one of the [`sessions`], or an API token. [`account`] is what somebody sees of their own, and
//! [`limits`] are how often one may try.

pub(crate) mod account;
pub(crate) mod device;
pub(crate) mod external;
pub(crate) mod local;
pub(crate) mod sessions;

mod limits;
mod passwords;
mod providers;
mod sign_in_cookie;

pub use local::{ensure_test_user, password_fault};
pub use providers::{
    DiscordConfig, OidcConfig, ProviderConfig, ProviderKind, ProviderUrl, ProviderUrlError,
};

pub(crate) use device::DevicePolls;
pub(crate) use limits::{Door, Limits, Try};
pub(crate) use local::{checked_email, checked_name, checked_password};
pub(crate) use passwords::Passwords;
pub(crate) use providers::Providers;
