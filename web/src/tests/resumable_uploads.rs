//! tus 1.0.0 as a client speaks it.

use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::node::*;

const PIECE_TYPE: &str = "application/offset+octet-stream";

async fn create(client: &Client, job: &str, length: usize) -> Response {
    let path = format!("/api/jobs/{job}/upload");
    let create = client
        .request(Method::POST, &path)
        .header("tus-resumable", "1.0.0")
        .header("upload-length", length)
        // "Küche.blend"
        .header("upload-metadata", "filename S8O8Y2hlLmJsZW5k");
    create.send().await.unwrap()
}

/// The upload's address.
async fn created(client: &Client, job: &str, length: usize) -> String {
    let response = create(client, job, length).await;
    assert_eq!(response.status(), StatusCode::CREATED);
    assert!(response.headers().contains_key("upload-expires"));
    let location = response.headers()["location"].to_str().unwrap();
    location.to_owned()
}

async fn send(client: &Client, url: &str, offset: usize, bytes: &[u8]) -> Response {
    let patch = client
        .request(Method::PATCH, url)
        .header("tus-resumable", "1.0.0")
        .header("upload-offset", offset)
        .header("content-type", PIECE_TYPE)
        .body(bytes.to_vec());
    patch.send().await.unwrap()
}

async fn problem_of(response: Response) -> (StatusCode, String) {
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    (status, problem(&body).to_owned())
}

async fn head(client: &Client, url: &str) -> (StatusCode, HeaderMap) {
    let head = client
        .request(Method::HEAD, url)
        .header("tus-resumable", "1.0.0");
    let head = head.send().await.unwrap();
    (head.status(), head.headers().clone())
}

async fn offset(client: &Client, url: &str) -> usize {
    let (status, headers) = head(client, url).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["cache-control"], "no-store");
    headers["upload-offset"].to_str().unwrap().parse().unwrap()
}

async fn remove(client: &Client, url: &str) -> StatusCode {
    let remove = client
        .request(Method::DELETE, url)
        .header("tus-resumable", "1.0.0");
    remove.send().await.unwrap().status()
}

#[tokio::test]
async fn an_upload_goes_on_after_a_break_and_a_restart_and_starts_its_job() {
    let mut node = TestNode::start().await;
    let client = node.operator();
    let job = client.new_job(&json!({"video": false})).await;
    let bytes = scene(3, 4, 2_000_000);
    let url = created(&client, &job, bytes.len()).await;
    assert_eq!(offset(&client, &url).await, 0);
    let first = send(&client, &url, 0, &bytes[..700_000]).await;
    assert_eq!(first.status(), StatusCode::NO_CONTENT);
    assert_eq!(first.headers()["upload-offset"], "700000");

    // The connection breaks: what came whole counts.
    let pieces = vec![
        Ok(bytes[700_000..900_000].to_vec()),
        Err(std::io::Error::other("the cable was pulled")),
    ];
    let broken = client
        .request(Method::PATCH, &url)
        .header("tus-resumable", "1.0.0")
        .header("upload-offset", 700_000)
        .header("content-type", PIECE_TYPE)
        .body(reqwest::Body::wrap_stream(futures::stream::iter(pieces)));
    assert!(broken.send().await.is_err());
    let reached = offset(&client, &url).await;
    assert!((700_000..=900_000).contains(&reached), "{reached}");

    node.restart_web().await;
    let client = node.operator();
    assert_eq!(offset(&client, &url).await, reached);
    let last = send(&client, &url, reached, &bytes[reached..]).await;
    assert_eq!(last.status(), StatusCode::NO_CONTENT);

    let (_, seen) = client.get(&format!("/api/jobs/{job}")).await;
    assert_eq!(seen["state"], "active");
    assert_eq!(seen["frames"], "3-4");
    assert_eq!(seen["scene"]["name"], "Küche.blend");
    assert_eq!(seen["scene"]["size_bytes"], bytes.len());
    let file = seen["scene"]["url"].as_str().unwrap();
    let downloaded = client.request(Method::GET, file).send().await.unwrap();
    assert!(downloaded.bytes().await.unwrap() == bytes);
    // A client whose last answer was lost learns that all is there.
    assert_eq!(offset(&client, &url).await, bytes.len());
    let again = send(&client, &url, bytes.len(), b"").await;
    assert_eq!(again.status(), StatusCode::NO_CONTENT);
    assert!(node.unfinished_bytes() < 1000, "only the record is left");
    node.stop().await;
}

#[tokio::test]
async fn any_node_takes_the_pieces_to_the_one_that_has_the_others() {
    let node = TestNode::start().await;
    let mut neighbour = node.neighbour().await;
    let client = node.operator();
    let elsewhere = neighbour.client_like(&client);
    let job = client.new_job(&json!({"name": "a"})).await;
    let bytes = scene(1, 2, 1_500_000);
    let url = created(&client, &job, bytes.len()).await;
    let first = send(&elsewhere, &url, 0, &bytes[..1_000_000]).await;
    assert_eq!(first.status(), StatusCode::NO_CONTENT);
    assert_eq!(offset(&elsewhere, &url).await, 1_000_000);
    assert_eq!(offset(&client, &url).await, 1_000_000);
    assert!(node.unfinished_bytes() >= 1_000_000);

    // The other node decides for itself who may.
    let stranger = neighbour.client_like(&node.client());
    let refused = send(&stranger, &url, 1_000_000, &bytes[1_000_000..]).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);

    let last = send(&elsewhere, &url, 1_000_000, &bytes[1_000_000..]).await;
    assert_eq!(last.status(), StatusCode::NO_CONTENT);
    let (_, seen) = elsewhere.get(&format!("/api/jobs/{job}")).await;
    assert_eq!(seen["state"], "active");

    let job = client.new_job(&json!({"name": "b"})).await;
    let url = created(&client, &job, bytes.len()).await;
    node.close_door();
    let unreachable = send(&elsewhere, &url, 0, &bytes).await;
    let (status, name) = problem_of(unreachable).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(name, "node-unreachable");
    neighbour.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn a_refused_file_goes_and_its_job_still_waits() {
    let node = TestNode::start().await;
    let client = node.operator();
    let job = client.new_job(&json!({"name": "a"})).await;
    let bytes = b"#!/bin/sh\nrm -rf /\n".repeat(1000);
    let url = created(&client, &job, bytes.len()).await;
    let refused = send(&client, &url, 0, &bytes).await;
    let (status, name) = problem_of(refused).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(name, "not-a-blend");
    assert_eq!(head(&client, &url).await.0, StatusCode::NOT_FOUND);
    assert_eq!(node.unfinished_bytes(), 0);
    let (status, _) = client.upload(&job, scene(1, 1, 10)).await;
    assert_eq!(status, StatusCode::CREATED);
    let late = create(&client, &job, 100).await;
    assert_eq!(problem_of(late).await.1, "scene-is-there");
    node.stop().await;
}

#[tokio::test]
async fn bytes_at_a_wrong_place_and_too_many_bytes_are_refused() {
    let node = TestNode::start().await;
    let client = node.operator();
    let job = client.new_job(&json!({"name": "a"})).await;
    let bytes = scene(1, 2, 10_000);
    let url = created(&client, &job, bytes.len()).await;
    let ahead = send(&client, &url, 5, &bytes[5..]).await;
    assert_eq!(ahead.headers()["upload-offset"], "0");
    assert_eq!(
        problem_of(ahead).await,
        (StatusCode::CONFLICT, "conflict".into())
    );
    let too_many = [&bytes[..], b"and more"].concat();
    let too_many = send(&client, &url, 0, &too_many).await;
    assert_eq!(
        problem_of(too_many).await,
        (StatusCode::PAYLOAD_TOO_LARGE, "too-large".into())
    );
    let (_, seen) = client.get(&format!("/api/jobs/{job}")).await;
    assert_eq!(seen["state"], "awaiting_scene");
    node.stop().await;
}

#[tokio::test]
async fn an_upload_is_refused_before_its_bytes_come_where_it_cannot_be_kept() {
    let node = TestNode::start().await;
    let client = node.operator();
    let job = client.new_job(&json!({"name": "a"})).await;
    let too_large = create(&client, &job, MAX_UPLOAD_BYTES as usize + 1).await;
    assert_eq!(problem_of(too_large).await.1, "too-large");
    let empty = create(&client, &job, 0).await;
    assert_eq!(problem_of(empty).await.1, "not-a-blend");
    let path = format!("/api/jobs/{job}/upload");
    for (version, length, expected) in [
        ("0.2.2", "10", "wrong-tus-version"),
        ("1.0.0", "-1", "invalid-request"),
        ("1.0.0", "ten", "invalid-request"),
    ] {
        let create = client
            .request(Method::POST, &path)
            .header("tus-resumable", version)
            .header("upload-length", length);
        let refused = create.send().await.unwrap();
        assert_eq!(problem_of(refused).await.1, expected, "{version} {length}");
    }
    assert_eq!(node.unfinished_bytes(), 0);
    let discovered = client.request(Method::OPTIONS, &path).send().await.unwrap();
    assert_eq!(discovered.status(), StatusCode::NO_CONTENT);
    let headers = discovered.headers();
    assert_eq!(headers["tus-version"], "1.0.0");
    assert_eq!(headers["tus-extension"], "creation,expiration,termination");
    assert_eq!(headers["tus-max-size"], MAX_UPLOAD_BYTES.to_string());
    node.stop().await;
}

#[tokio::test]
async fn an_upload_that_was_given_up_frees_its_space() {
    let node = TestNode::start().await;
    let client = node.operator();
    let job = client.new_job(&json!({"name": "a"})).await;
    let bytes = scene(1, 2, 100_000);
    let url = created(&client, &job, bytes.len()).await;
    send(&client, &url, 0, &bytes[..50_000]).await;
    assert!(node.unfinished_bytes() >= 50_000);
    assert_eq!(remove(&client, &url).await, StatusCode::NO_CONTENT);
    assert_eq!(node.unfinished_bytes(), 0);
    assert_eq!(head(&client, &url).await.0, StatusCode::NOT_FOUND);
    assert_eq!(remove(&client, &url).await, StatusCode::NOT_FOUND);
    node.stop().await;
}

#[tokio::test]
async fn nobody_elses_upload_can_be_seen_or_touched() {
    let node = TestNode::start().await;
    let owner = node.signed_in(MEMBER).await;
    let other = node.signed_in(OTHER_MEMBER).await;
    let job = owner.new_job(&json!({"name": "a"})).await;
    let bytes = scene(1, 2, 1000);
    let url = created(&owner, &job, bytes.len()).await;
    assert_eq!(head(&other, &url).await.0, StatusCode::NOT_FOUND);
    let written = send(&other, &url, 0, &bytes).await;
    assert_eq!(problem_of(written).await.1, "unknown-job");
    assert_eq!(remove(&other, &url).await, StatusCode::NOT_FOUND);
    // Not through a job of their own either.
    let own = other.new_job(&json!({"name": "b"})).await;
    let through_own = url.replace(&job, &own);
    let written = send(&other, &through_own, 0, &bytes).await;
    assert_eq!(problem_of(written).await.1, "unknown-upload");
    for id in ["../../jobs", "1-..%2F..%2Fetc%2Fpasswd", "x", "99-abc"] {
        let url = format!("/api/jobs/{own}/uploads/{id}");
        assert_eq!(head(&other, &url).await.0, StatusCode::NOT_FOUND, "{id}");
    }
    assert_eq!(offset(&owner, &url).await, 0);
    node.stop().await;
}
