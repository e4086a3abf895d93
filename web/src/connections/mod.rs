//! Accepts connections and stops them in order: HTTP/1.1 and HTTP/2 on one port, over TLS where
//! the node has a certificate.
//!
//! With a certificate, programs on the same machine may still speak plainly: the node's own
//! command line, or a proxy.

mod proxies;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

pub(crate) use proxies::Connection;
use proxies::TrustedProxies;
pub use tls::{Certificates, TlsFiles};

use crate::problem::{Problem, ProblemKind};

const MAX_CONNECTIONS: usize = 8192;
/// A client that takes longer to send a request's head is not waited for.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// From the connection to the end of the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_HTTP2_STREAMS: u32 = 256;
/// How long requests in flight may go on once the port stops.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// A client that takes none of what was sent to it for this long is cut off: it is gone, or it
/// holds a connection and reads nothing.
#[cfg(target_os = "linux")]
const UNREAD_LIMIT: Duration = Duration::from_secs(5 * 60);
/// After an error of accept itself, such as no free file descriptor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A browser that saw this speaks to the node's host over TLS alone, for half a year.
const STRICT_TRANSPORT: HeaderValue = HeaderValue::from_static("max-age=15768000");

/// How connections are taken.
pub(crate) struct Doors {
    certificates: Option<Arc<Certificates>>,
    proxies: TrustedProxies,
}

impl Doors {
    pub(crate) fn new(
        certificates: Option<Arc<Certificates>>,
        trusted_proxies: Vec<IpNet>,
    ) -> Self {
        Self {
            certificates,
            proxies: TrustedProxies::new(trusted_proxies),
        }
    }
}

/// Serves until `stop` is cancelled. Then accepts nothing more, and returns when the requests in
/// flight are answered, after ten seconds at the latest.
pub(crate) async fn serve(
    listener: TcpListener,
    doors: Doors,
    router: Router,
    stop: CancellationToken,
) {
    let doors = Arc::new(doors);
    let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let slot = Arc::clone(&slots).acquire_owned();
        let accepted = async {
            let slot = slot.await.expect("nobody closes the semaphore");
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let serving = serve_one(
                    stream,
                    peer,
                    Arc::clone(&doors),
                    router.clone(),
                    stop.clone(),
                );
                connections.spawn(async move {
                    if let Err(error) = serving.await {
                        tracing::debug!(%peer, %error, "a connection to the web port ended");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection on the web port");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let all_answered = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_WITHIN, all_answered)
        .await
        .is_err()
    {
        tracing::warn!("some web requests were cut off, since they took too long to finish");
    }
}

async fn serve_one(
    stream: TcpStream,
    peer: SocketAddr,
    doors: Arc<Doors>,
    router: Router,
    stop: CancellationToken,
) -> Result<(), ConnectionError> {
    set_up(&stream)?;
    let Some(certificates) = doors.certificates.clone() else {
        return serve_http(stream, peer, false, doors, router, stop).await;
    };
    let shaking_hands = async {
        if tls::begins_with_handshake(&stream).await? {
            Ok::<_, io::Error>(Taken::Tls(Box::new(certificates.accept(stream).await?)))
        } else {
            Ok(Taken::Plain(stream))
        }
    };
    let taken = tokio::select! {
        taken = timeout(HANDSHAKE_TIMEOUT, shaking_hands) => taken.map_err(io::Error::from)??,
        () = stop.cancelled() => return Ok(()),
    };
    match taken {
        Taken::Tls(stream) => serve_http(stream, peer, true, doors, router, stop).await,
        Taken::Plain(stream) if is_this_machine(&stream, peer)? => {
            serve_http(stream, peer, false, doors, router, stop).await
        }
        Taken::Plain(stream) => {
            let refusing = Router::new().fallback(refuse_plain);
            serve_http(stream, peer, false, doors, refusing, stop).await
        }
    }
}

fn set_up(stream: &TcpStream) -> io::Result<()> {
    // Small events must not wait for more to come.
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(stream).set_tcp_user_timeout(Some(UNREAD_LIMIT))?;
    Ok(())
}

type ConnectionError = Box<dyn std::error::Error + Send + Sync>;

enum Taken {
    Tls(Box<tokio_rustls::server::TlsStream<TcpStream>>),
    Plain(TcpStream),
}

fn is_this_machine(stream: &TcpStream, peer: SocketAddr) -> io::Result<bool> {
    let peer = peer.ip().to_canonical();
    Ok(peer.is_loopback() || peer == stream.local_addr()?.ip().to_canonical())
}

async fn refuse_plain() -> Response {
    let why = "this node speaks TLS; call it with https://";
    Problem::new(ProblemKind::TlsNeeded, why).into_response()
}

async fn serve_http<S>(
    stream: S,
    peer: SocketAddr,
    over_tls: bool,
    doors: Arc<Doors>,
    router: Router,
    stop: CancellationToken,
) -> Result<(), ConnectionError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = tower::service_fn(move |request: Request<_>| {
        let connection = doors.proxies.connection(peer, over_tls, &request);
        let over_tls = connection.over_tls;
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(connection);
        let answering = router.clone().oneshot(request);
        async move {
            let mut response = answering.await?;
            if over_tls {
                let headers = response.headers_mut();
                headers.insert(header::STRICT_TRANSPORT_SECURITY, STRICT_TRANSPORT);
            }
            Ok::<_, std::convert::Infallible>(response)
        }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_HTTP2_STREAMS)
        .keep_alive_interval(HEADER_TIMEOUT);
    let service = TowerToHyperService::new(service);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        served = serving.as_mut() => served,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn the_system_cuts_off_a_client_that_takes_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, accepted) = tokio::join!(client, listener.accept());
        let (stream, _) = accepted.unwrap();
        set_up(&stream).unwrap();
        let limit = socket2::SockRef::from(&stream).tcp_user_timeout().unwrap();
        assert_eq!(limit, Some(UNREAD_LIMIT));
        drop(client);
    }
}
