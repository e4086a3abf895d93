//! `user …`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::values::{Limit, parse_byte_limit, parse_count_limit, parse_duration};

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    Admin,
    Member,
    Viewer,
}

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// List the accounts
    List,
    /// Make an account with an e-mail address and a password
    #[command(after_help = "Examples:
  jiggablend user create ada@example.org --admin         asks for the password
  pwgen 20 1 | jiggablend user create bob@example.org --name Bob --password-stdin")]
    Create(UserCreateArgs),
    /// Show one account: role, sign-ins, quota, what it takes of the farm
    Show(UserName),
    /// Change an account's role
    Role(UserRoleArgs),
    /// Let an account sign in no more; its sessions end, its tokens do not count
    Disable(UserName),
    /// Let a disabled account sign in again
    Enable(UserName),
    /// Set an account's password; its sessions end
    Password(UserPasswordArgs),
    /// Show or change what an account may take of the farm
    #[command(after_help = "Examples:
  jiggablend user quota ada@example.org
  jiggablend user quota ada@example.org --bytes 500GB --jobs 10 --frames none
  jiggablend user quota ada@example.org --default")]
    Quota(UserQuotaArgs),
    /// Delete an account with its sessions, tokens and webhooks; its jobs stay
    Delete(UserName),
    /// Make an invitation with which somebody makes an account of their own
    #[command(after_help = "Examples:
  jiggablend user invite
  jiggablend user invite --email ada@example.org --role viewer --ttl 2d
  jiggablend user invite --reusable                      for a whole class")]
    Invite(UserInviteArgs),
    /// List invitations, or revoke one
    Invitations(UserInvitationsArgs),
}

/// Names an account.
#[derive(Debug, Clone, Args)]
pub struct UserName {
    /// The account's e-mail address, its id, or its name where only one has it
    #[arg(value_name = "USER")]
    pub user: String,
}

#[derive(Debug, Clone, Args)]
pub struct UserCreateArgs {
    /// The e-mail address to sign in with
    #[arg(value_name = "EMAIL")]
    pub email: String,
    /// The name that others see [default: what stands before the @]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    #[arg(long, value_name = "ROLE", default_value = "member")]
    pub role: RoleArg,
    /// The same as --role admin
    #[arg(long, conflicts_with = "role")]
    pub admin: bool,
    #[command(flatten)]
    pub password: PasswordOptions,
}

/// Where a password comes from. It is never an argument: those are in the process list.
#[derive(Debug, Clone, Copy, Args)]
pub struct PasswordOptions {
    /// Read the password from stdin instead of asking for it
    #[arg(long)]
    pub password_stdin: bool,
}

#[derive(Debug, Clone, Args)]
pub struct UserRoleArgs {
    #[command(flatten)]
    pub user: UserName,
    #[arg(value_name = "ROLE")]
    pub role: RoleArg,
}

#[derive(Debug, Clone, Args)]
pub struct UserPasswordArgs {
    #[command(flatten)]
    pub user: UserName,
    #[command(flatten)]
    pub password: PasswordOptions,
}

/// What somebody may take of the farm; `none` for no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args)]
pub struct QuotaOptions {
    /// Bytes of scenes and frames: 500GB, 2TiB, none
    #[arg(long, value_name = "SIZE", value_parser = parse_byte_limit)]
    pub bytes: Option<Limit<u64>>,
    /// Jobs that are not over: 20, none
    #[arg(long, value_name = "N", value_parser = parse_count_limit)]
    pub jobs: Option<Limit<u32>>,
    /// Frames that render at a time: 8, none
    #[arg(long, value_name = "N", value_parser = parse_count_limit)]
    pub frames: Option<Limit<u32>>,
}

#[derive(Debug, Clone, Args)]
pub struct UserQuotaArgs {
    #[command(flatten)]
    pub user: UserName,
    #[command(flatten)]
    pub quota: QuotaOptions,
    /// Take the account's own quota away, so that the farm's default counts
    #[arg(long, conflicts_with_all = ["bytes", "jobs", "frames"])]
    pub default: bool,
}

#[derive(Debug, Clone, Args)]
pub struct UserInviteArgs {
    /// The new account's role
    #[arg(long, value_name = "ROLE", default_value = "member")]
    pub role: RoleArg,
    /// Only for the account with this e-mail address
    #[arg(long, value_name = "EMAIL", conflicts_with = "reusable")]
    pub email: Option<String>,
    /// How long it is good: 2h, 7d
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = parse_duration)]
    pub ttl: Duration,
    /// For more than one account
    #[arg(long)]
    pub reusable: bool,
}

#[derive(Debug, Clone, Args)]
pub struct UserInvitationsArgs {
    /// Revoke the invitation with this id, or a part of it
    #[arg(long, value_name = "ID")]
    pub revoke: Option<String>,
}
