//! What runners did for a job, attempt by attempt.

use axum::Json;
use axum::extract::State;
use jiggablend_raft::{
    Attempt, AttemptOutcome, Epoch, Failure, FileId, FrameNumber, Job, JobId, LeaseEnd, NodeId,
    TaskKind, TimestampMs,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::access::OwnedJob;
use crate::app::App;
use crate::path::ApiPath;
use crate::problem::{Problem, ProblemKind};
use crate::query::ApiQuery;

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// One lease of a task and how it ended.
#[derive(Serialize, ToSchema)]
pub(crate) struct AttemptView {
    task: u32,
    frame: Option<FrameNumber>,
    epoch: Epoch,
    node: NodeId,
    leased_at_ms: TimestampMs,
    ended_at_ms: Option<TimestampMs>,
    outcome: OutcomeName,
    render_ms: Option<u64>,
    failure: Option<Failure>,
    /// Why the lease ended without an outcome.
    reason: Option<String>,
    log_file: Option<FileId>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum OutcomeName {
    Running,
    Committed,
    Failed,
    LeaseEnded,
    Cancelled,
}

impl AttemptView {
    fn of(job: &Job, attempt: &Attempt) -> Self {
        let kind = job.tasks.get(attempt.task as usize).map(|task| task.kind);
        let mut view = Self {
            task: attempt.task,
            frame: match kind {
                Some(TaskKind::Frame(frame)) => Some(frame),
                _ => None,
            },
            epoch: attempt.epoch,
            node: attempt.node,
            leased_at_ms: attempt.leased_at,
            ended_at_ms: attempt.ended_at,
            outcome: OutcomeName::Running,
            render_ms: None,
            failure: None,
            reason: None,
            log_file: attempt.log,
        };
        match &attempt.outcome {
            AttemptOutcome::Running => {}
            AttemptOutcome::Committed { render_ms } => {
                view.outcome = OutcomeName::Committed;
                view.render_ms = Some(*render_ms);
            }
            AttemptOutcome::Failed(failure) => {
                view.outcome = OutcomeName::Failed;
                view.failure = Some(failure.clone());
            }
            AttemptOutcome::LeaseEnded(end) => {
                view.outcome = OutcomeName::LeaseEnded;
                view.reason = Some(reason(*end).to_owned());
            }
            AttemptOutcome::Cancelled => view.outcome = OutcomeName::Cancelled,
        }
        view
    }
}

fn reason(end: LeaseEnd) -> &'static str {
    match end {
        LeaseEnd::NodeLost => "the node was silent for too long",
        LeaseEnd::NotRunning => "the node did not have it any more",
        LeaseEnd::Released => "the node gave it back",
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AttemptQuery {
    /// 100 unless it is given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<i64>, minimum = 0, maximum = 4_294_967_295_i64)]
    cursor: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AttemptPage {
    attempts: Vec<AttemptView>,
    /// There when more follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<usize>,
}

/// All attempts of a job in the order in which they began.
#[utoipa::path(
    get, path = "/api/jobs/{id}/attempts", tag = "jobs",
    params(("id" = JobId, Path), AttemptQuery),
    responses((status = 200, body = AttemptPage)),
)]
pub(crate) async fn attempts(
    State(app): State<App>,
    OwnedJob(job): OwnedJob,
    ApiQuery(query): ApiQuery<AttemptQuery>,
) -> Result<Json<AttemptPage>, Problem> {
    page(&app, job, &query, |_| true)
}

/// The attempts of one of its tasks.
#[utoipa::path(
    get, path = "/api/jobs/{id}/tasks/{index}/attempts", tag = "jobs",
    params(("id" = JobId, Path), ("index" = u32, Path), AttemptQuery),
    responses((status = 200, body = AttemptPage)),
)]
pub(crate) async fn task_attempts(
    State(app): State<App>,
    OwnedJob(job): OwnedJob,
    ApiPath((_, index)): ApiPath<(String, u32)>,
    ApiQuery(query): ApiQuery<AttemptQuery>,
) -> Result<Json<AttemptPage>, Problem> {
    let is_there = app.log.read(|state| {
        let job = state.jobs.get(&job);
        job.is_some_and(|job| (index as usize) < job.tasks.len())
    });
    if !is_there {
        return Err(Problem::unknown_task(job, index));
    }
    page(&app, job, &query, |attempt| attempt.task == index)
}

/// The cursor is a place among all attempts of the job: they are only ever added to.
fn page(
    app: &App,
    job: JobId,
    query: &AttemptQuery,
    is_wanted: impl Fn(&Attempt) -> bool,
) -> Result<Json<AttemptPage>, Problem> {
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        let why = format!("limit must be 1 to {MAX_PAGE}");
        return Err(Problem::new(ProblemKind::InvalidRequest, why));
    }
    let page = app.log.read(|state| {
        let job = state.jobs.get(&job)?;
        let places = job.attempts.iter().enumerate();
        let mut wanted = places
            .skip(query.cursor.unwrap_or(0) as usize)
            .filter(|(_, attempt)| is_wanted(attempt));
        let attempts = wanted
            .by_ref()
            .take(limit)
            .map(|(_, attempt)| AttemptView::of(job, attempt))
            .collect();
        Some(AttemptPage {
            attempts,
            next_cursor: wanted.next().map(|(place, _)| place),
        })
    });
    page.map(Json)
        .ok_or_else(|| Problem::unknown_job(&job.to_string()))
}
