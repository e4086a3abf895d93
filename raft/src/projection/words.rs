//! Enums as the words that people see in the tables, and back.

use duckdb::types::Value;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Actor, AttemptOutcome, FrameNumber, NodeId, TaskKind, TaskState};

/// The word of an enum without data, as the API spells it.
pub(super) fn word<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => unreachable!("only enums without data are written as words"),
    }
}

pub(super) fn from_word<T: DeserializeOwned>(word: String) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(word)).map_err(|error| error.to_string())
}

pub(super) fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain values are always JSON")
}

pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

pub(super) fn text<T: ToString>(value: T) -> Value {
    Value::Text(value.to_string())
}

pub(super) fn optional_text<T: ToString>(value: Option<T>) -> Value {
    value.map_or(Value::Null, text)
}

pub(super) fn optional_node(node: Option<NodeId>) -> Value {
    node.map_or(Value::Null, |node| Value::UBigInt(node.0))
}

pub(super) fn task_kind(kind: TaskKind) -> (&'static str, Option<i32>) {
    match kind {
        TaskKind::Frame(frame) => ("frame", Some(frame.0)),
        TaskKind::Encode => ("encode", None),
    }
}

pub(super) fn to_task_kind(word: &str, frame: Option<i32>) -> Result<TaskKind, String> {
    match (word, frame) {
        ("frame", Some(frame)) => Ok(TaskKind::Frame(FrameNumber(frame))),
        ("encode", None) => Ok(TaskKind::Encode),
        _ => Err(format!("a task of kind '{word}' and frame {frame:?}")),
    }
}

pub(super) fn task_state(state: TaskState) -> (&'static str, Option<NodeId>) {
    match state {
        TaskState::Waiting => ("waiting", None),
        TaskState::Pending => ("pending", None),
        TaskState::Leased { node } => ("leased", Some(node)),
        TaskState::Done => ("done", None),
        TaskState::Failed => ("failed", None),
        TaskState::Cancelled => ("cancelled", None),
    }
}

pub(super) fn to_task_state(word: &str, node: Option<u64>) -> Result<TaskState, String> {
    match (word, node) {
        ("waiting", None) => Ok(TaskState::Waiting),
        ("pending", None) => Ok(TaskState::Pending),
        ("leased", Some(node)) => Ok(TaskState::Leased { node: NodeId(node) }),
        ("done", None) => Ok(TaskState::Done),
        ("failed", None) => Ok(TaskState::Failed),
        ("cancelled", None) => Ok(TaskState::Cancelled),
        _ => Err(format!("a task in state '{word}' on node {node:?}")),
    }
}

pub(super) fn outcome(outcome: &AttemptOutcome) -> &'static str {
    match outcome {
        AttemptOutcome::Running => "running",
        AttemptOutcome::Committed { .. } => "committed",
        AttemptOutcome::Failed(_) => "failed",
        AttemptOutcome::LeaseEnded(_) => "lease_ended",
        AttemptOutcome::Cancelled => "cancelled",
    }
}

pub(super) fn actor(actor: Actor) -> (&'static str, Option<String>) {
    match actor {
        Actor::Farm => ("farm", None),
        Actor::Node(node) => ("node", Some(node.to_string())),
        Actor::User(user) => ("user", Some(user.to_string())),
        Actor::Operator(node) => ("operator", Some(node.to_string())),
    }
}

pub(super) fn to_actor(kind: &str, id: Option<String>) -> Result<Actor, String> {
    let nonsense = || format!("an actor of kind '{kind}' and id {id:?}");
    let id = id.as_deref();
    match (kind, id) {
        ("farm", None) => Ok(Actor::Farm),
        ("node", Some(id)) => id.parse().map(Actor::Node).map_err(|_| nonsense()),
        ("user", Some(id)) => id.parse().map(Actor::User).map_err(|_| nonsense()),
        ("operator", Some(id)) => id.parse().map(Actor::Operator).map_err(|_| nonsense()),
        _ => Err(nonsense()),
    }
}
