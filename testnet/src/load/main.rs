//! Makes load for benches without rendering: through the real job log, by its own crate.
//!
//! [`node`] is a farm of one with a web port on which frames complete as fast as it is told;
//! [`seed`] fills the log of a real node, while it does not run, with jobs.

mod alone;
mod commands;
mod node;
mod seed;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Load for benches, through the real job log.
#[derive(Debug, Parser)]
#[command(name = "jiggablend-load")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// A farm of one on which frames complete; steered by lines on stdin
    Node(node::NodeArgs),
    /// Fills the log of a node that does not run
    Seed {
        /// The node's data directory
        #[arg(long)]
        data: PathBuf,
        #[arg(long)]
        jobs: usize,
        #[arg(long)]
        frames_per_job: u32,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Node(arguments) => node::run(arguments).await,
        Command::Seed {
            data,
            jobs,
            frames_per_job,
        } => seed::run(&data, jobs, frames_per_job).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
