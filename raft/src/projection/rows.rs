//! The state's things as rows of their tables, column by column.

use duckdb::types::Value;

use super::words::{self, optional_node, optional_text, text};
use crate::state::RecordKey;
use crate::{
    ApiToken, Attempt, AttemptOutcome, AuditEntry, File, Job, Node, Owner, Reach, Session, Task,
    Ticket, TimestampMs, User,
};

pub(super) type Row = Vec<Value>;

fn time(at: TimestampMs) -> Value {
    Value::UBigInt(at.0)
}

fn optional_time(at: Option<TimestampMs>) -> Value {
    at.map_or(Value::Null, time)
}

pub(super) fn node_row(node: &Node) -> Row {
    let (mut peer_id, mut addresses) = (Value::Null, Value::Null);
    let (mut credential, mut registered_with) = (Value::Null, Value::Null);
    match &node.reach {
        Reach::Mesh {
            peer_id: peer,
            addresses: known,
        } => (peer_id, addresses) = (text(peer), text(words::json(known))),
        Reach::Http {
            credential: hash,
            registered_with: token,
        } => (credential, registered_with) = (text(hash), text(token)),
    }
    vec![
        Value::UBigInt(node.id.0),
        text(&node.name),
        peer_id,
        addresses,
        credential,
        registered_with,
        optional_text(node.web_address.as_ref()),
        Value::Boolean(node.roles.voter),
        Value::Boolean(node.roles.runner),
        text(&node.version),
        text(words::json(&node.runner)),
        optional_text(node.operator_token),
        time(node.joined_at),
        optional_text(node.admitted_by),
        Value::Boolean(node.removed),
    ]
}

pub(super) fn ticket_row(ticket: &Ticket) -> Row {
    let (created_by_kind, created_by_id) = words::actor(ticket.created_by);
    vec![
        text(ticket.hash),
        Value::Boolean(ticket.roles.voter),
        Value::Boolean(ticket.roles.runner),
        time(ticket.created_at),
        text(created_by_kind),
        optional_text(created_by_id),
        time(ticket.expires_at),
        Value::Boolean(ticket.reusable),
        optional_node(ticket.spent_by),
    ]
}

pub(super) fn user_row(user: &User) -> Row {
    vec![
        text(user.id),
        text(&user.name),
        optional_text(user.email.as_ref()),
        optional_text(user.password_hash.as_ref()),
        text(words::json(&user.identities)),
        text(words::word(&user.role)),
        Value::Boolean(user.disabled),
        optional_text(user.quota.as_ref().map(words::json)),
        time(user.created_at),
    ]
}

pub(super) fn session_row(session: &Session) -> Row {
    vec![
        text(session.hash),
        text(session.user),
        time(session.created_at),
        time(session.expires_at),
        optional_text(session.from),
        text(&session.agent),
    ]
}

pub(super) fn token_row(token: &ApiToken) -> Row {
    vec![
        text(token.id),
        text(token.hash),
        text(token.user),
        text(&token.name),
        text(words::json(&token.scopes)),
        time(token.created_at),
        optional_time(token.expires_at),
    ]
}

pub(super) fn audit_row(entry: &AuditEntry) -> Row {
    let (actor_kind, actor_id) = words::actor(entry.actor);
    vec![
        Value::UBigInt(entry.number),
        time(entry.at),
        text(actor_kind),
        optional_text(actor_id),
        optional_text(entry.from),
        text(&entry.action),
        text(&entry.subject),
        text(&entry.detail),
    ]
}

pub(super) fn record_row(key: RecordKey, body: &str) -> Row {
    vec![text(key.kind()), text(key.id()), text(body)]
}

pub(super) fn job_row(key: u32, job: &Job) -> Row {
    let (owner_kind, owner_id) = match job.owner {
        Owner::User(user) => ("user", user.to_string()),
        Owner::Operator(node) => ("operator", node.to_string()),
    };
    let counts = job.counts;
    vec![
        Value::UInt(key),
        text(job.id),
        text(&job.name),
        text(owner_kind),
        text(owner_id),
        optional_text(job.settings.frames.as_ref()),
        Value::Boolean(job.settings.video),
        Value::Boolean(job.frames_from_scene),
        text(words::json(&job.shares)),
        text(words::word(&job.state)),
        time(job.created_at),
        optional_time(job.started_at),
        optional_time(job.finished_at),
        optional_text(job.scene),
        optional_text(job.scene_facts.as_ref().map(words::json)),
        optional_text(
            job.failure
                .as_ref()
                .map(|failure| words::word(&failure.kind)),
        ),
        optional_text(job.failure.as_ref().map(|failure| &failure.message)),
        Value::UInt(counts.waiting),
        Value::UInt(counts.pending),
        Value::UInt(counts.leased),
        Value::UInt(counts.done),
        Value::UInt(counts.failed),
        Value::UInt(counts.cancelled),
    ]
}

pub(super) fn task_row(job_key: u32, index: u32, task: &Task) -> Row {
    let (kind, frame) = words::task_kind(task.kind);
    let (state, node) = words::task_state(task.state);
    vec![
        Value::UInt(job_key),
        Value::UInt(index),
        text(kind),
        frame.map_or(Value::Null, Value::Int),
        text(state),
        optional_node(node),
        Value::UInt(task.epoch.0),
        Value::UInt(task.failed_attempts),
        optional_node(task.avoid),
        optional_text(task.output),
    ]
}

pub(super) fn attempt_row(job_key: u32, position: u32, attempt: &Attempt) -> Row {
    let (mut render_ms, mut failure, mut lease_end) = (Value::Null, None, Value::Null);
    match &attempt.outcome {
        AttemptOutcome::Committed { render_ms: spent } => render_ms = Value::UBigInt(*spent),
        AttemptOutcome::Failed(why) => failure = Some(why),
        AttemptOutcome::LeaseEnded(why) => lease_end = text(words::word(why)),
        AttemptOutcome::Running | AttemptOutcome::Cancelled => {}
    }
    vec![
        Value::UInt(job_key),
        Value::UInt(position),
        Value::UInt(attempt.task),
        Value::UInt(attempt.epoch.0),
        Value::UBigInt(attempt.node.0),
        time(attempt.leased_at),
        optional_time(attempt.ended_at),
        text(words::outcome(&attempt.outcome)),
        render_ms,
        optional_text(failure.map(|failure| words::word(&failure.kind))),
        optional_text(failure.map(|failure| &failure.message)),
        lease_end,
        optional_text(attempt.log),
    ]
}

pub(super) fn file_row(job_key: u32, position: u32, file: &File) -> Row {
    vec![
        Value::UInt(job_key),
        Value::UInt(position),
        text(file.id),
        file.task.map_or(Value::Null, Value::UInt),
        text(words::word(&file.kind)),
        text(&file.name),
        text(&file.media_type),
        text(file.content),
        Value::UBigInt(file.size_bytes),
        time(file.created_at),
    ]
}
