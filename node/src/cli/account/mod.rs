//! Who one is at a farm: signing in and out, and one's own tokens and sessions.

mod device;
mod local;
mod login;
mod logout;
mod password;
mod sessions;
mod tokens;
mod whoami;

pub use login::login;
pub use logout::logout;
pub use password::new_password;
pub use sessions::sessions;
pub use tokens::tokens;
pub use whoami::{quota_words, whoami};
