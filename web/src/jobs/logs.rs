//! What Blender printed during an attempt: of one that has ended, from the content store; of one
//! that runs, from the node where it runs.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use jiggablend_raft::{AttemptOutcome, Epoch, FileId, JobId, NodeId, TaskId};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

use crate::access::{Access, Caller, OwnedJob, check_again};
use crate::app::App;
use crate::files;
use crate::neighbours::forward;
use crate::path::ApiPath;
use crate::problem::{Problem, ProblemKind};
use crate::query::ApiQuery;

/// How often a log that is followed is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);
const MAX_TAIL: usize = 10_000;
/// A runner keeps less; what HTTP runners send is cut to this too.
const MAX_LOG_BYTES: u64 = 16 << 20;

/// Lines of a running attempt's log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogLines {
    pub lines: Vec<String>,
    /// The number of the line that comes after these, counted from the attempt's first.
    pub next: u64,
}

/// The logs of attempts that run on this node. The node implements it over its runner.
pub trait RunningLogs: Send + Sync + 'static {
    /// The lines from number `from` on, as far as they are kept; `None` where that attempt does
    /// not run here.
    fn lines(&self, task: TaskId, epoch: Epoch, from: u64) -> Option<LogLines>;
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogQuery {
    /// The attempt's epoch; the newest attempt unless it is given.
    #[param(value_type = Option<i64>, minimum = 0, maximum = 4_294_967_295_i64)]
    attempt: Option<u32>,
    /// Only so many last lines.
    #[param(minimum = 1, maximum = 10_000)]
    tail: Option<usize>,
    /// `1`: goes on with what is printed until the attempt ends.
    #[param(minimum = 0, maximum = 1)]
    follow: Option<u8>,
}

/// Where an attempt's log is.
enum Place {
    /// It runs there.
    Node(NodeId),
    File(FileId),
}

/// What an attempt of a task printed, while it runs and after.
#[utoipa::path(
    get, path = "/api/jobs/{id}/tasks/{index}/log", tag = "jobs",
    params(("id" = JobId, Path), ("index" = u32, Path), LogQuery),
    responses((status = 200, content_type = "text/plain", body = String)),
)]
pub(crate) async fn log(
    State(app): State<App>,
    caller: Caller,
    OwnedJob(job): OwnedJob,
    ApiPath((_, index)): ApiPath<(String, u32)>,
    ApiQuery(query): ApiQuery<LogQuery>,
    request: Request,
) -> Result<Response, Problem> {
    if query
        .tail
        .is_some_and(|tail| !(1..=MAX_TAIL).contains(&tail))
    {
        let why = format!("tail must be 1 to {MAX_TAIL}");
        return Err(Problem::new(ProblemKind::InvalidRequest, why));
    }
    let follow = match query.follow {
        None | Some(0) => false,
        Some(1) => true,
        Some(_) => {
            let why = "follow must be 0 or 1";
            return Err(Problem::new(ProblemKind::InvalidRequest, why));
        }
    };
    let task = TaskId { job, index };
    let (epoch, place) = find(&app, task, query.attempt.map(Epoch))?;
    match place {
        Place::File(file) => ended(&app, &caller, job, file, query.tail).await,
        Place::Node(node) if node != app.config.node => {
            let is_in_mesh = app.log.read(|state| {
                let node = state.nodes.get(&node);
                node.is_some_and(|node| node.peer_id().is_some())
            });
            match is_in_mesh {
                true => forward(&app, node, request).await,
                false => Err(no_log(
                    task,
                    "its runner speaks only HTTP and sends it at the end",
                )),
            }
        }
        Place::Node(_) => {
            let start = app.running_logs.lines(task, epoch, 0);
            let start = start.ok_or_else(|| no_log(task, "nothing was printed yet"))?;
            let lines = tail(&start.lines, query.tail);
            if !follow {
                return Ok(plain_text(Body::from(joined(lines))));
            }
            let Ok(place) = Arc::clone(&app.event_streams).try_acquire_owned() else {
                let why = "too many streams are open on this node; try again in a moment";
                return Err(Problem::new(ProblemKind::Busy, why).retry_after_seconds(5));
            };
            let following = Following {
                app,
                caller,
                task,
                epoch,
                next: start.next,
                at_once: Some(joined(lines)),
                _place: place,
            };
            Ok(plain_text(Body::from_stream(following.stream())))
        }
    }
}

fn find(app: &App, id: TaskId, epoch: Option<Epoch>) -> Result<(Epoch, Place), Problem> {
    app.log.read(|state| {
        let job = state.jobs.get(&id.job);
        let job = job.ok_or_else(|| Problem::unknown_job(&id.job.to_string()))?;
        if id.index as usize >= job.tasks.len() {
            return Err(Problem::unknown_task(id.job, id.index));
        }
        let mut attempts = job.attempts.iter().rev();
        let attempt = attempts.find(|attempt| {
            attempt.task == id.index && epoch.is_none_or(|epoch| attempt.epoch == epoch)
        });
        let attempt = attempt.ok_or_else(|| no_log(id, "there is no such attempt"))?;
        let place = match (&attempt.outcome, attempt.log) {
            (_, Some(file)) => Place::File(file),
            (AttemptOutcome::Running, None) => Place::Node(attempt.node),
            _ => return Err(no_log(id, "the attempt left none")),
        };
        Ok((attempt.epoch, place))
    })
}

fn no_log(task: TaskId, why: &str) -> Problem {
    Problem::new(
        ProblemKind::NoLog,
        format!("task {} of job {} has no log: {why}", task.index, task.job),
    )
}

async fn ended(
    app: &App,
    caller: &Caller,
    job: JobId,
    file: FileId,
    count: Option<usize>,
) -> Result<Response, Problem> {
    let file = files::find(app, job, &file.to_string())?;
    let bytes = files::stream(app, &file).await?;
    let Some(count) = count else {
        let right = files::still_reads(app, caller, job);
        let bytes = files::while_allowed(bytes, right);
        return Ok(plain_text(Body::from_stream(bytes)));
    };
    if file.size_bytes > MAX_LOG_BYTES {
        let why = "the log is too long to look for its end; ask for all of it";
        return Err(Problem::new(ProblemKind::TooLarge, why));
    }
    let text = bytes
        .try_fold(Vec::new(), async |mut text: Vec<u8>, piece| {
            text.extend_from_slice(&piece);
            Ok(text)
        })
        .await;
    let text = text.map_err(|error| {
        tracing::warn!(file = %file.id, %error, "cannot read a log");
        let why = "the log could not be read as a whole; try again in a moment";
        Problem::new(ProblemKind::ContentUnavailable, why).retry_after_seconds(10)
    })?;
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    Ok(plain_text(Body::from(joined(tail(&lines, Some(count))))))
}

/// The last lines, of which there are so many: those that say nothing at the end do not count.
fn tail<T: AsRef<str>>(lines: &[T], count: Option<usize>) -> &[T] {
    let Some(count) = count else {
        return lines;
    };
    let says_something = |line: &T| !line.as_ref().trim().is_empty();
    let end = lines.iter().rposition(says_something);
    let end = end.map_or(0, |last| last + 1);
    &lines[end.saturating_sub(count)..end]
}

fn joined(lines: &[impl AsRef<str>]) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(line.as_ref());
        text.push('\n');
    }
    text
}

/// Never as something that a browser runs (I9).
fn plain_text(body: Body) -> Response {
    let headers = HeaderMap::from_iter([
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        ),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("sandbox; default-src 'none'"),
        ),
    ]);
    (headers, body).into_response()
}

/// A running attempt's log, line by line until the attempt or the caller's right to see it ends.
struct Following {
    app: App,
    caller: Caller,
    task: TaskId,
    epoch: Epoch,
    next: u64,
    at_once: Option<String>,
    _place: OwnedSemaphorePermit,
}

impl Following {
    fn stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        futures::stream::unfold(self, async |mut following| {
            let text = following.next_text().await?;
            Some((Ok(Bytes::from(text)), following))
        })
    }

    async fn next_text(&mut self) -> Option<String> {
        if let Some(text) = self.at_once.take().filter(|text| !text.is_empty()) {
            return Some(text);
        }
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.app.stop.cancelled() => return None,
            }
            if !self.is_still_allowed() {
                return None;
            }
            let news = self
                .app
                .running_logs
                .lines(self.task, self.epoch, self.next)?;
            self.next = news.next;
            if !news.lines.is_empty() {
                return Some(joined(&news.lines));
            }
        }
    }

    fn is_still_allowed(&self) -> bool {
        let job = self.task.job;
        check_again(&self.app, &self.caller, Access::JobReader, false, job).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_those_that_say_something() {
        let lines = ["one", "", "two", "", " "];
        assert_eq!(tail(&lines, Some(1)), ["two"]);
        assert_eq!(tail(&lines, Some(2)), ["", "two"]);
        assert_eq!(tail(&lines, Some(9)), ["one", "", "two"]);
        assert_eq!(tail(&lines, None), lines);
        assert_eq!(tail(&["", ""], Some(3)), [""; 0]);
    }
}
