//! `login`, `logout`, `whoami`, `token …` and `session …`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::user::PasswordOptions;
use super::values::parse_duration;
use super::{ClientOptions, DataDir, WayOptions};

pub const LOGIN_EXAMPLES: &str = "Examples:
  jiggablend login https://farm.example
  jiggablend login http://attic:8080 --email ada@example.org
  jiggablend login http://attic:8080 --with-token < token.txt";

#[derive(Debug, Clone, Args)]
pub struct LoginArgs {
    /// The web address of any of the farm's nodes [default: this machine's node, or the farm of the last login]
    #[arg(value_name = "URL", env = "JIGGABLEND_URL")]
    pub url: Option<String>,
    /// Sign in with a browser, on this machine or another one
    #[arg(long, conflicts_with_all = ["email", "with_token"])]
    pub web: bool,
    /// Sign in with this e-mail address and its password
    #[arg(long, value_name = "EMAIL", conflicts_with = "with_token")]
    pub email: Option<String>,
    #[command(flatten)]
    pub password: PasswordOptions,
    /// Read an API token from stdin and keep that
    #[arg(long, conflicts_with = "password_stdin")]
    pub with_token: bool,
    #[command(flatten)]
    pub data: DataDir,
    #[command(flatten)]
    pub way: WayOptions,
    /// Print results as JSON on stdout and errors as JSON on stderr; no progress
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct LogoutArgs {
    /// The farm's web address, id or name [default: the one of the last login]
    #[arg(value_name = "FARM", conflicts_with = "all")]
    pub farm: Option<String>,
    /// All farms
    #[arg(long)]
    pub all: bool,
    #[command(flatten)]
    pub way: WayOptions,
    /// Print results as JSON on stdout and errors as JSON on stderr; no progress
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Clone, Args)]
pub struct WhoamiArgs {
    #[command(flatten)]
    pub client: ClientOptions,
}

/// What a token is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum ScopeArg {
    /// Look at everything that its owner may see
    Read,
    /// Submit, cancel, share jobs
    Jobs,
    /// Its owner's account and, for admins, the farm
    Admin,
    /// For admins: the farm's metrics alone
    Metrics,
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// List one's own tokens
    List,
    /// Make a token; it is shown once
    #[command(after_help = "Examples:
  jiggablend token create \"build server\" --scope read --scope jobs --ttl 365d
  jiggablend token create prometheus --scope metrics --no-expiry")]
    Create(TokenCreateArgs),
    /// Make a token good for nothing, at once and everywhere
    Revoke(TokenRevokeArgs),
}

#[derive(Debug, Clone, Args)]
pub struct TokenCreateArgs {
    /// What it is for
    #[arg(value_name = "NAME")]
    pub name: String,
    /// What it is good for, again or with commas for more
    #[arg(
        long = "scope",
        value_name = "SCOPE",
        value_delimiter = ',',
        default_value = "read,jobs"
    )]
    pub scopes: Vec<ScopeArg>,
    /// How long it is good: 2h, 90d
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = parse_duration)]
    pub ttl: Duration,
    /// Good until it is revoked
    #[arg(long, conflicts_with = "ttl")]
    pub no_expiry: bool,
}

#[derive(Debug, Clone, Args)]
pub struct TokenRevokeArgs {
    /// The token's id, a part of it, or its name
    #[arg(value_name = "TOKEN-ID")]
    pub api_token: String,
}

#[derive(Debug, Subcommand)]
pub enum SessionCommand {
    /// List one's own sessions
    List,
    /// End a session, or all others
    #[command(after_help = "Examples:
  jiggablend session end 3f9c12ab77e0d412
  jiggablend session end --all")]
    End(SessionEndArgs),
}

#[derive(Debug, Clone, Args)]
pub struct SessionEndArgs {
    /// The session's id, or its beginning
    #[arg(
        value_name = "ID",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    pub session: Option<String>,
    /// All sessions
    #[arg(long)]
    pub all: bool,
}
