//! `jiggablend`: the one program that every node of the farm runs.

// Nothing of a program can be reached from outside: `pub` means "for the other rooms".
#![allow(unreachable_pub)]

mod cli;
mod runner;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    match cli::parse() {
        Ok(cli::Invocation::Client(command)) => command.run().await,
        Ok(cli::Invocation::NodeStart(_) | cli::Invocation::NodeJoin(_)) => {
            eprintln!("error: this build has no node in it yet");
            ExitCode::FAILURE
        }
        Err(exit_code) => exit_code,
    }
}
