//! How old what this node knows may be, and what it answers then.
//!
//! A node's state follows the leader's by some milliseconds, so what a client has just written at
//! one node may not be there yet at the next one. And a node that is cut off from the farm learns
//! of nothing that was taken from anybody.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::Response;
use jiggablend_raft::{JobLog, NodeId, State as FarmState};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{Caller, Identity};
use crate::app::App;
use crate::problem::{Problem, ProblemKind};

const BARRIER_TIMEOUT: Duration = Duration::from_secs(2);
const ASK_EACH: Duration = Duration::from_secs(60);
/// A node that has not heard from a leader for so long no longer takes anybody's word for who
/// they are: their accounts, tokens and shares may be gone.
const TRUSTED_FOR: Duration = Duration::from_secs(60 * 60);

/// When this node's state was last known to be as new as the leader's.
pub(crate) struct InTouch {
    log: JobLog,
    node: NodeId,
    /// When the newest question to the leader was asked that has its answer; one asks at a time.
    asked_at: tokio::sync::Mutex<Option<Instant>>,
    heard_at: Mutex<Instant>,
}

impl InTouch {
    pub(crate) fn new(log: JobLog, node: NodeId) -> Self {
        Self {
            log,
            node,
            asked_at: tokio::sync::Mutex::default(),
            heard_at: Mutex::new(Instant::now()),
        }
    }

    /// Returns when this node's state has what the leader's had when this was called, or when
    /// that takes too long. Those who wait at the same time share one question.
    pub(crate) async fn catch_up(&self) {
        let called_at = Instant::now();
        let mut asked_at = self.asked_at.lock().await;
        if asked_at.is_some_and(|asked_at| asked_at >= called_at) {
            return;
        }
        let now = Instant::now();
        // Without a leader this node's own state is what there is.
        if let Ok(Ok(())) = timeout(BARRIER_TIMEOUT, self.log.read_barrier()).await {
            *self.heard_at.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
        *asked_at = Some(now);
    }

    /// Asks from time to time, until `stop` is cancelled.
    pub(crate) async fn keep(&self, stop: CancellationToken) {
        let asking = async {
            loop {
                self.catch_up().await;
                tokio::time::sleep(ASK_EACH).await;
            }
        };
        stop.run_until_cancelled(asking).await;
    }

    /// Whether this node can tell who somebody is and what they may do.
    pub(crate) fn check(&self, state: &FarmState) -> Result<(), Problem> {
        let heard_at = *self.heard_at.lock().unwrap_or_else(PoisonError::into_inner);
        check(state, self.node, heard_at.elapsed())
    }

    /// The same for that caller. Whoever owns this node's machine sees what it has.
    pub(crate) fn check_for(&self, caller: &Caller, state: &FarmState) -> Result<(), Problem> {
        match caller.identity == Identity::Operator(self.node) {
            true => Ok(()),
            false => self.check(state),
        }
    }
}

fn check(state: &FarmState, node: NodeId, silence: Duration) -> Result<(), Problem> {
    if state.nodes.get(&node).is_some_and(|node| node.removed) {
        let why = "this node was removed from the farm; ask one of the farm's other nodes";
        return Err(Problem::new(ProblemKind::NotReady, why));
    }
    if silence > TRUSTED_FOR {
        let why = format!(
            "this node has not heard from the farm's leader for {} min and cannot tell what you \
             may still do; ask another node, or start the nodes that are off",
            silence.as_secs() / 60
        );
        return Err(Problem::new(ProblemKind::NoLeader, why).retry_after_seconds(2));
    }
    Ok(())
}

/// Lets no client miss what it has just written at another node: a change first waits until this
/// node has caught up, and a "there is no such thing" or "who are you" is said only after that.
pub(crate) async fn see_what_was_written_elsewhere(
    State(app): State<App>,
    request: Request,
    next: Next,
) -> Response {
    if app.log.leadership().borrow().is_self {
        return next.run(request).await;
    }
    if !request.method().is_safe() {
        app.in_touch.catch_up().await;
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let again = Request::from_parts(parts.clone(), Body::empty());
    let known = app.log.applied_index();
    let response = next.clone().run(Request::from_parts(parts, body)).await;
    if !matches!(
        response.status(),
        StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED
    ) {
        return response;
    }
    app.in_touch.catch_up().await;
    match app.log.applied_index() == known {
        true => response,
        false => next.run(again).await,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_node_that_is_cut_off_for_long_answers_for_nobody() {
        let state = FarmState::default();
        assert!(check(&state, NodeId(1), TRUSTED_FOR).is_ok());
        let refused = check(&state, NodeId(1), TRUSTED_FOR + Duration::from_secs(60)).unwrap_err();
        assert_eq!(refused.kind(), ProblemKind::NoLeader);
    }
}
