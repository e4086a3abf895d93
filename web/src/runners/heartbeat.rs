//! A runner says that it is there, what it holds and how far that is.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use jiggablend_raft::{Action, Epoch, LeaseEnd};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::caller::RunnerCaller;
use super::facts::Facts;
use super::leases::{self, Lease, TaskName};
use super::shared::{HEARTBEAT_SECONDS, LEASE_SECONDS, invalid, one_line, say, task_of};
use crate::TaskProgress;
use crate::app::App;
use crate::json::ApiJson;
use crate::problem::Problem;

/// More tasks than any runner holds.
const MAX_HOLDING: usize = 1024;
/// It is answered within this time whatever the farm's leader does.
const REVOKE_PATIENCE: Duration = Duration::from_millis(1500);
const MAX_TEXT_CHARS: usize = 200;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Heartbeat {
    /// The tasks that the runner works on, has waiting, or is about to complete.
    holding: Vec<Holding>,
    /// What it gives back, since it will not do it: others may have it at once.
    #[serde(default)]
    released: Vec<Released>,
    /// Frames that it renders at once, where that is not what it registered with.
    #[schema(minimum = 1, maximum = 256)]
    slots: Option<u32>,
    /// What it can do, where that has changed.
    facts: Option<Facts>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Holding {
    /// `JOB.INDEX`
    task: String,
    epoch: Epoch,
    /// How far it is, from 0 to 1.
    #[schema(minimum = 0.0, maximum = 1.0)]
    fraction: Option<f32>,
    /// The renderer's own words, for example `Sample 12/64`.
    text: Option<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Released {
    /// `JOB.INDEX`
    task: String,
    epoch: Epoch,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct HeartbeatAnswer {
    /// What it must stop: the lease is another's by now, or the job is over.
    revoked: Vec<LeaseView>,
    heartbeat_seconds: u64,
    lease_seconds: u64,
    /// Web addresses of nodes that are there, to go to when this one does not answer.
    nodes: Vec<String>,
}

#[derive(Serialize, ToSchema)]
struct LeaseView {
    task: String,
    epoch: Epoch,
}

/// The runner is there, holds these tasks, and is so far with each.
#[utoipa::path(
    post, path = "/api/runner/heartbeat", tag = "runner", request_body = Heartbeat,
    responses((status = 200, body = HeartbeatAnswer)),
)]
pub(crate) async fn heartbeat(
    State(app): State<App>,
    runner: RunnerCaller,
    ApiJson(heartbeat): ApiJson<Heartbeat>,
) -> Result<Json<HeartbeatAnswer>, Problem> {
    if heartbeat.holding.len().max(heartbeat.released.len()) > MAX_HOLDING {
        return Err(invalid(format!(
            "holding or released has more than {MAX_HOLDING} tasks; no runner has so many"
        )));
    }
    if heartbeat
        .slots
        .is_some_and(|slots| !(1..=256).contains(&slots))
    {
        return Err(invalid("slots must be from 1 to 256".to_owned()));
    }
    let mut holding: Vec<Lease> = Vec::new();
    let mut progress = Vec::new();
    for held in heartbeat.holding {
        let lease = (task_of(&held.task)?.0, held.epoch);
        progress.extend(progress_of(runner, lease, held.fraction, held.text)?);
        holding.push(lease);
    }
    let mut released: Vec<Lease> = Vec::new();
    for lease in heartbeat.released {
        released.push((task_of(&lease.task)?.0, lease.epoch));
    }
    if let Some(facts) = heartbeat.facts {
        announce(&app, runner, facts).await?;
    }
    give_back(&app, runner, released).await?;
    app.log.read(|state| {
        progress.retain(|news| leases::is_current(state, runner.0, (news.task, news.epoch)));
    });
    let now = Instant::now();
    app.runners
        .heartbeat(runner.0, holding.clone(), heartbeat.slots, now);
    say(&app, runner, progress)?;
    let revoked = revoked(&app, runner, &holding).await;
    let nodes = app.log.read(|state| {
        let connected = app.live.connected();
        let members = state.members();
        let there = members.filter(|node| connected.contains(&node.id));
        there.filter_map(|node| node.web_address.clone()).collect()
    });
    Ok(Json(HeartbeatAnswer {
        revoked: revoked
            .into_iter()
            .map(|(task, epoch)| LeaseView {
                task: TaskName(task).to_string(),
                epoch,
            })
            .collect(),
        heartbeat_seconds: HEARTBEAT_SECONDS,
        lease_seconds: LEASE_SECONDS,
        nodes,
    }))
}

fn progress_of(
    runner: RunnerCaller,
    (task, epoch): Lease,
    fraction: Option<f32>,
    text: Option<String>,
) -> Result<Option<TaskProgress>, Problem> {
    if fraction.is_some_and(|fraction| !(0.0..=1.0).contains(&fraction)) {
        return Err(invalid("fraction must be from 0 to 1".to_owned()));
    }
    if fraction.is_none() && text.is_none() {
        return Ok(None);
    }
    Ok(Some(TaskProgress {
        task,
        epoch,
        node: runner.0,
        fraction,
        text: one_line(&text.unwrap_or_default(), MAX_TEXT_CHARS),
    }))
}

/// Ends those of the leases that are the runner's.
async fn give_back(app: &App, runner: RunnerCaller, mut leases: Vec<Lease>) -> Result<(), Problem> {
    app.log.read(|state| {
        leases.retain(|lease| leases::is_current(state, runner.0, *lease));
    });
    if leases.is_empty() {
        return Ok(());
    }
    let ended = Action::LeasesEnded {
        leases,
        reason: LeaseEnd::Released,
    };
    app.propose_for_node(runner.0, ended).await?;
    Ok(())
}

async fn announce(app: &App, runner: RunnerCaller, facts: Facts) -> Result<(), Problem> {
    let (facts, version) = facts.checked()?;
    let is_known = app.log.read(|state| {
        let node = state.nodes.get(&runner.0);
        node.is_some_and(|node| node.runner == facts && node.version == version)
    });
    if is_known {
        return Ok(());
    }
    let announced = Action::RunnerAnnounced {
        node: runner.0,
        facts,
        version,
    };
    app.propose_for_node(runner.0, announced).await?;
    Ok(())
}

/// Of what the runner holds, the leases that are over. A node that is behind the leader may not
/// know a lease yet: nothing is revoked by what it does not know.
async fn revoked(app: &App, runner: RunnerCaller, holding: &[Lease]) -> Vec<Lease> {
    let over = || -> Vec<Lease> {
        app.log.read(|state| {
            let is_over = |lease: &&Lease| !leases::is_current(state, runner.0, **lease);
            holding.iter().filter(is_over).copied().collect()
        })
    };
    if over().is_empty() {
        return Vec::new();
    }
    match timeout(REVOKE_PATIENCE, app.log.read_barrier()).await {
        Ok(Ok(())) => over(),
        // Without a leader nothing is certain; the next heartbeat asks again.
        Ok(Err(_)) | Err(_) => Vec::new(),
    }
}
