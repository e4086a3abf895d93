//! The jobs that a caller may see: filtered, sorted, a page at a time.

use std::cmp::Reverse;

use axum::Json;
use axum::extract::State as Extract;
use jiggablend_raft::{Job, JobId, JobState, NodeId, Owner, State, TimestampMs, UserId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::app::App;
use crate::problem::{Problem, ProblemKind};
use crate::query::ApiQuery;
use crate::views::{JobSummary, job_name};

const DEFAULT_PAGE: usize = 50;
const MAX_PAGE: usize = 500;
const MAX_QUERY_CHARS: usize = 200;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
enum JobSort {
    /// Newest first.
    #[default]
    #[serde(rename = "-created")]
    NewestFirst,
    #[serde(rename = "created")]
    OldestFirst,
    #[serde(rename = "name")]
    Name,
    /// In the order in which a job goes through them.
    #[serde(rename = "state")]
    State,
    /// What ended last comes first; what has not ended comes before all.
    #[serde(rename = "finished")]
    Finished,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobQuery {
    /// 50 unless it is given.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    cursor: Option<JobId>,
    /// The older name of `cursor`.
    before: Option<JobId>,
    state: Option<JobState>,
    /// `me`, `all` (that the caller may see), or an owner's id.
    owner: Option<String>,
    /// A part of the name, in whatever case.
    #[param(max_length = 200)]
    q: Option<String>,
    #[serde(default)]
    #[param(inline)]
    sort: JobSort,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct JobPage {
    jobs: Vec<JobSummary>,
    /// There when more follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<JobId>,
    /// The same under its older name.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_before: Option<JobId>,
}

/// Whose jobs are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    AllVisible,
    Of(Owner),
}

/// The caller's jobs and those that are shared with them, newest first; admins see all.
#[utoipa::path(
    get, path = "/api/jobs", tag = "jobs", params(JobQuery),
    responses((status = 200, body = JobPage)),
)]
pub(crate) async fn list(
    Extract(app): Extract<App>,
    caller: Caller,
    ApiQuery(query): ApiQuery<JobQuery>,
) -> Result<Json<JobPage>, Problem> {
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(invalid(&format!("limit must be 1 to {MAX_PAGE}")));
    }
    let wanted = Wanted {
        whose: whose(&caller, query.owner.as_deref())?,
        state: query.state,
        text: query.q.as_deref().map(search_text).transpose()?,
    };
    let cursor = query.cursor.or(query.before);
    let page = app.log.read(|state| {
        let after = match cursor {
            Some(id) => {
                let job = state.jobs.get(&id).filter(|job| caller.may_see(job))?;
                Some(job)
            }
            None => None,
        };
        Some(page(state, &caller, &wanted, query.sort, after, limit))
    });
    let page = page.ok_or_else(|| {
        invalid("the cursor names no job of yours; take next_cursor of the page before")
    })?;
    Ok(Json(page))
}

fn invalid(why: &str) -> Problem {
    Problem::new(ProblemKind::InvalidRequest, why)
}

fn whose(caller: &Caller, owner: Option<&str>) -> Result<Whose, Problem> {
    let unknown = || invalid("owner must be 'me', 'all', a user's id, or 'node-N'");
    match owner {
        None | Some("all") => Ok(Whose::AllVisible),
        Some("me") => Ok(Whose::Of(caller.owner())),
        Some(text) => {
            let user = || text.parse::<UserId>().ok().map(Owner::User);
            let node = text.strip_prefix("node-");
            let node = node.and_then(|number| number.parse::<NodeId>().ok());
            let owner = node.map(Owner::Operator).or_else(user);
            owner.map(Whose::Of).ok_or_else(unknown)
        }
    }
}

fn search_text(text: &str) -> Result<String, Problem> {
    if text.chars().count() > MAX_QUERY_CHARS {
        return Err(invalid(&format!(
            "q is longer than {MAX_QUERY_CHARS} characters; shorten it"
        )));
    }
    Ok(text.trim().to_lowercase())
}

struct Wanted {
    whose: Whose,
    state: Option<JobState>,
    /// In lower case.
    text: Option<String>,
}

impl Wanted {
    fn takes(&self, state: &State, job: &Job) -> bool {
        let has_state = self.state.is_none_or(|wanted| job.state == wanted);
        // A job that was given up before it got its scene: a refused upload leaves such a one.
        let came_to_nothing = job.state == JobState::Cancelled && job.tasks.is_empty();
        has_state
            && !came_to_nothing
            && self.text.as_deref().is_none_or(|text| {
                let name = job_name(state, job).to_lowercase();
                name.contains(text)
            })
    }
}

/// Newest first from the state's own order, so that a page costs what is on it; sorted otherwise,
/// all jobs that are wanted are looked at.
fn page(
    state: &State,
    caller: &Caller,
    wanted: &Wanted,
    sort: JobSort,
    after: Option<&Job>,
    limit: usize,
) -> JobPage {
    let is_newest_first = sort == JobSort::NewestFirst;
    let start = after.filter(|_| is_newest_first).map(Job::order);
    let found = candidates(state, caller, wanted.whose, start)
        .filter(|job| caller.may_see(job) && wanted.takes(state, job));
    let mut jobs: Vec<&Job> = match is_newest_first {
        true => found.take(limit + 1).collect(),
        false => {
            let key = |job: &Job| sort_key(state, sort, job);
            let start = after.map(key);
            let mut keyed: Vec<_> = found
                .map(|job| (key(job), job))
                .filter(|(key, _)| start.as_ref().is_none_or(|start| key > start))
                .collect();
            keyed.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            keyed.into_iter().map(|(_, job)| job).collect()
        }
    };
    let has_more = jobs.len() > limit;
    jobs.truncate(limit);
    let next = jobs.last().filter(|_| has_more).map(|job| job.id);
    JobPage {
        jobs: jobs
            .into_iter()
            .map(|job| JobSummary::of(state, job))
            .collect(),
        next_cursor: next,
        next_before: next,
    }
}

fn candidates<'a>(
    state: &'a State,
    caller: &Caller,
    whose: Whose,
    after: Option<(TimestampMs, JobId)>,
) -> Box<dyn Iterator<Item = &'a Job> + 'a> {
    match (whose, caller.user()) {
        (Whose::Of(owner), _) => Box::new(state.jobs_of(owner, after)),
        (Whose::AllVisible, Some(user)) if !caller.is_admin() => {
            Box::new(state.jobs_visible_to(user, after))
        }
        (Whose::AllVisible, _) => Box::new(state.jobs_newest_first(after)),
    }
}

/// What jobs are compared by; the id at the end makes the order whole.
type SortKey = (Option<Reverse<TimestampMs>>, u8, String, TimestampMs, JobId);

fn sort_key(state: &State, sort: JobSort, job: &Job) -> SortKey {
    let mut key = (None, 0, String::new(), job.created_at, job.id);
    match sort {
        JobSort::NewestFirst | JobSort::OldestFirst => {}
        JobSort::Name => key.2 = job_name(state, job).to_lowercase(),
        JobSort::State => {
            key.1 = match job.state {
                JobState::AwaitingScene => 0,
                JobState::Active => 1,
                JobState::Done => 2,
                JobState::Failed => 3,
                JobState::Cancelled => 4,
            }
        }
        JobSort::Finished => key.0 = job.finished_at.map(Reverse),
    }
    key
}
