//! Answering the calls that other nodes send on.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1::Builder;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use super::{CLIENT_ADDRESS, CLIENT_TLS, NeighbourStream};
use crate::app::App;
use crate::connections::Connection;
use crate::problem::{Problem, ProblemKind};

/// Calls of other nodes that are answered at a time.
const MAX_CALLS: usize = 512;
/// The other node opens a stream and sends the head at once.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long calls in flight may go on once this node stops.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// An extension of each request that another node has sent on: it goes no further.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forwarded;

/// Answers members' calls until the web port stops or there is no mesh any more.
pub(crate) async fn serve(app: App, router: Router) {
    let places = Arc::new(Semaphore::new(MAX_CALLS));
    let mut calls = JoinSet::new();
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            let place = place.expect("nobody closes the semaphore");
            Some((app.neighbours.accept().await?, place))
        };
        let (stream, place) = tokio::select! {
            () = app.stop.cancelled() => break,
            Some(_) = calls.join_next() => continue,
            next = next => match next {
                Some(next) => next,
                None => break,
            },
        };
        let answering = answer_one(stream, app.clone(), router.clone());
        calls.spawn(async move {
            if let Err(error) = answering.await {
                tracing::debug!(%error, "a call of another node broke off");
            }
            drop(place);
        });
    }
    let all_answered = async { while calls.join_next().await.is_some() {} };
    // What still runs is cut off when the set is dropped.
    let _ = tokio::time::timeout(STOP_WITHIN, all_answered).await;
}

async fn answer_one(
    stream: Box<dyn NeighbourStream>,
    app: App,
    router: Router,
) -> hyper::Result<()> {
    let service = tower::service_fn(move |request: Request<_>| {
        let (app, router) = (app.clone(), router.clone());
        async move {
            let request = request.map(Body::new);
            Ok::<Response, Infallible>(answer(&app, router, request).await)
        }
    });
    Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .await
}

async fn answer(app: &App, router: Router, mut request: Request) -> Response {
    let Some(connection) = told_connection(request.headers()) else {
        let why = "a call between nodes must name the client's address";
        return Problem::new(ProblemKind::InvalidRequest, why).into_response();
    };
    let headers = request.headers_mut();
    headers.remove(CLIENT_ADDRESS);
    headers.remove(CLIENT_TLS);
    request.extensions_mut().insert(connection);
    request.extensions_mut().insert(Forwarded);
    // The other node may have seen a sign-in or a job that has not arrived here.
    app.in_touch.catch_up().await;
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn told_connection(headers: &HeaderMap) -> Option<Connection> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    Some(Connection {
        address: text(&CLIENT_ADDRESS)?.parse().ok()?,
        over_tls: text(&CLIENT_TLS)? == "1",
        host: text(&header::HOST).map(str::to_owned),
    })
}
