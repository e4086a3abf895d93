//! How one comes in: TLS, HTTP/2, and proxies before the node.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::node::*;
use crate::{Certificates, TlsFiles};

/// A certificate for this machine, written as PEM into that folder; answers its DER.
fn write_certificate(dir: &Path) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join("key.pem"), made.key_pair.serialize_pem()).unwrap();
    std::fs::write(dir.join("cert.pem"), made.cert.pem()).unwrap();
    made.cert.der().to_vec()
}

fn certificates(dir: &Path) -> Arc<Certificates> {
    let files = TlsFiles {
        certificate: dir.join("cert.pem"),
        key: dir.join("key.pem"),
    };
    Arc::new(Certificates::read(files).unwrap())
}

async fn node_with_tls(dir: &Path) -> TestNode {
    TestNode::start_with(Setup {
        certificates: Some(certificates(dir)),
        ..Setup::default()
    })
    .await
}

fn address_of(node: &TestNode) -> SocketAddr {
    let (_, address) = node.base.split_once("//").unwrap();
    address.parse().unwrap()
}

/// A client that trusts that certificate alone.
fn client_that_trusts(certificate: &[u8], address: SocketAddr) -> reqwest::Client {
    let certificate = reqwest::Certificate::from_der(certificate).unwrap();
    reqwest::Client::builder()
        .tls_certs_only([certificate])
        .resolve("localhost", address)
        .build()
        .unwrap()
}

async fn connect(certificate: &[u8], address: SocketAddr, alpn: &[&str]) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.to_vec().into()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    connecting.await.unwrap()
}

#[tokio::test]
async fn over_tls_the_cookie_is_the_hosts_own_and_the_browser_stays_with_tls() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = write_certificate(dir.path());
    let node = node_with_tls(dir.path()).await;
    let address = address_of(&node);
    let client = client_that_trusts(&certificate, address);
    let url = format!("https://localhost:{}/api/auth/login", address.port());
    let body = json!({"email": ADMIN, "password": PASSWORD});
    let response = client.post(&url).json(&body).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers();
    let cookie = headers["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-jiggablend_session="), "{cookie}");
    for part in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(headers.contains_key("strict-transport-security"));

    // The node's own command line needs no certificate.
    let plain = node.client();
    let response = plain.request(Method::GET, "/livez").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers();
    assert!(!headers.contains_key("strict-transport-security"));
    node.stop().await;
}

#[tokio::test]
async fn http2_and_http1_are_the_clients_choice() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = write_certificate(dir.path());
    let node = node_with_tls(dir.path()).await;
    let address = address_of(&node);

    let mut stream = connect(&certificate, address, &["http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let request = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = vec![0; 15];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200 OK");

    let mut stream = connect(&certificate, address, &["h2", "http/1.1"]).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    // The preface and an empty SETTINGS frame (RFC 9113, 3.4); the server's own comes back.
    const SETTINGS: u8 = 4;
    stream
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    stream
        .write_all(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0])
        .await
        .unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], SETTINGS);
    node.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_without_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = write_certificate(dir.path());
    let certificates = certificates(dir.path());
    let node = TestNode::start_with(Setup {
        certificates: Some(certificates.clone()),
        ..Setup::default()
    })
    .await;
    let address = address_of(&node);
    let shown = async |trusted: &[u8]| {
        let client = client_that_trusts(trusted, address);
        let url = format!("https://localhost:{}/livez", address.port());
        client.get(url).send().await.is_ok()
    };
    assert!(shown(&first).await);
    let second = write_certificate(dir.path());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !shown(&second).await {
        assert!(tokio::time::Instant::now() < deadline, "the old one stays");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(!shown(&first).await);
    // One that cannot be read changes nothing.
    std::fs::write(dir.path().join("cert.pem"), "no certificate").unwrap();
    let error = certificates.look_again().unwrap_err().to_string();
    assert!(error.contains("cert.pem"), "{error}");
    assert!(shown(&second).await);
    node.stop().await;
}

#[tokio::test]
async fn a_client_that_never_shakes_hands_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let certificate = write_certificate(dir.path());
    let mut node = node_with_tls(dir.path()).await;
    let address = address_of(&node);
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Some say nothing, some begin.
        if silent.len() % 2 == 0 {
            stream.write_all(&[22, 3, 1]).await.unwrap();
        }
        silent.push(stream);
    }
    let client = client_that_trusts(&certificate, address);
    let url = format!("https://localhost:{}/livez", address.port());
    let answer = client.get(url).timeout(PATIENCE).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    // Nor do they keep the node from stopping.
    let stopping = tokio::time::timeout(std::time::Duration::from_secs(5), node.stop_web());
    stopping.await.expect("it stops at once");
    node.stop().await;
}

#[test]
fn a_wrong_certificate_says_which_file_it_is() {
    let dir = tempfile::tempdir().unwrap();
    write_certificate(dir.path());
    let files = |certificate: &str, key: &str| TlsFiles {
        certificate: dir.path().join(certificate),
        key: dir.path().join(key),
    };
    for (certificate, key, named) in [
        ("missing.pem", "key.pem", "missing.pem"),
        ("cert.pem", "missing.pem", "missing.pem"),
        ("cert.pem", "cert.pem", "cert.pem"),
        ("key.pem", "key.pem", "key.pem"),
    ] {
        let error = Certificates::read(files(certificate, key)).err().unwrap();
        assert!(error.to_string().contains(named), "{error}");
    }
}

#[tokio::test]
async fn forwarded_headers_count_only_from_configured_proxies() {
    let stranger = TestNode::start().await;
    let proxied = TestNode::start_with(Setup {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..Setup::default()
    })
    .await;
    for (node, is_trusted) in [(&stranger, false), (&proxied, true)] {
        let login = node
            .client()
            .request(Method::POST, "/api/auth/login")
            .header("x-forwarded-for", "203.0.113.5, 198.51.100.7")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "farm.example")
            // The browser's own word of the host that it called.
            .header(
                "origin",
                if is_trusted {
                    "https://farm.example"
                } else {
                    &node.base
                },
            )
            .json(&json!({"email": MEMBER, "password": PASSWORD}));
        let response = login.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let cookie = response.headers()["set-cookie"].to_str().unwrap();
        assert_eq!(cookie.starts_with("__Host-"), is_trusted, "{cookie}");
        let from = node.log.read(|state| {
            let session = state.sessions.values().next().unwrap();
            session.from.unwrap().to_string()
        });
        let expected = if is_trusted {
            "198.51.100.7"
        } else {
            "127.0.0.1"
        };
        assert_eq!(from, expected);
    }
    stranger.stop().await;
    proxied.stop().await;
}

#[tokio::test]
async fn over_tls_a_session_cookie_of_the_plain_name_signs_nobody_in() {
    let node = TestNode::start_with(Setup {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..Setup::default()
    })
    .await;
    let login = node
        .client()
        .request(Method::POST, "/api/auth/login")
        .json(&json!({"email": MEMBER, "password": PASSWORD}));
    let response = login.send().await.unwrap();
    let cookie = response.headers()["set-cookie"].to_str().unwrap();
    let (name, rest) = cookie.split_once('=').unwrap();
    assert_eq!(name, "jiggablend_session");
    let secret = rest.split(';').next().unwrap().to_owned();
    let me = async |name: &str, proto: &str| {
        let request = node.client().request(Method::GET, "/api/auth/me");
        let request = request
            .header("cookie", format!("{name}={secret}"))
            .header("x-forwarded-proto", proto);
        request.send().await.unwrap().status()
    };
    let of_host = "__Host-jiggablend_session";
    assert_eq!(me(name, "http").await, StatusCode::OK);
    assert_eq!(me(name, "https").await, StatusCode::UNAUTHORIZED);
    assert_eq!(me(of_host, "https").await, StatusCode::OK);
    assert_eq!(me(of_host, "http").await, StatusCode::UNAUTHORIZED);
    node.stop().await;
}
