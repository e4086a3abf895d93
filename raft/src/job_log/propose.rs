//! Carries commands and questions to the leader, wherever it is and however often it changes.

use std::time::Duration;

use openraft::ReadPolicy;
use openraft::rt::WatchReceiver as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Inner, ProposeError};
use crate::consensus::{Forwarded, ReadIndex, Request, Response, decode, encode};
use crate::{Command, Effect, NodeId, Refusal};

/// How long a proposal looks for a leader.
const PATIENCE: Duration = Duration::from_secs(15);
/// One try with one leader. A leader that was cut off does not answer at all.
const TRY: Duration = Duration::from_secs(4);
/// How long a node waits for its own state to have what the leader has applied.
const CATCH_UP: Duration = Duration::from_secs(5);
/// Between two looks for a leader when nothing tells of a change.
const PAUSE: Duration = Duration::from_millis(20);
/// A larger command is refused: it would not fit into one request between nodes.
const MAX_COMMAND_BYTES: usize = 8 * 1024 * 1024;

pub(super) async fn propose(inner: &Inner, command: Command) -> Result<Effect, ProposeError> {
    if encode(&command).len() > MAX_COMMAND_BYTES {
        let reason = format!("the command {command} is too large for the job log");
        return Err(Refusal::Invalid(reason).into());
    }
    let deadline = Instant::now() + PATIENCE;
    let (index, result) = loop {
        match ask_leader(inner, deadline, &Request::Propose(command.clone())).await? {
            Response::Proposed(Forwarded::Applied { index, result }) => break (index, result),
            other => tracing::warn!(?other, "the leader answered another question"),
        }
    };
    if !caught_up(inner, index, CATCH_UP).await {
        tracing::warn!(
            index,
            "a command is in the log, but this node's state does not have it yet"
        );
    }
    Ok(result?)
}

pub(super) async fn read_barrier(inner: &Inner) -> Result<(), ProposeError> {
    let deadline = Instant::now() + PATIENCE;
    let index = loop {
        match ask_leader(inner, deadline, &Request::ReadIndex).await? {
            Response::ReadIndex(ReadIndex::Known(index)) => break index,
            other => tracing::warn!(?other, "the leader answered another question"),
        }
    };
    let left = deadline.saturating_duration_since(Instant::now());
    if caught_up(inner, index, left).await {
        return Ok(());
    }
    Err(ProposeError::NoLeader(format!(
        "this node's state is behind entry {index}"
    )))
}

/// Asks whoever leads, this node included, until one answers as a leader or the deadline is
/// over.
async fn ask_leader(
    inner: &Inner,
    deadline: Instant,
    request: &Request,
) -> Result<Response, ProposeError> {
    let mut metrics = inner.raft.metrics();
    let mut last_reason = "none is known".to_owned();
    loop {
        inner.check_running()?;
        if Instant::now() >= deadline {
            return Err(ProposeError::NoLeader(last_reason));
        }
        let leader = metrics.borrow_and_update().current_leader;
        if let Some(leader) = leader {
            let try_until = deadline.min(Instant::now() + TRY);
            match timeout_at(try_until, ask(inner, leader, request)).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(reason)) => last_reason = reason,
                Err(_) => last_reason = format!("node {leader} did not answer in time"),
            }
            tracing::debug!(%leader, reason = %last_reason, "looking for the leader again");
        }
        if let Ok(Err(_)) = timeout(PAUSE, metrics.changed()).await {
            inner.check_running()?;
            return Err(ProposeError::Stopped("it was shut down".into()));
        }
    }
}

/// Asks one node. An answer that it does not lead is an error here.
async fn ask(inner: &Inner, node: NodeId, request: &Request) -> Result<Response, String> {
    let response = if node == inner.config.node {
        answer_as_leader(inner, request).await
    } else {
        ask_other(inner, node, request).await
    };
    let about = |reason: String| format!("node {node}: {reason}");
    match response.map_err(about)? {
        Response::Failed(reason)
        | Response::Proposed(Forwarded::NotLeading(reason))
        | Response::ReadIndex(ReadIndex::NotLeading(reason)) => Err(about(reason)),
        response => Ok(response),
    }
}

async fn answer_as_leader(inner: &Inner, request: &Request) -> Result<Response, String> {
    match request {
        Request::Propose(command) => {
            let forwarded = propose_as_leader(inner, command.clone()).await;
            Ok(Response::Proposed(forwarded))
        }
        Request::ReadIndex => Ok(Response::ReadIndex(read_index_as_leader(inner).await)),
        _ => Err("only proposals and reads go to the leader".into()),
    }
}

async fn ask_other(inner: &Inner, node: NodeId, request: &Request) -> Result<Response, String> {
    let peer_id = inner
        .raft
        .metrics()
        .borrow_watched()
        .membership_config
        .get_node(&node)
        .map(|member| member.peer_id.clone())
        .ok_or("it is not in the Raft group")?;
    let answer = inner
        .transport
        .call(node, &peer_id, encode(request), TRY)
        .await
        .map_err(|error| error.to_string())?;
    decode(&answer)
}

/// Waits until this node's state has the entry; false where it takes longer than `patience`.
async fn caught_up(inner: &Inner, index: u64, patience: Duration) -> bool {
    let mut applied = inner.machine.applied_index();
    let reached = applied.wait_for(|applied| *applied >= index);
    matches!(timeout(patience, reached).await, Ok(Ok(_)))
}

/// Writes the command into the log, if this node leads, and waits until it is applied here.
pub(super) async fn propose_as_leader(inner: &Inner, command: Command) -> Forwarded {
    match timeout(TRY, inner.raft.client_write(command)).await {
        Ok(Ok(written)) => Forwarded::Applied {
            index: written.log_id.index,
            result: written
                .data
                .0
                .expect("an entry with a command has an answer to it"),
        },
        Ok(Err(error)) => Forwarded::NotLeading(error.to_string()),
        Err(_) => Forwarded::NotLeading("no quorum answered in time".into()),
    }
}

/// The index up to which a linearizable read must see, confirmed by a quorum just now.
pub(super) async fn read_index_as_leader(inner: &Inner) -> ReadIndex {
    let confirmed = inner.raft.get_read_log_id(ReadPolicy::ReadIndex);
    match timeout(TRY, confirmed).await {
        Ok(Ok((read_log_id, _))) => ReadIndex::Known(read_log_id.index()),
        Ok(Err(error)) => ReadIndex::NotLeading(error.to_string()),
        Err(_) => ReadIndex::NotLeading("no quorum answered in time".into()),
    }
}
