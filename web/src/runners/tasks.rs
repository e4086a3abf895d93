//! A runner asks for tasks, and waits until there are some.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use jiggablend_raft::{Applied, Change, ContentId, Epoch, FrameNumber, JobId, State as FarmState};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};

use super::caller::RunnerCaller;
use super::leases::{self, Lease, TaskName, Work};
use super::shared::{invalid, say};
use crate::app::App;
use crate::problem::Problem;
use crate::query::ApiQuery;

const MAX_TASKS: u32 = 64;
const MAX_WAIT_SECONDS: u64 = 60;
/// A runner that waits for tasks is there: the leader is told so this often.
const SIGN_OF_LIFE: Duration = Duration::from_secs(1);

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
    ApiQuery(query): ApiQuery<TasksQuery>,
) -> Result<Json<Tasks>, Problem> {
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
