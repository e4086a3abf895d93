//! For those who watch over the process.

use std::time::Duration;

use axum::extract::State;
use futures::FutureExt;

use crate::app::App;
use crate::problem::{Problem, ProblemKind};

const BARRIER_TIMEOUT: Duration = Duration::from_secs(2);

/// The process serves.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, content_type = "text/plain", body = String)))]
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// This node's state is up to date with a leader that it can reach.
#[utoipa::path(get, path = "/readyz", tag = "health", responses((status = 200, content_type = "text/plain", body = String)))]
pub(crate) async fn ready(State(app): State<App>) -> Result<&'static str, Problem> {
    let not_ready = |why: String| Problem::new(ProblemKind::NotReady, why).retry_after_seconds(2);
    if let Some(reason) = app.log.stopped().now_or_never() {
        return Err(Problem::log_stopped(&reason.to_string()));
    }
    match tokio::time::timeout(BARRIER_TIMEOUT, app.log.read_barrier()).await {
        Ok(Ok(())) => Ok("ready\n"),
        Ok(Err(error)) => {
            tracing::debug!(%error, "not ready");
            Err(not_ready(
                "this node cannot reach the farm's leader".to_owned(),
            ))
        }
        Err(_) => Err(not_ready(format!(
            "the farm's leader did not answer within {} s",
            BARRIER_TIMEOUT.as_secs()
        ))),
    }
}
