//! Benches: ours and a peer, in turn, in the same run on the same machine.
//!
//! [`render`]: frames; [`events`]: the live stream; [`api`]: jobs as
//! clients read them; [`transfer`]: scene files in and out, with a
//! [`large_scene`] against [`nginx`]. A bench gives a [`Report`]; [`report`] prints it.

mod api;
mod cases;
mod events;
mod large_scene;
mod machine;
mod nginx;
mod render;
mod report;
mod samples;
mod transfer;

use std::time::Duration;

use clap::{Args, ValueEnum};

pub use report::{Metric, Report, Row};
pub use samples::Samples;

use crate::{Result, TestnetError, program};
use transfer::Direction;

/// No bench begins another round after this: with the last one it stays within five minutes.
const LAST_ROUND_STARTS: Duration = Duration::from_secs(230);

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Name {
    /// A job of short frames on one node, against Blender alone
    Render,
    /// A thousand clients of the live stream while 500 frames a second complete
    Events,
    /// Jobs of a farm with a million frames under 64 clients
    Api,
    /// A scene of 2 GiB into one node, against nginx
    Upload,
    /// A scene of 2 GiB out of one node, against nginx
    Download,
    /// Ten thousand cases made of the API's document
    Schemathesis,
    /// Every bench; writes docs/benchmarks.md
    All,
}

#[derive(Debug, Args)]
pub struct BenchArgs {
    #[arg(value_enum)]
    name: Name,
    /// With `api`: at a follower of three nodes, compared with their leader
    #[arg(long)]
    follower: bool,
    /// One line of JSON a metric instead of the table
    #[arg(long)]
    json: bool,
    /// Only this peer [default: all that the bench has]
    #[arg(long, value_name = "PEER")]
    against: Option<String>,
}

/// Runs the bench and prints what it found.
pub async fn run(arguments: BenchArgs) -> Result<()> {
    let against = arguments.against.as_deref();
    let reports = match arguments.name {
        Name::Render => vec![render::run(against).await?],
        Name::Events => vec![events::run(against).await?],
        Name::Api => vec![api::run(arguments.follower, against).await?],
        Name::Upload => vec![transfer::run(Direction::Upload, against).await?],
        Name::Download => vec![transfer::run(Direction::Download, against).await?],
        Name::Schemathesis => vec![cases::run(against).await?],
        Name::All => vec![
            render::run(against).await?,
            events::run(None).await?,
            api::run(false, None).await?,
            api::run(true, None).await?,
            transfer::run(Direction::Upload, against).await?,
            transfer::run(Direction::Download, against).await?,
        ],
    };
    let machine = machine::describe();
    for report in &reports {
        match arguments.json {
            true => print!("{}", report.json_lines()?),
            false => print!("{}", report.table(&machine)),
        }
    }
    if arguments.name == Name::All {
        let page = program::checkout().join("docs/benchmarks.md");
        std::fs::write(&page, report::page(&reports, &machine))
            .map_err(TestnetError::io(format!("writing {}", page.display())))?;
        eprintln!("wrote {}", page.display());
    }
    Ok(())
}
