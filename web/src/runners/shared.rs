//! What the runner routes have in common.

use std::time::Instant;

use super::caller::RunnerCaller;
use super::leases::{self, Lease, TaskName};
use crate::TaskProgress;
use crate::app::App;
use crate::problem::{Problem, ProblemKind};

/// A runner says that it is there at least this often.
pub(super) const HEARTBEAT_SECONDS: u64 = 2;
/// A runner that is silent for this long may have lost its leases.
pub(super) const LEASE_SECONDS: u64 = 12;

/// Tells the leader how the runner is.
pub(super) fn say(
    app: &App,
    runner: RunnerCaller,
    progress: Vec<TaskProgress>,
) -> Result<(), Problem> {
    let (leases, facts) = runner.standing(app)?;
    let now = Instant::now();
    let mut condition = app.runners.condition(runner.0, &leases, &facts, now);
    condition.progress = progress;
    app.gateway.heard(condition);
    Ok(())
}

/// Lets through only a lease that is the task's current one.
pub(super) async fn refuse_unless_current(
    app: &App,
    runner: RunnerCaller,
    lease: Lease,
) -> Result<(), Problem> {
    let is_current = || {
        app.log
            .read(|state| leases::is_current(state, runner.0, lease))
    };
    if is_current() {
        return Ok(());
    }
    // This node may be behind.
    app.log.read_barrier().await?;
    match is_current() {
        true => Ok(()),
        false => Err(stale_lease(lease)),
    }
}

pub(super) fn stale_lease((task, epoch): Lease) -> Problem {
    Problem::new(
        ProblemKind::StaleLease,
        format!(
            "the lease of task {} with epoch {epoch} is over or another's; drop the work and take a new task",
            TaskName(task)
        ),
    )
}

pub(super) fn task_of(text: &str) -> Result<TaskName, Problem> {
    text.parse()
        .map_err(|()| invalid("task must be JOB.INDEX, as the task's id says it".to_owned()))
}

pub(super) fn invalid(detail: String) -> Problem {
    Problem::new(ProblemKind::InvalidRequest, detail)
}

/// A name that a client gave, on one line.
pub(super) fn checked_name(name: &str, empty: &str, max_chars: usize) -> Result<String, Problem> {
    let line = one_line(name, usize::MAX);
    if line.is_empty() {
        return Err(invalid(format!("name is empty; {empty}")));
    }
    if name.chars().count() > max_chars {
        return Err(invalid(format!(
            "name has more than {max_chars} characters"
        )));
    }
    Ok(line)
}

/// What a stranger wrote, as one line of no more than `max_chars`.
pub(super) fn one_line(text: &str, max_chars: usize) -> String {
    let printable = |character: char| match character.is_control() {
        true => ' ',
        false => character,
    };
    let line: String = text.chars().take(max_chars).map(printable).collect();
    line.trim().to_owned()
}
