//! `testnet/up` and `testnet/bench` call this.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use jiggablend_testnet::{bench, up};

/// JiggaBlend farms on one machine.
#[derive(Debug, Parser)]
#[command(name = "jiggablend-testnet")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a farm on this machine and render a scene on it
    Up(up::UpArgs),
    /// Measure ours against a peer
    Bench(bench::BenchArgs),
}

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match Arguments::parse().command {
        Command::Up(arguments) => up::run(arguments).await,
        Command::Bench(arguments) => bench::run(arguments).await.map(|()| ExitCode::SUCCESS),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}
