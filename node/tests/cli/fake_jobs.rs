//! Logs, attempts, shares and archives of the made-up farm's job.

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Json, Router};
use futures::StreamExt;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::fake_farm::{Context, ok};

pub fn router() -> Router<Context> {
    Router::new()
        .route("/api/jobs/{id}/tasks/{index}/log", get(log))
        .route("/api/jobs/{id}/attempts", get(attempts))
        .route("/api/jobs/{id}/shares", get(shares))
        .route("/api/jobs/{id}/shares/{user}", put(share).delete(unshare))
        .route("/api/jobs/{id}/archive", get(archive))
}

#[derive(Deserialize)]
struct LogQuery {
    tail: Option<usize>,
    follow: Option<u8>,
}

/// Without `follow` there is only the first half of the log yet.
async fn log(State(context): State<Context>, Query(query): Query<LogQuery>) -> Response {
    let whole = context.farm.inner().log.clone();
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let there = match query.follow {
        Some(_) => lines.as_slice(),
        None => &lines[..lines.len() / 2],
    };
    let skipped = query
        .tail
        .map_or(0, |tail| there.len().saturating_sub(tail));
    let text = there[skipped..].concat();
    match context.habits.dies_after_log_bytes {
        Some(count) if query.follow.is_some() => {
            let start = Bytes::copy_from_slice(&text.as_bytes()[..count]);
            let pieces = futures::stream::iter([start]).chain(context.last_breath());
            Body::from_stream(pieces.map(ok)).into_response()
        }
        _ => text.into_response(),
    }
}

#[derive(Deserialize)]
struct PageQuery {
    cursor: Option<u32>,
}

/// Two, a page each.
async fn attempts(Query(query): Query<PageQuery>) -> Json<Value> {
    match query.cursor {
        None => Json(json!({ "next_cursor": 1, "attempts": [{
            "task": 1, "frame": 2, "epoch": 1, "node": 1, "leased_at_ms": 1, "ended_at_ms": 4_001,
            "outcome": "failed", "render_ms": null, "reason": null, "log_file": null,
            "failure": {"kind": "crashed", "message": "Blender ended by signal 11"},
        }]})),
        Some(_) => Json(json!({ "attempts": [{
            "task": 1, "frame": 2, "epoch": 2, "node": 7, "leased_at_ms": 5_000,
            "ended_at_ms": 6_500, "outcome": "lease_ended", "render_ms": null, "failure": null,
            "reason": "the node was silent for too long", "log_file": null,
        }]})),
    }
}

async fn shares(State(context): State<Context>) -> Json<Value> {
    let shares: Vec<Value> = context.farm.inner().shares.values().cloned().collect();
    Json(json!({ "shares": shares }))
}

async fn share(
    State(context): State<Context>,
    Path((_, user)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Json<Value> {
    let share = json!({"user": {"id": user, "name": "Ada"}, "access": body["access"]});
    context.farm.inner().shares.insert(user, share.clone());
    Json(share)
}

async fn unshare(
    State(context): State<Context>,
    Path((_, user)): Path<(String, String)>,
) -> StatusCode {
    match context.farm.inner().shares.remove(&user) {
        Some(_) => StatusCode::NO_CONTENT,
        None => StatusCode::NOT_FOUND,
    }
}

#[derive(Deserialize)]
struct ArchiveQuery {
    format: String,
    kind: String,
}

async fn archive(State(context): State<Context>, Query(query): Query<ArchiveQuery>) -> Response {
    assert_eq!(
        (query.format.as_str(), query.kind.as_str()),
        ("zip", "frame")
    );
    let bytes = Bytes::from(vec![7_u8; 200_000]);
    match context.habits.dies_after_download_bytes {
        Some(count) => {
            let start = bytes.slice(..count);
            let pieces = futures::stream::iter([start]).chain(context.last_breath());
            Body::from_stream(pieces.map(ok)).into_response()
        }
        None => Body::from(bytes).into_response(),
    }
}
