//! The command line. Everything but `node start` and `node join` is a client of `docs/api.md`.
//!
//! In the order in which things happen: [`args`] reads what was asked for, [`target`] finds the
//! node to talk to and what to sign in with (this machine's node, by its [`endpoint`], or one of
//! the saved [`logins`]), [`client`] talks to it or, where it is gone, to another node of the farm,
//! [`events`] follows what happens there, and [`output`] shows it.

mod account;
mod admin;
mod api_types;
mod args;
mod client;
mod cluster;
mod door_options;
mod endpoint;
mod error;
mod events;
mod job;
mod logins;
mod names;
mod node;
mod output;
mod peers;
mod sse;
mod target;
mod webhook;

pub use args::{NodeJoinArgs, NodeOptions, NodeStartArgs};
pub use client::{complaint, read_ca, roots};
pub use door_options::DoorOptions;
pub use endpoint::Endpoint;
pub use error::CliError;
pub use peers::{Peers, normalise};

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command, NodeCommand};
use output::Output;

/// What one call of the program is to do.
#[derive(Debug)]
pub enum Invocation {
    NodeStart(NodeStartArgs),
    NodeJoin(NodeJoinArgs),
    /// A call of the API; [`ClientCommand::run`] does it.
    Client(ClientCommand),
}

/// A command that a node of the farm answers.
#[derive(Debug)]
pub struct ClientCommand(Command);

/// Reads the program's own arguments. Where they are wrong, or ask for help, what there is to say
/// has been printed and the exit code is the answer.
pub fn parse() -> Result<Invocation, ExitCode> {
    parse_from(std::env::args_os())
}

fn parse_from(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, ExitCode> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed = Arguments::try_parse_from(&arguments).map_err(|error| {
        let wants_json = arguments.iter().any(|argument| argument == "--json");
        if error.use_stderr() && wants_json {
            Output::new(true).error(&CliError::Usage(one_line(&error.to_string())));
        } else {
            // Where the terminal is gone nobody is left to read it.
            let _ = error.print();
        }
        ExitCode::from(error.exit_code() as u8)
    })?;
    Ok(match parsed.command {
        Command::Node(NodeCommand::Start(start)) => Invocation::NodeStart(start),
        Command::Node(NodeCommand::Join(join)) => Invocation::NodeJoin(join),
        command => Invocation::Client(ClientCommand(command)),
    })
}

/// What is wrong, without the usage and the hint that clap puts below it.
fn one_line(text: &str) -> String {
    let what = text.trim().trim_start_matches("error: ");
    let what = what.split("\n\n").next().unwrap_or_default();
    what.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl ClientCommand {
    /// Does it. Results go to stdout, messages and errors to stderr; the exit code is 0 where it
    /// worked, 1 where it failed (a watched job that failed is a failure) and 2 for wrong usage.
    pub async fn run(self) -> ExitCode {
        let output = Output::new(self.json());
        let result = run(self.0, &output).await;
        match result.and_then(|()| output.written()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                output.error(&error);
                ExitCode::from(error.exit_code())
            }
        }
    }

    fn json(&self) -> bool {
        match &self.0 {
            Command::Node(NodeCommand::Start(start)) => start.options.json,
            Command::Node(NodeCommand::Join(join)) => join.options.json,
            Command::Node(NodeCommand::Status(status)) => status.client.json,
            Command::Node(NodeCommand::Remove(remove)) => remove.client.json,
            Command::Cluster(group) => group.client.json,
            Command::Job(group) => group.client.json,
            Command::Login(login) => login.json,
            Command::Logout(logout) => logout.json,
            Command::Whoami(whoami) => whoami.client.json,
            Command::User(group) => group.client.json,
            Command::Token(group) => group.client.json,
            Command::Session(group) => group.client.json,
            Command::Runner(group) => group.client.json,
            Command::Ticket(group) => group.client.json,
            Command::Settings(group) => group.client.json,
            Command::Audit(audit) => audit.client.json,
            Command::Webhook(group) => group.client.json,
        }
    }
}

async fn run(command: Command, output: &Output) -> Result<(), CliError> {
    match command {
        Command::Node(NodeCommand::Start(_) | NodeCommand::Join(_)) => {
            unreachable!("they run a node")
        }
        Command::Node(NodeCommand::Status(status)) => node::status(&status, output).await,
        Command::Node(NodeCommand::Remove(remove)) => node::remove(&remove, output).await,
        Command::Cluster(group) => cluster::run(&group, output).await,
        Command::Job(group) => job::run(&group, output).await,
        Command::Login(login) => account::login(&login, output).await,
        Command::Logout(logout) => account::logout(&logout, output).await,
        Command::Whoami(whoami) => account::whoami(&whoami, output).await,
        Command::Token(group) => account::tokens(&group, output).await,
        Command::Session(group) => account::sessions(&group, output).await,
        Command::User(group) => admin::users(&group, output).await,
        Command::Runner(group) => admin::runners(&group, output).await,
        Command::Ticket(group) => admin::tickets(&group, output).await,
        Command::Settings(group) => admin::settings(&group, output).await,
        Command::Audit(audit) => admin::audit(&audit, output).await,
        Command::Webhook(group) => webhook::run(&group, output).await,
    }
}

/// Where a node keeps everything unless it is told otherwise: `~/.local/share/jiggablend`, or
/// `/var/lib/jiggablend` for a user without a home.
pub fn default_data_dir() -> PathBuf {
    directories::ProjectDirs::from("", "", "jiggablend")
        .map(|folders| folders.data_local_dir().to_owned())
        .unwrap_or_else(|| PathBuf::from("/var/lib/jiggablend"))
}
