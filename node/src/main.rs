//! `jiggablend`: the one program that every node of the farm runs.

// Nothing of a program can be reached from outside: `pub` means "for the other rooms".
#![allow(unreachable_pub)]

mod admission;
mod cli;
mod data_dir;
mod files;
mod http_node;
mod leader;
mod link;
mod mesh_transport;
mod neighbours;
mod outbox;
mod runner;
mod service;

use std::io::IsTerminal as _;
use std::process::ExitCode;

use tracing_subscriber::EnvFilter;

/// openraft says each orderly stop of its core as errors; what matters of it reaches the job log's
/// own words. Kademlia warns that a first node knows nobody.
///
/// What a node says on stderr unless `JIGGABLEND_LOG` asks for other things.
const DEFAULT_LOG: &str = "warn,jiggablend=info,jiggablend_raft=info,jiggablend_transfer=info,jiggablend_web=info,openraft=off,libp2p_kad=error";

#[tokio::main]
async fn main() -> ExitCode {
    let ended = match cli::parse() {
        Ok(cli::Invocation::Client(command)) => return command.run().await,
        Ok(cli::Invocation::NodeStart(arguments)) => {
            log_to_stderr();
            keep_files_private();
            service::start(arguments).await
        }
        Ok(cli::Invocation::NodeJoin(arguments)) => {
            log_to_stderr();
            keep_files_private();
            service::join(arguments).await
        }
        Err(exit_code) => return exit_code,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Nobody else on the machine reads what the node writes, whichever library writes it: DuckDB's
/// write-ahead log has password hashes, an unfinished upload is somebody's scene.
fn keep_files_private() {
    use nix::sys::stat::{Mode, umask};
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
}

fn log_to_stderr() {
    let filter =
        EnvFilter::try_from_env("JIGGABLEND_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT_LOG));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .init();
}
