//! Carries commands and questions to the leader, wherever it is and however often it changes.

use std::time::Duration;

use futures::future::BoxFuture;
use openraft::ReadPolicy;
use openraft::errors::{Fatal, RaftError};
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

/// A command's place in the log and what came of it.
struct Settled {
    index: u64,
    result: Result<Effect, Refusal>,
}

/// Why a try came to nothing.
enum Missed {
    /// Another try may find a leader.
    Again(String),
    Stopped(String),
}

pub(super) async fn propose(inner: &Inner, command: Command) -> Result<Effect, ProposeError> {
    if encode(&command).len() > MAX_COMMAND_BYTES {
        let reason = format!("the command {command} is too large for the job log");
        return Err(Refusal::Invalid(reason).into());
    }
    let deadline = Instant::now() + PATIENCE;
    let command = &command;
    let settled = with_leader(inner, deadline, |leader| {
        Box::pin(async move {
            if leader == inner.config.node {
                write_here(inner, command.clone()).await
            } else {
                forward(inner, leader, command).await
            }
        })
    })
    .await?;
    if !caught_up(inner, settled.index, CATCH_UP).await {
        tracing::warn!(
            index = settled.index,
            "a command is in the log, but this node's state does not have it yet"
        );
    }
    Ok(settled.result?)
}

pub(super) async fn read_barrier(inner: &Inner) -> Result<(), ProposeError> {
    let deadline = Instant::now() + PATIENCE;
    let index = with_leader(inner, deadline, |leader| {
        Box::pin(async move {
            let answer = if leader == inner.config.node {
                read_index_as_leader(inner).await
            } else {
                match ask(inner, leader, &Request::ReadIndex).await? {
                    Response::ReadIndex(answer) => answer,
                    _ => {
                        let reason = format!("node {leader} answered another question");
                        return Err(Missed::Again(reason));
                    }
                }
            };
            match answer {
                ReadIndex::Known(index) => Ok(index),
                ReadIndex::NotLeading(reason) => Err(Missed::Again(reason)),
            }
        })
    })
    .await?;
    let left = deadline.saturating_duration_since(Instant::now());
    if caught_up(inner, index, left).await {
        return Ok(());
    }
    Err(ProposeError::NoLeader(format!(
        "this node's state is behind entry {index}"
    )))
}

/// Tries with whoever leads until one try succeeds or the deadline is over.
///
/// The tries are boxed: with an async closure the compiler cannot see that the whole future is
/// `Send`, and then no handler of the web port could propose.
async fn with_leader<'a, T>(
    inner: &Inner,
    deadline: Instant,
    attempt: impl Fn(NodeId) -> BoxFuture<'a, Result<T, Missed>>,
) -> Result<T, ProposeError> {
    let mut metrics = inner.raft.metrics();
    let mut last_reason = "none is known".to_owned();
    loop {
        inner.check_running()?;
        let leader = metrics.borrow_and_update().current_leader;
        if let Some(leader) = leader {
            match timeout_at(deadline.min(Instant::now() + TRY), attempt(leader)).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(Missed::Again(reason))) => last_reason = reason,
                Ok(Err(Missed::Stopped(reason))) => return Err(ProposeError::Stopped(reason)),
                Err(_) => last_reason = format!("node {leader} did not answer in time"),
            }
            tracing::debug!(%leader, reason = %last_reason, "looking for the leader again");
        }
        if Instant::now() >= deadline {
            return Err(ProposeError::NoLeader(last_reason));
        }
        if let Ok(Err(_)) = timeout(PAUSE, metrics.changed()).await {
            return Err(ProposeError::Stopped("it was shut down".into()));
        }
    }
}

/// Waits until this node's state has the entry; false where it takes longer than `patience`.
async fn caught_up(inner: &Inner, index: u64, patience: Duration) -> bool {
    let mut applied = inner.machine.applied_index();
    let reached = applied.wait_for(|applied| *applied >= index);
    matches!(timeout(patience, reached).await, Ok(Ok(_)))
}

async fn write_here(inner: &Inner, command: Command) -> Result<Settled, Missed> {
    match inner.raft.client_write(command).await {
        Ok(written) => {
            let result = written
                .data
                .0
                .expect("an entry with a command has an answer to it");
            Ok(Settled {
                index: written.log_id.index,
                result,
            })
        }
        Err(RaftError::APIError(error)) => Err(Missed::Again(error.to_string())),
        Err(RaftError::Fatal(fatal)) => Err(stopped(inner, &fatal)),
    }
}

fn stopped(inner: &Inner, fatal: &Fatal<crate::consensus::TypeConfig>) -> Missed {
    let reason = inner.fault.get().unwrap_or_else(|| fatal.to_string());
    Missed::Stopped(reason)
}

async fn forward(inner: &Inner, leader: NodeId, command: &Command) -> Result<Settled, Missed> {
    match ask(inner, leader, &Request::Propose(command.clone())).await? {
        Response::Proposed(Forwarded::Applied { index, result }) => Ok(Settled { index, result }),
        Response::Proposed(Forwarded::NotLeading(reason)) => Err(Missed::Again(reason)),
        _ => Err(Missed::Again(format!(
            "node {leader} answered another question"
        ))),
    }
}

async fn ask(inner: &Inner, node: NodeId, request: &Request) -> Result<Response, Missed> {
    let again = |reason: String| Missed::Again(format!("node {node}: {reason}"));
    let peer_id = inner
        .raft
        .metrics()
        .borrow_watched()
        .membership_config
        .get_node(&node)
        .map(|member| member.peer_id.clone())
        .ok_or_else(|| again("it is not in the Raft group".into()))?;
    let answer = inner
        .transport
        .call(node, &peer_id, encode(request), TRY)
        .await
        .map_err(|error| again(error.to_string()))?;
    match decode(&answer).map_err(again)? {
        Response::Failed(reason) => Err(again(reason)),
        response => Ok(response),
    }
}

/// Serves a proposal that another node forwarded.
pub(super) async fn propose_as_leader(inner: &Inner, command: Command) -> Forwarded {
    match timeout(TRY, write_here(inner, command)).await {
        Ok(Ok(Settled { index, result })) => Forwarded::Applied { index, result },
        Ok(Err(Missed::Again(reason) | Missed::Stopped(reason))) => Forwarded::NotLeading(reason),
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
