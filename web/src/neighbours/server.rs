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
use jiggablend_raft::JobLog;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::{CLIENT_ADDRESS, CLIENT_TLS, NeighbourStream, Neighbours};
use crate::connections::Connection;
use crate::problem::{Problem, ProblemKind};

/// Calls of other nodes that are answered at a time.
const MAX_CALLS: usize = 512;
/// The other node opens a stream and sends the head at once.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long this node's state may need to know what the other one knew.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long calls in flight may go on once this node stops.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// An extension of each request that another node has sent on: it goes no further.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Forwarded;

/// Answers members' calls until `stop` is cancelled or there is no mesh any more.
pub(crate) async fn serve(
    neighbours: Arc<dyn Neighbours>,
    log: JobLog,
    router: Router,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(MAX_CALLS));
    let mut calls = JoinSet::new();
    loop {
        let next = async {
            let place = places.clone().acquire_owned().await;
            let place = place.expect("nobody closes the semaphore");
            Some((neighbours.accept().await?, place))
        };
        let (stream, place) = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = calls.join_next() => continue,
            next = next => match next {
                Some(next) => next,
                None => break,
            },
        };
        let answering = answer_one(stream, log.clone(), router.clone());
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
    log: JobLog,
    router: Router,
) -> hyper::Result<()> {
    let service = tower::service_fn(move |request: Request<_>| {
        let (log, router) = (log.clone(), router.clone());
        async move {
            let request = request.map(Body::new);
            Ok::<Response, Infallible>(answer(&log, router, request).await)
        }
    });
    Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .await
}

async fn answer(log: &JobLog, router: Router, mut request: Request) -> Response {
    let Some(connection) = told_connection(request.headers()) else {
        let why = "a call between nodes must name the client's address";
        return Problem::new(ProblemKind::InvalidRequest, why).into_response();
    };
    let headers = request.headers_mut();
    headers.remove(CLIENT_ADDRESS);
    headers.remove(CLIENT_TLS);
    request.extensions_mut().insert(connection);
    request.extensions_mut().insert(Forwarded);
    // The other node may have seen a sign-in or a job that has not arrived here. Without a leader
    // this node answers with what it knows.
    let _ = tokio::time::timeout(CATCH_UP_TIMEOUT, log.read_barrier()).await;
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
