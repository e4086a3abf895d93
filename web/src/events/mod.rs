//! Live events: one stream a client, filtered to what the caller may see.
//!
//! An event's id is its log index, so that a client can go on at any node where it stopped at
//! another one. The [`feed`] [`render`]s what the log says once for all, as an [`event`] in pieces
//! that is kept in a [`ring`]; a [`stream`] only picks what its caller may see.

mod event;
mod feed;
mod render;
mod ring;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::app::App;
use crate::problem::{Problem, ProblemKind};
use crate::query::ApiQuery;
pub(crate) use feed::{Feed, Feeder};
use stream::EventStream;

const BARRIER_TIMEOUT: Duration = Duration::from_secs(3);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    ),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    // Tells reverse proxies not to hold events back.
    (
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    ),
];

/// One event of the stream.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "its shape is for the document; events are written as they come"
)]
pub(crate) struct ServerSentEvent {
    /// `change`, `reset`, `progress` or `leader`.
    event: String,
    /// JSON, as docs/api.md describes it.
    data: String,
    /// Of a `change`: the log index after which a later stream goes on.
    id: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Resume {
    /// The id of the last event that is known.
    #[param(pattern = r"^[0-9]{0,19}$")]
    after: Option<String>,
}

/// What changes, as server-sent events; an event's id is its log index.
#[utoipa::path(
    get, path = "/api/events", tag = "events",
    params(Resume, (
        "Last-Event-ID" = Option<String>, Header, pattern = r"^[0-9]{0,19}$",
        description = "What a browser sends when it opens the stream again; goes before `after`",
    )),
    responses((status = 200, content_type = "text/event-stream", body = ServerSentEvent)),
)]
pub(crate) async fn events(
    State(app): State<App>,
    caller: Caller,
    ApiQuery(resume): ApiQuery<Resume>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let Ok(slot) = Arc::clone(&app.event_streams).try_acquire_owned() else {
        let why = "too many event streams are open on this node; try again, or use another node";
        return Err(Problem::new(ProblemKind::Busy, why).retry_after_seconds(5));
    };
    let after = after(&headers, resume.after.as_deref())?;
    if after.is_some_and(|after| after > app.log.applied_index()) {
        // The client saw more at another node. Where the leader cannot be asked, the stream
        // starts with a reset, which is right too.
        let catching_up = app.log.read_barrier();
        let _ = tokio::time::timeout(BARRIER_TIMEOUT, catching_up).await;
    }
    let events = EventStream::start(app, caller, after, slot).into_stream();
    Ok((HEADERS, Body::from_stream(events)).into_response())
}

/// A browser that reconnects sends the header, which is newer than what its address says.
fn after(headers: &HeaderMap, query: Option<&str>) -> Result<Option<u64>, Problem> {
    let header = headers
        .get(LAST_EVENT_ID)
        .map(|value| value.to_str().unwrap_or("?"));
    let id_of = |text: &str| match text {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| {
            Problem::new(
                ProblemKind::InvalidRequest,
                "Last-Event-ID and after must be the id of an event, a whole number",
            )
        }),
    };
    let after = query.map_or(Ok(None), id_of)?;
    header.map_or(Ok(after), id_of)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_reconnect_goes_on_after_the_last_event_not_where_it_began() {
        let mut headers = HeaderMap::new();
        assert_eq!(after(&headers, None).unwrap(), None);
        assert_eq!(after(&headers, Some("7")).unwrap(), Some(7));
        headers.insert(LAST_EVENT_ID, HeaderValue::from_static("9"));
        assert_eq!(after(&headers, Some("7")).unwrap(), Some(9));
        headers.insert(LAST_EVENT_ID, HeaderValue::from_static("-9"));
        assert!(after(&headers, Some("7")).is_err());
        headers.insert(LAST_EVENT_ID, HeaderValue::from_static("9"));
        assert!(
            after(&headers, Some("seven")).is_err(),
            "nothing is let pass"
        );
    }
}
