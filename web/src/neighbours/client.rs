//! Sending a call on to the node that can answer it.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::response::Response;
use futures::{Stream, StreamExt};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiggablend_raft::NodeId;
use tokio_util::task::AbortOnDropHandle;

use super::{CLIENT_ADDRESS, CLIENT_TLS, Forwarded};
use crate::app::App;
use crate::connections::Connection;
use crate::problem::{Problem, ProblemKind};

/// What belongs to one connection and not to the message (RFC 9110, 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Has `node` answer the request, with the caller's own credentials. Both bodies are streamed. A
/// request that came from another node already goes no further.
pub(crate) async fn forward(
    app: &App,
    node: NodeId,
    mut request: Request,
) -> Result<Response, Problem> {
    if request.extensions().get::<Forwarded>().is_some() || node == app.config.node {
        return Err(unreachable(node, "the nodes do not agree on who has it"));
    }
    let Ok(place) = app.forwarded.clone().try_acquire_owned() else {
        let why = "too many calls are on their way to other nodes; try again in a moment";
        return Err(Problem::new(ProblemKind::Busy, why).retry_after_seconds(5));
    };
    make_ready(&mut request)?;
    let stream = app.neighbours.connect(node).await;
    let stream = stream.map_err(|reason| unreachable(node, &reason))?;
    let broken = |error: hyper::Error| unreachable(node, &error.to_string());
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(broken)?;
    let driving = AbortOnDropHandle::new(tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%node, %error, "a call to another node broke off");
        }
    }));
    let response = sender.send_request(request).await.map_err(broken)?;
    let (mut head, body) = response.into_parts();
    remove_hop_by_hop(&mut head.headers);
    let body = Body::new(body).into_data_stream();
    Ok(Response::from_parts(
        head,
        Body::from_stream(holding(body, (driving, place))),
    ))
}

/// Makes a request of it as HTTP/1 writes it, with what this node knows of the client.
fn make_ready(request: &mut Request) -> Result<(), Problem> {
    let path = request.uri().path_and_query().cloned();
    let path = path.ok_or_else(|| Problem::new(ProblemKind::NotFound, "there is no such route"))?;
    *request.uri_mut() = Uri::from(path);
    *request.version_mut() = axum::http::Version::HTTP_11;
    let connection = request.extensions().get::<Connection>().cloned();
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    headers.remove(CLIENT_ADDRESS);
    headers.remove(CLIENT_TLS);
    let Some(connection) = connection else {
        return Ok(());
    };
    let address = HeaderValue::try_from(connection.address.to_string());
    headers.insert(CLIENT_ADDRESS, address.expect("an address is plain text"));
    let over_tls = if connection.over_tls { "1" } else { "0" };
    headers.insert(CLIENT_TLS, HeaderValue::from_static(over_tls));
    let host = connection.host.map(HeaderValue::try_from);
    if let Some(Ok(host)) = host {
        headers.insert(header::HOST, host);
    }
    Ok(())
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// The stream, and what must live as long as it does.
fn holding<S: Stream + Unpin>(stream: S, held: impl Send) -> impl Stream<Item = S::Item> {
    futures::stream::unfold((stream, held), |(mut stream, held)| async move {
        let item = stream.next().await?;
        Some((item, (stream, held)))
    })
}

fn unreachable(node: NodeId, reason: &str) -> Problem {
    tracing::warn!(%node, reason, "cannot send a call on to another node");
    Problem::new(
        ProblemKind::NodeUnreachable,
        format!(
            "node {node}, which must answer this, cannot be reached; try again when it is back"
        ),
    )
    .retry_after_seconds(5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_connection_is_not_sent_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "x-secret-hop, close"),
            ("x-secret-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("authorization", "Bearer x"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        remove_hop_by_hop(&mut headers);
        let left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["authorization"]);
    }
}
