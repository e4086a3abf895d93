//! `settings …` and `audit`.

use clap::{Args, Subcommand, ValueEnum};

use super::ClientOptions;
use super::user::QuotaOptions;

#[derive(Debug, Subcommand)]
pub enum SettingsCommand {
    /// Show the farm's settings
    Show,
    /// Change settings; what is not named stays as it is
    #[command(after_help = "Examples:
  jiggablend settings set --registration open --default-role viewer
  jiggablend settings set --bytes 500GB --jobs 20        the quota of all who have none of their own
  jiggablend settings set --public-url https://farm.example")]
    Set(SettingsSetArgs),
}

/// Who may make an account of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RegistrationArg {
    Open,
    Invitation,
    Closed,
}

/// The role of those who make an account of their own: nobody is an admin by that alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DefaultRoleArg {
    Member,
    Viewer,
}

#[derive(Debug, Clone, Args)]
pub struct SettingsSetArgs {
    /// The farm's name
    #[arg(long, value_name = "NAME")]
    pub farm_name: Option<String>,
    /// Who may make an account of their own
    #[arg(long, value_name = "WHO")]
    pub registration: Option<RegistrationArg>,
    /// The role of those who do
    #[arg(long, value_name = "ROLE")]
    pub default_role: Option<DefaultRoleArg>,
    /// Where people reach the farm's page, for links; `none` takes each node's own address
    #[arg(long, value_name = "ADDRESS")]
    pub public_url: Option<String>,
    /// Whether webhooks may call addresses of private networks
    #[arg(long, value_name = "true|false")]
    pub webhooks_to_private_addresses: Option<bool>,
    #[command(flatten)]
    pub quota: QuotaOptions,
}

pub const AUDIT_EXAMPLES: &str = "Examples:
  jiggablend audit
  jiggablend audit --action user_created --limit 10
  jiggablend audit --actor ada@example.org --json";

#[derive(Debug, Clone, Args)]
pub struct AuditArgs {
    /// At most this many entries, newest first
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    /// Only entries with a smaller number
    #[arg(long, value_name = "NUMBER")]
    pub before: Option<u64>,
    /// Only what this one did: an e-mail address, a user's id, node-N, farm
    #[arg(long, value_name = "WHO")]
    pub actor: Option<String>,
    /// Only what was done so, for example user_created
    #[arg(long, value_name = "ACTION")]
    pub action: Option<String>,
    /// Only what was done to this: the id of a job, a user and so on
    #[arg(long, value_name = "ID")]
    pub subject: Option<String>,
    #[command(flatten)]
    pub client: ClientOptions,
}
