//! A runner's day: it says that it is there, takes tasks, and says how they ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use jiggablend_raft::{
    Action, Applied, Change, ContentId, Epoch, Failure, FailureKind, FrameNumber, JobId, LeaseEnd,
    NewFile, ProposeError, Refusal, SceneFacts, State as FarmState, TaskState,
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};

use super::caller::RunnerCaller;
use super::facts::Facts;
use super::handle::{self, Uploaded};
use super::leases::{self, Lease, TaskName, Work};
use crate::TaskProgress;
use crate::app::App;
use crate::json::ApiJson;
use crate::problem::{Problem, ProblemKind};

/// A runner says that it is there at least this often.
pub(super) const HEARTBEAT_SECONDS: u64 = 2;
/// A runner that is silent for this long may have lost its leases.
pub(super) const LEASE_SECONDS: u64 = 12;

/// More tasks than any runner holds.
const MAX_HOLDING: usize = 1024;
const MAX_TASKS: u32 = 64;
const MAX_WAIT_SECONDS: u64 = 60;
/// A runner that waits for tasks is there: the leader is told so this often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);
/// A heartbeat is answered within this time whatever the farm's leader does.
const REVOKE_PATIENCE: Duration = Duration::from_millis(1500);
const MAX_TEXT_CHARS: usize = 200;
const MAX_MESSAGE_CHARS: usize = 2000;
/// Ten years: what is longer is no render time.
const MAX_RENDER_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1000;

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

/// Tells the leader how the runner is.
fn say(app: &App, runner: RunnerCaller, progress: Vec<TaskProgress>) -> Result<(), Problem> {
    let (leases, facts) = runner.standing(app)?;
    let now = Instant::now();
    let mut condition = app.runners.condition(runner.0, &leases, &facts, now);
    condition.progress = progress;
    app.gateway.heard(condition);
    Ok(())
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TasksQuery {
    /// At most so many tasks, from 1 to 64; 1 where it is left out.
    #[param(minimum = 1, maximum = 64)]
    max: Option<u32>,
    /// How long to wait for the first one, from 0 to 60.
    #[param(minimum = 0, maximum = 60)]
    wait_seconds: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Tasks {
    tasks: Vec<TaskView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RunnerTask)]
struct TaskView {
    /// `JOB.INDEX`
    id: String,
    job: JobId,
    index: u32,
    epoch: Epoch,
    #[serde(flatten)]
    work: WorkView,
}

#[derive(Serialize, ToSchema)]
#[schema(as = RunnerWork)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum WorkView {
    /// Render this frame of the scene as a PNG.
    Frame {
        frame: FrameNumber,
        scene: RunnerFile,
    },
    /// Make a video of these frames, in this order.
    Encode {
        frames: Vec<RunnerFrame>,
        fps_numerator: u32,
        fps_denominator: u32,
    },
}

#[derive(Serialize, ToSchema)]
struct RunnerFrame {
    frame: FrameNumber,
    #[serde(flatten)]
    file: RunnerFile,
}

#[derive(Serialize, ToSchema)]
struct RunnerFile {
    name: String,
    size_bytes: u64,
    #[schema(value_type = String)]
    content: ContentId,
    url: String,
}

impl RunnerFile {
    fn of(file: &jiggablend_raft::File) -> Self {
        let name = utf8_percent_encode(&file.name, NON_ALPHANUMERIC);
        Self {
            name: file.name.clone(),
            size_bytes: file.size_bytes,
            content: file.content,
            url: format!("/api/runner/files/{}/{name}", file.job),
        }
    }
}

/// The runner's next tasks. Waits for the first one; no task within the time is an empty list.
#[utoipa::path(
    get, path = "/api/runner/tasks", tag = "runner", params(TasksQuery),
    responses((status = 200, body = Tasks)),
)]
pub(crate) async fn tasks(
    State(app): State<App>,
    runner: RunnerCaller,
    query: Result<Query<TasksQuery>, QueryRejection>,
) -> Result<Json<Tasks>, Problem> {
    let Query(query) = query.map_err(|error| invalid(error.body_text()))?;
    let max = query.max.unwrap_or(1);
    let wait_seconds = query.wait_seconds.unwrap_or(0);
    if !(1..=MAX_TASKS).contains(&max) {
        return Err(invalid(format!("max must be from 1 to {MAX_TASKS}")));
    }
    if wait_seconds > MAX_WAIT_SECONDS {
        let limit = format!("wait_seconds must be from 0 to {MAX_WAIT_SECONDS}");
        return Err(invalid(limit));
    }
    let waiting = until_given(&app, runner, max);
    let given = tokio::select! {
        given = waiting => given?,
        () = tokio::time::sleep(Duration::from_secs(wait_seconds)) => Vec::new(),
        () = app.stop.cancelled() => Vec::new(),
    };
    // It asks for nothing any more.
    say(&app, runner, Vec::new())?;
    let tasks = app.log.read(|state| {
        let views = given
            .into_iter()
            .filter_map(|lease| view(state, runner, lease));
        views.collect()
    });
    Ok(Json(Tasks { tasks }))
}

/// Waits until the runner has leases that it does not know of yet, and gives them to it.
async fn until_given(app: &App, runner: RunnerCaller, max: u32) -> Result<Vec<Lease>, Problem> {
    // Subscribed first: what changes after the first look is not missed.
    let mut events = app.log.subscribe();
    let _asking = app.runners.ask(runner.0, max, Instant::now());
    let mut said: Option<(usize, Instant)> = None;
    loop {
        let (leases, _) = runner.standing(app)?;
        let now = Instant::now();
        let given = app.runners.give(runner.0, &leases, max as usize, now);
        if !given.is_empty() {
            return Ok(given);
        }
        let is_said = said.is_some_and(|(count, at)| {
            count == leases.len() && now.duration_since(at) < SIGN_OF_LIFE
        });
        if !is_said {
            say(app, runner, Vec::new())?;
            said = Some((leases.len(), now));
        }
        // Either way it is time to look again.
        let _ = timeout(SIGN_OF_LIFE, until_a_task_changes(&mut events)).await;
    }
}

async fn until_a_task_changes(events: &mut Receiver<Arc<Applied>>) {
    loop {
        match events.recv().await {
            Ok(applied) => {
                let mut changes = applied.changes.iter();
                if changes.any(|change| matches!(change, Change::Task(_) | Change::Node(_))) {
                    return;
                }
            }
            // What was missed may have been a task.
            Err(RecvError::Lagged(_)) => return,
            // The node stops, and this request with it.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn view(state: &FarmState, runner: RunnerCaller, lease: Lease) -> Option<TaskView> {
    let (task, epoch) = lease;
    let work = match leases::work(state, runner.0, lease)? {
        Work::Frame { frame, scene } => WorkView::Frame {
            frame,
            scene: RunnerFile::of(&scene),
        },
        Work::Encode {
            frames,
            fps_numerator,
            fps_denominator,
        } => WorkView::Encode {
            frames: frames
                .iter()
                .map(|(frame, file)| RunnerFrame {
                    frame: *frame,
                    file: RunnerFile::of(file),
                })
                .collect(),
            fps_numerator,
            fps_denominator,
        },
    };
    Some(TaskView {
        id: TaskName(task).to_string(),
        job: task.job,
        index: task.index,
        epoch,
        work,
    })
}

/// How a task ended: with an output, or with a failure.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Completion {
    epoch: Epoch,
    /// The handle of the uploaded frame or video.
    output: Option<String>,
    failure: Option<FailureBody>,
    /// The handle of the uploaded log.
    log: Option<String>,
    /// From the start of the render to the picture, in milliseconds.
    render_ms: Option<u64>,
    /// What Blender said of the scene.
    scene_facts: Option<SceneFactsBody>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FailureBody {
    kind: FailureKind,
    /// One line: what happened and what to do next.
    message: String,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SceneFactsBody {
    blender_version: String,
    engine: String,
    width_px: u32,
    height_px: u32,
    fps_numerator: u32,
    fps_denominator: u32,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Completed {
    /// `JOB.INDEX`
    task: String,
    epoch: Epoch,
    /// What became of the task: `done`; or after a failure `pending` where it is tried again.
    state: &'static str,
}

/// The task of that lease ended. Once answered, the frame is safe; asking again gives the same answer.
#[utoipa::path(
    post, path = "/api/runner/tasks/{task}/complete", tag = "runner",
    params(("task" = String, Path, description = "`JOB.INDEX`")), request_body = Completion,
    responses((status = 200, body = Completed)),
)]
pub(crate) async fn complete(
    State(app): State<App>,
    runner: RunnerCaller,
    Path(id): Path<String>,
    ApiJson(completion): ApiJson<Completion>,
) -> Result<Json<Completed>, Problem> {
    let task = task_of_path(&id)?.0;
    let lease = (task, completion.epoch);
    refuse_stale(&app, runner, lease).await?;
    let log = match completion.log {
        Some(log) => Some(uploaded(&app, runner, lease, &log, Part::Log)?),
        None => None,
    };
    let render_ms = completion.render_ms.unwrap_or(0);
    if render_ms > MAX_RENDER_MS {
        return Err(invalid(format!(
            "render_ms must be at most {MAX_RENDER_MS}"
        )));
    }
    let action = match (completion.output, completion.failure) {
        (Some(output), None) => Action::TaskCommitted {
            task,
            epoch: completion.epoch,
            output: uploaded(&app, runner, lease, &output, Part::Output)?,
            log,
            render_ms,
        },
        (None, Some(failure)) => Action::TaskFailed {
            task,
            epoch: completion.epoch,
            failure: Failure {
                kind: failure.kind,
                message: one_line(&failure.message, MAX_MESSAGE_CHARS),
            },
            log,
        },
        _ => {
            let what = "a task ends with an output or with a failure; give exactly one of them";
            return Err(invalid(what.to_owned()));
        }
    };
    if let Some(facts) = completion.scene_facts {
        inspected(&app, runner, task.job, facts).await?;
    }
    app.propose_for_node(runner.0, action)
        .await
        .map_err(|error| match error {
            ProposeError::Refused(Refusal::StaleLease(_)) => stale_lease(lease),
            other => other.into(),
        })?;
    let state = app
        .log
        .read(|state| state.task(task).map(|task| task.state));
    Ok(Json(Completed {
        task: TaskName(task).to_string(),
        epoch: completion.epoch,
        state: match state {
            Some(TaskState::Done) => "done",
            Some(TaskState::Failed) => "failed",
            Some(TaskState::Cancelled) => "cancelled",
            _ => "pending",
        },
    }))
}

/// The first word on a scene stands; the speed of a video comes from it.
async fn inspected(
    app: &App,
    runner: RunnerCaller,
    job: JobId,
    facts: SceneFactsBody,
) -> Result<(), Problem> {
    const SIZES_PX: std::ops::RangeInclusive<u32> = 1..=1_000_000;
    let is_plausible = SIZES_PX.contains(&facts.width_px)
        && SIZES_PX.contains(&facts.height_px)
        && (1..=1_000_000).contains(&facts.fps_numerator)
        && (1..=1_000_000).contains(&facts.fps_denominator);
    if !is_plausible {
        let what = "scene_facts: sizes and frame rates must be from 1 to 1000000";
        return Err(invalid(what.to_owned()));
    }
    let is_known = app.log.read(|state| {
        let job = state.jobs.get(&job);
        job.is_some_and(|job| job.scene_facts.is_some())
    });
    if is_known {
        return Ok(());
    }
    let facts = SceneFacts {
        blender_version: one_line(&facts.blender_version, 64),
        engine: one_line(&facts.engine, 64),
        width_px: facts.width_px,
        height_px: facts.height_px,
        fps_numerator: facts.fps_numerator,
        fps_denominator: facts.fps_denominator,
    };
    let inspected = Action::SceneInspected { job, facts };
    match app.propose_for_node(runner.0, inspected).await {
        // Another runner was quicker.
        Ok(_) | Err(ProposeError::Refused(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// What an uploaded file is to the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Output,
    Log,
}

fn uploaded(
    app: &App,
    runner: RunnerCaller,
    lease: Lease,
    handle: &str,
    part: Part,
) -> Result<NewFile, Problem> {
    let farm = app.log.read(|state| state.farm.clone());
    let uploaded = farm.and_then(|farm| handle::open(&farm, handle));
    let is_of_this = |uploaded: &Uploaded| {
        let is_log = uploaded.file.kind == jiggablend_raft::FileKind::Log;
        uploaded.runner == runner.0 && uploaded.lease == lease && is_log == (part == Part::Log)
    };
    let field = match part {
        Part::Output => "output",
        Part::Log => "log",
    };
    uploaded
        .filter(is_of_this)
        .map(|uploaded| uploaded.file)
        .ok_or_else(|| {
            invalid(format!(
                "{field} is no handle of a file that was uploaded for this task and epoch; give what the upload answered as file"
            ))
        })
}

/// Lets through leases that are current, and those that this runner has ended itself: it asks
/// again, since an answer was lost. What is told apart by apply.
async fn refuse_stale(app: &App, runner: RunnerCaller, lease: Lease) -> Result<(), Problem> {
    let is_its_own = || {
        let attempt = |state: &FarmState| leases::attempt(state, runner.0, lease).is_some();
        app.log.read(attempt)
    };
    if is_its_own() {
        return Ok(());
    }
    // This node may be behind.
    app.log.read_barrier().await?;
    match is_its_own() {
        true => Ok(()),
        false => Err(stale_lease(lease)),
    }
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

fn stale_lease((task, epoch): Lease) -> Problem {
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

fn task_of_path(text: &str) -> Result<TaskName, Problem> {
    text.parse().map_err(|()| {
        Problem::new(
            ProblemKind::UnknownTask,
            "there is no such task; its id is JOB.INDEX, as GET /api/runner/tasks says it",
        )
    })
}

pub(super) fn invalid(detail: String) -> Problem {
    Problem::new(ProblemKind::InvalidRequest, detail)
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
