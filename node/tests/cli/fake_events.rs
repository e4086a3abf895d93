//! The live stream of the made-up farm: its script, as far as the node lives.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use futures::StreamExt;
use serde_json::json;

use crate::fake_farm::{Context, FIRST_INDEX, Inner, ok};

pub fn router() -> Router<Context> {
    Router::new().route("/api/events", get(events))
}

async fn events(State(context): State<Context>, headers: HeaderMap) -> Response {
    let last_id = headers
        .get("last-event-id")
        .map(|id| id.to_str().unwrap().to_owned())
        .expect("the client names where it is");
    let after: u64 = last_id.parse().unwrap();
    let is_resumed = {
        let mut inner = context.farm.inner();
        inner.last_event_ids.push(last_id);
        inner.last_event_ids.len() > 1
    };
    let mut start = (after - FIRST_INDEX) as usize;
    let mut pieces = vec!["event: leader\ndata: {\"leader\":1,\"term\":3}\n\n".to_owned()];
    if is_resumed && context.habits.forgets_events {
        let mut inner = context.farm.inner();
        start += 2;
        inner.happen(start);
        let index = inner.applied_index();
        pieces.push(format!("event: reset\ndata: {{\"index\":{index}}}\n\n"));
    } else if is_resumed && context.habits.repeats_events {
        start = start.saturating_sub(3);
    }
    let script_length = context.farm.inner().script.len();
    let end = match context.habits.dies_after_events {
        Some(count) => count.min(script_length),
        None => script_length,
    };
    if context.habits.is_ahead {
        context.farm.inner().happen(script_length);
    }
    for position in start..end {
        pieces.push(event(&context.farm.inner(), position));
    }
    let is_cut = end < script_length;
    if is_cut {
        let next = event(&context.farm.inner(), end);
        pieces.push(next[..next.len() - 20].to_owned());
    }
    // What is sent has happened.
    context.farm.inner().happen(end);
    let pieces = futures::stream::iter(pieces.into_iter().map(Bytes::from));
    let body = match is_cut {
        true => Body::from_stream(pieces.chain(context.last_breath()).map(ok)),
        false => Body::from_stream(pieces.chain(futures::stream::pending()).map(ok)),
    };
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

fn event(inner: &Inner, position: usize) -> String {
    let index = FIRST_INDEX + position as u64 + 1;
    let mut changes = inner.script[position].clone();
    if inner.happened > position {
        // The newest word of each thing, and of its job, as the real nodes tell it.
        for change in &mut changes {
            if let Some(index) = change["task"]["index"].as_u64() {
                change["task"] = inner.tasks[&index].clone();
            }
        }
        changes.push(json!({"job": inner.job}));
    }
    let data = json!({"index": index, "changes": changes});
    format!("event: change\nid: {index}\ndata: {data}\n\n")
}
