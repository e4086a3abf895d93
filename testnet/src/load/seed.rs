//! Fills a stopped node's log with jobs, as if its farm had worked for months.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use jiggablend_raft::{Command, JobLog, JobLogConfig, Owner, TaskId, TimeoutProfile};
use jiggablend_transfer::Identity;
use tokio::task::JoinSet;

use crate::alone::Alone;
use crate::commands::{NODE, commit, lease, new_job};

/// Jobs that are written at the same time.
const AT_ONCE: usize = 24;
/// Of ten jobs so many are done, and one more is half done; the others wait.
const DONE_OF_TEN: usize = 7;

pub(crate) async fn run(data: &Path, jobs: usize, frames_per_job: u32) -> anyhow::Result<()> {
    let identity = Identity::load_or_create(&data.join("identity.key"))?;
    let config = JobLogConfig {
        node: NODE,
        peer_id: identity.peer_id().to_string(),
        farm: None,
        dir: data.join("log"),
        db: data.join("farm.duckdb"),
        timeouts: TimeoutProfile::Lan,
        snapshot_every: 200_000,
        expect_log: true,
    };
    let log = JobLog::open(config, Arc::new(Alone))
        .await
        .with_context(|| format!("opening the log in {}", data.display()))?;
    let mut writing = JoinSet::new();
    for number in 0..jobs {
        if writing.len() >= AT_ONCE {
            written(writing.join_next().await)?;
        }
        writing.spawn(write_job(log.clone(), number, frames_per_job));
    }
    while !writing.is_empty() {
        written(writing.join_next().await)?;
    }
    log.shutdown().await;
    Ok(())
}

type Written = Result<anyhow::Result<()>, tokio::task::JoinError>;

fn written(ended: Option<Written>) -> anyhow::Result<()> {
    match ended {
        Some(ended) => ended.context("a job's writer broke off")?,
        None => Ok(()),
    }
}

async fn write_job(log: JobLog, number: usize, frames: u32) -> anyhow::Result<()> {
    let name = format!("shot {number:05} of the farm's benches");
    let (job, commands) = new_job(Owner::Operator(NODE), &name, frames)?;
    for command in commands {
        log.propose(command).await?;
    }
    let done = match number % 10 {
        of_ten if of_ten < DONE_OF_TEN => frames,
        DONE_OF_TEN => frames / 2,
        _ => 0,
    };
    let task = |index| TaskId { job, index };
    if done == 0 {
        return Ok(());
    }
    log.propose(lease((0..done).map(task))).await?;
    let commits = (0..done).map(|index| propose(&log, commit(task(index))));
    futures::future::try_join_all(commits).await?;
    Ok(())
}

async fn propose(log: &JobLog, command: Command) -> anyhow::Result<()> {
    log.propose(command).await?;
    Ok(())
}
