//! What can be typed. Help texts are for people who have never seen the program.

mod account;
mod admin;
mod farm;
mod job;
mod node;
mod user;
mod values;
mod webhook;

pub use account::*;
pub use admin::*;
pub use farm::*;
pub use job::*;
pub use node::*;
pub use user::*;
#[cfg(test)]
pub use values::Limit;
pub use webhook::*;

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "jiggablend",
    version,
    about = "A Blender render farm without a server",
    long_about = "A Blender render farm without a server: every machine runs this one program, and any of them answers.",
    after_help = "Examples:
  jiggablend node start                      start a farm on this machine
  jiggablend node join jigga1…               let this machine join it
  jiggablend login https://farm.example      sign in from a machine without a node
  jiggablend job submit cat.blend --wait     render, and wait for the frames
  jiggablend job download last               fetch the newest job's frames",
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start this machine's node, let it join a farm, ask how it is; remove a node
    #[command(subcommand)]
    Node(NodeCommand),
    /// The farm: its leader, its nodes, tickets for new ones
    Cluster(Group<ClusterCommand>),
    /// Submit jobs, watch them, fetch what they made, share them
    Job(Group<JobCommand>),
    /// Sign in at a farm from this machine, once
    #[command(after_help = LOGIN_EXAMPLES)]
    Login(LoginArgs),
    /// Forget the saved sign-in, and revoke its token
    Logout(LogoutArgs),
    /// Show who one is at the farm, and by what
    Whoami(WhoamiArgs),
    /// Accounts and invitations, for admins
    User(Group<UserCommand>),
    /// One's own API tokens, for programs
    Token(Group<TokenCommand>),
    /// One's own sessions in browsers
    Session(Group<SessionCommand>),
    /// Runners, and the tokens with which runners over HTTP register
    Runner(Group<RunnerCommand>),
    /// Tickets with which machines join the farm
    Ticket(Group<TicketCommand>),
    /// What admins set for the whole farm
    Settings(Group<SettingsCommand>),
    /// Who changed what, when, and from where
    #[command(after_help = AUDIT_EXAMPLES)]
    Audit(AuditArgs),
    /// Calls that the farm makes when something happens
    Webhook(Group<WebhookCommand>),
}

/// Commands that find the farm in the same way.
#[derive(Debug, Args)]
pub struct Group<C: Subcommand> {
    #[command(subcommand)]
    pub command: C,
    #[command(flatten)]
    pub client: ClientOptions,
}

/// Where a node keeps everything.
#[derive(Debug, Clone, Default, Args)]
pub struct DataDir {
    /// The node's data directory [default: ~/.local/share/jiggablend]
    #[arg(
        long = "data",
        value_name = "DIR",
        env = "JIGGABLEND_DATA",
        global = true
    )]
    pub given: Option<PathBuf>,
}

impl DataDir {
    /// The directory that was named, or [`crate::cli::default_data_dir`].
    pub fn path(&self) -> PathBuf {
        self.given
            .clone()
            .unwrap_or_else(crate::cli::default_data_dir)
    }
}

/// How a command finds the farm, and what it signs in with: what is named here, this machine's
/// node, or what `jiggablend login` saved.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "The farm")]
pub struct ClientOptions {
    /// A node's web address, again or with commas for more [default: this machine's node, or the farm of `jiggablend login`]
    #[arg(
        long = "url",
        value_name = "URL",
        env = "JIGGABLEND_URL",
        value_delimiter = ',',
        global = true
    )]
    pub urls: Vec<String>,
    /// The token to sign in with
    #[arg(
        long,
        value_name = "TOKEN",
        env = "JIGGABLEND_TOKEN",
        hide_env_values = true,
        global = true
    )]
    pub token: Option<String>,
    #[command(flatten)]
    pub data: DataDir,
    #[command(flatten)]
    pub way: WayOptions,
    /// Print results as JSON on stdout and errors as JSON on stderr; no progress
    #[arg(long, global = true)]
    pub json: bool,
}

/// How secrets may travel.
#[derive(Debug, Clone, Default, Args)]
pub struct WayOptions {
    /// Send passwords and tokens over plain http beyond private networks too
    #[arg(
        long,
        env = "JIGGABLEND_INSECURE",
        value_parser = FalseyValueParser::new(),
        global = true
    )]
    pub insecure: bool,
    /// Believe the certificates of this CA too, or this self-signed one: a PEM file. `login` keeps it
    #[arg(long, value_name = "FILE", env = "JIGGABLEND_CA", global = true)]
    pub ca: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_holds_together() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_reversed_or_empty_frame_range_is_wrong_usage_and_says_what_to_write() {
        let error = parse("jiggablend job submit cat.blend --frames 10-1").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("write 1-10"), "{error}");
        assert!(parse("jiggablend job submit cat.blend --frames=").is_err());
    }

    #[test]
    fn negative_frames_are_no_options() {
        let parsed = parse("jiggablend job submit cat.blend --frames -5-10").unwrap();
        let Command::Job(Group {
            command: JobCommand::Submit(submit),
            ..
        }) = parsed.command
        else {
            panic!("not a submit");
        };
        assert_eq!(submit.frames.unwrap().frames().len(), 16);
    }

    #[test]
    fn several_urls_come_repeated_or_with_commas_before_or_behind_the_command() {
        for line in [
            "jiggablend job list --url http://a:1,http://b:2 --url http://c:3 --json",
            "jiggablend job --url http://a:1,http://b:2 --url http://c:3 --json list",
        ] {
            let Command::Job(job) = parse(line).unwrap().command else {
                panic!("not a job command");
            };
            assert_eq!(
                job.client.urls,
                ["http://a:1", "http://b:2", "http://c:3"],
                "{line}"
            );
            assert!(job.client.json);
        }
    }

    #[test]
    fn a_password_is_never_an_argument() {
        for line in [
            "jiggablend login --password x",
            "jiggablend user create a@b.c --password x",
            "jiggablend user password a@b.c secret",
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code(), 2, "{line}");
        }
    }
}
