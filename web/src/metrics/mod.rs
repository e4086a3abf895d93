//! What this node tells Prometheus: `GET /metrics`, in the OpenMetrics text format.
//!
//! [`requests`] counts what the web port answers while it does; everything else is looked up when
//! it is asked for: the farm and its log in [`farm`], the process in [`process`]. Base units, and
//! no label that grows with the number of jobs or users.

mod farm;
mod process;
mod requests;

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

pub(crate) use requests::{RequestMetrics, observe};

use crate::app::App;
use crate::problem::{Problem, ProblemKind};

const CONTENT_TYPE: (HeaderName, HeaderValue) = (
    header::CONTENT_TYPE,
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8"),
);

/// This node's metrics for Prometheus, as OpenMetrics text.
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    responses((status = 200, content_type = "application/openmetrics-text", body = String)),
)]
pub(crate) async fn metrics(State(app): State<App>) -> Result<Response, Problem> {
    let mut registry = Registry::with_prefix("jiggablend");
    farm::register(&app, &mut registry);
    app.request_metrics.register(&mut registry);
    // By the names that Prometheus' own client libraries give them.
    let mut plain = Registry::default();
    process::register(&mut plain);

    let mut text = String::new();
    let encoded = prometheus_client::encoding::text::encode_registry(&mut text, &plain)
        .and_then(|()| encode(&mut text, &registry));
    encoded.map_err(|_| {
        Problem::new(
            ProblemKind::Internal,
            "the metrics could not be written as text; this is a fault of the program",
        )
    })?;
    Ok(([CONTENT_TYPE], text).into_response())
}
