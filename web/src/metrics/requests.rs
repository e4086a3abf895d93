//! Counts what the web port answers, by route and class of status.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use http_body::{Frame, SizeHint};
use jiggablend_raft::{Effect, ProposeError};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

type Labels = Vec<(&'static str, String)>;

/// Upper bounds of the histogram of a request's time, in seconds.
const SECONDS: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

fn new_histogram() -> Histogram {
    Histogram::new(SECONDS)
}

/// What was counted since the node started.
#[derive(Clone)]
pub(crate) struct RequestMetrics {
    requests: Family<Labels, Counter>,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
    received_bytes: Counter,
    sent_bytes: Counter,
    sign_in_failures: Counter,
    proposals: Family<[(&'static str, &'static str); 1], Counter>,
}

impl Default for RequestMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(new_histogram),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            sign_in_failures: Counter::default(),
            proposals: Family::default(),
        }
    }
}

impl RequestMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "http_requests",
            "Requests that were answered",
            self.requests.clone(),
        );
        registry.register_with_unit(
            "http_request",
            "Time from a request's head to its answer's head",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register_with_unit(
            "http_received",
            "Bodies of requests",
            Unit::Bytes,
            self.received_bytes.clone(),
        );
        registry.register_with_unit(
            "http_sent",
            "Bodies of answers, live events among them",
            Unit::Bytes,
            self.sent_bytes.clone(),
        );
        registry.register(
            "sign_in_failures",
            "Sign-ins that were refused for wrong credentials or too many attempts",
            self.sign_in_failures.clone(),
        );
        registry.register(
            "proposals",
            "Commands that this node's web port proposed to the job log, by what came of them",
            self.proposals.clone(),
        );
    }

    pub(crate) fn proposed(&self, proposed: &Result<Effect, ProposeError>) {
        let result = match proposed {
            Ok(_) => "applied",
            Err(ProposeError::Refused(_)) => "refused",
            Err(ProposeError::NoLeader(_)) => "no_leader",
            Err(ProposeError::Stopped(_)) => "stopped",
        };
        self.proposals.get_or_create(&[("result", result)]).inc();
    }

    /// The counters of one route, looked up once.
    pub(crate) fn of_route(&self, method: &Method, path: &str) -> RouteMetrics {
        let labels = || vec![("method", method.to_string()), ("route", path.to_owned())];
        let by_class = CLASSES.map(|class| {
            let mut labels = labels();
            labels.push(("status", class.to_owned()));
            self.requests.get_or_create_owned(&labels)
        });
        let is_sign_in = method == Method::POST && path == "/api/auth/login";
        RouteMetrics(Arc::new(Counters {
            by_class,
            seconds: self.seconds.get_or_create_owned(&labels()),
            received_bytes: self.received_bytes.clone(),
            sent_bytes: self.sent_bytes.clone(),
            sign_in_failures: is_sign_in.then(|| self.sign_in_failures.clone()),
        }))
    }
}

#[derive(Clone)]
pub(crate) struct RouteMetrics(Arc<Counters>);

struct Counters {
    by_class: [Counter; CLASSES.len()],
    seconds: Histogram,
    received_bytes: Counter,
    sent_bytes: Counter,
    sign_in_failures: Option<Counter>,
}

impl Counters {
    fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES.len());
        self.by_class[class - 1].inc();
        let is_refused =
            status == StatusCode::UNAUTHORIZED || status == StatusCode::TOO_MANY_REQUESTS;
        if let Some(failures) = self.sign_in_failures.as_ref().filter(|_| is_refused) {
            failures.inc();
        }
    }
}

/// Counts a request and its answer.
pub(crate) async fn observe(
    State(route): State<RouteMetrics>,
    request: Request,
    next: Next,
) -> Response {
    let counters = route.0;
    let started = Instant::now();
    let request = request.map(|body| counted(body, &counters.received_bytes));
    let response = next.run(request).await;
    counters.seconds.observe(started.elapsed().as_secs_f64());
    counters.answered(response.status());
    response.map(|body| counted(body, &counters.sent_bytes))
}

fn counted(body: Body, counter: &Counter) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(Counted {
        body,
        counter: counter.clone(),
    })
}

/// A body whose bytes are counted as they pass.
struct Counted {
    body: Body,
    counter: Counter,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.counter.inc_by(data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
