//! A job's frames, a page at a time: a job may have hundreds of thousands.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use jiggablend_raft::{JobId, Task, TaskKind, TaskState};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::access::OwnedJob;
use crate::app::App;
use crate::problem::{Problem, ProblemKind};
use crate::query::ApiQuery;
use crate::views::TaskView;

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

/// The states of a task, without whose lease it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum FrameState {
    Waiting,
    Pending,
    Leased,
    Done,
    Failed,
    Cancelled,
}

impl FrameState {
    fn of(task: &Task) -> Self {
        match task.state {
            TaskState::Waiting => Self::Waiting,
            TaskState::Pending => Self::Pending,
            TaskState::Leased { .. } => Self::Leased,
            TaskState::Done => Self::Done,
            TaskState::Failed => Self::Failed,
            TaskState::Cancelled => Self::Cancelled,
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct FrameQuery {
    /// 100 unless it is given.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// `next_after_index` of the page before.
    #[param(value_type = Option<i64>, minimum = 0, maximum = 4_294_967_295_i64)]
    after_index: Option<u32>,
    #[param(inline)]
    state: Option<FrameState>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct FramePage {
    frames: Vec<TaskView>,
    /// There when more follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_after_index: Option<u32>,
}

/// A job's frames in the order in which they were asked for.
#[utoipa::path(
    get, path = "/api/jobs/{id}/frames", tag = "jobs", params(("id" = JobId, Path), FrameQuery),
    responses((status = 200, body = FramePage)),
)]
pub(crate) async fn frames(
    State(app): State<App>,
    OwnedJob(job): OwnedJob,
    ApiQuery(query): ApiQuery<FrameQuery>,
) -> Result<Json<FramePage>, Problem> {
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        let why = format!("limit must be 1 to {MAX_PAGE}");
        return Err(Problem::new(ProblemKind::InvalidRequest, why));
    }
    let page = app.log.read(|state| {
        let job = state.jobs.get(&job)?;
        let first = query.after_index.map_or(0, |index| index.saturating_add(1));
        let mut wanted: Vec<u32> = (0..)
            .zip(&job.tasks)
            .skip(first as usize)
            .filter(|(_, task)| matches!(task.kind, TaskKind::Frame(_)))
            .filter(|(_, task)| {
                query
                    .state
                    .is_none_or(|state| state == FrameState::of(task))
            })
            .map(|(index, _)| index)
            .take(limit + 1)
            .collect();
        let has_more = wanted.len() > limit;
        wanted.truncate(limit);
        let next_after_index = wanted.last().copied().filter(|_| has_more);
        let wanted: BTreeSet<u32> = wanted.into_iter().collect();
        Some(FramePage {
            frames: TaskView::of_some(job, &wanted).into_values().collect(),
            next_after_index,
        })
    });
    page.map(Json)
        .ok_or_else(|| Problem::unknown_job(&job.to_string()))
}
