//! A task ends: with what was made, or with a failure.

use axum::Json;
use axum::extract::{Path, State};
use jiggablend_raft::{
    Action, Epoch, Failure, FailureKind, NewFile, ProposeError, Refusal, SceneFacts,
    State as FarmState, TaskState,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::caller::RunnerCaller;
use super::handle::{self, Uploaded};
use super::leases::{self, Lease, TaskName};
use super::shared::{invalid, one_line, stale_lease};
use crate::app::App;
use crate::json::ApiJson;
use crate::problem::{Problem, ProblemKind};

const MAX_MESSAGE_CHARS: usize = 2000;
/// Ten years: what is longer is no render time.
const MAX_RENDER_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1000;

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
        inspected(&app, runner, lease, facts).await?;
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

/// The first word on a scene stands; the speed of a video comes from it. Only whoever has the lease
/// now has a word: one that is over changes nothing.
async fn inspected(
    app: &App,
    runner: RunnerCaller,
    lease: Lease,
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
    let job = lease.0.job;
    let is_news = app.log.read(|state| {
        let job = state.jobs.get(&job);
        let is_unknown = job.is_some_and(|job| job.scene_facts.is_none());
        is_unknown && leases::is_current(state, runner.0, lease)
    });
    if !is_news {
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

fn task_of_path(text: &str) -> Result<TaskName, Problem> {
    text.parse().map_err(|()| {
        Problem::new(
            ProblemKind::UnknownTask,
            "there is no such task; its id is JOB.INDEX, as GET /api/runner/tasks says it",
        )
    })
}
