//! Any node answers, and answers alike: what was written at one is read at the next, and a node
//! that is no member answers for nobody.
#![allow(clippy::unwrap_used)]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use common::{SOON, job_of};
use jiggablend_testnet::api::Api;
use jiggablend_testnet::farm::{Farm, FarmOptions};
use jiggablend_testnet::node::{TEST_EMAIL, TEST_PASSWORD};
use jiggablend_testnet::wait::{Look, wait_for};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const ROUNDS: usize = 20;

async fn farm_of_three() -> Farm {
    let options = FarmOptions {
        arguments: vec!["--no-render".into()],
        ..FarmOptions::default()
    };
    Farm::start_with(3, options).await.unwrap()
}

async fn status(api: &Api, method: Method, path: &str) -> StatusCode {
    api.request(method, path).send().await.unwrap().status()
}

/// An admin's API token that was made at that node.
async fn new_token(admin: &Api) -> (String, String) {
    let made = admin
        .request(Method::POST, "/api/tokens")
        .json(&json!({"name": "script", "scopes": ["read", "jobs"]}))
        .send()
        .await
        .unwrap();
    assert_eq!(made.status(), StatusCode::CREATED);
    let made: Value = made.json().await.unwrap();
    let text = |key: &str| made[key].as_str().unwrap().to_owned();
    (text("id"), text("token"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_at_one_node_is_read_at_the_next_at_once() {
    let farm = farm_of_three().await;
    for round in 0..ROUNDS {
        let (at, next) = (1 + round % 3, 1 + (round + 1 + round / 3) % 3);
        let job = farm.api(at).create_job(&job_of("1", false)).await.unwrap();
        let path = format!("/api/jobs/{}", job.summary.id);
        let operator = Api::with_token(farm.node(next).url(), farm.node(at).token());
        assert_eq!(
            status(&operator, Method::GET, &path).await,
            StatusCode::OK,
            "made at node {at}, asked for at node {next}"
        );
        assert_eq!(
            status(&operator, Method::DELETE, &path).await,
            StatusCode::OK,
            "made at node {at}, cancelled at node {next}"
        );

        let admin = Api::without_sign_in(farm.node(at).url());
        admin.sign_in(TEST_EMAIL, TEST_PASSWORD).await.unwrap();
        let (id, token) = new_token(&admin).await;
        let elsewhere = Api::with_token(farm.node(next).url(), token);
        let jobs = status(&elsewhere, Method::GET, "/api/jobs").await;
        assert_eq!(jobs, StatusCode::OK, "a token of node {at} at node {next}");
        let path = format!("/api/tokens/{id}");
        let revoked = status(&admin, Method::DELETE, &path).await;
        assert_eq!(revoked, StatusCode::NO_CONTENT);
        let job = elsewhere.create_job(&job_of("1", false)).await;
        assert!(job.is_err(), "a revoked token changes nothing at any node");
    }
    farm.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node_answers_for_no_account() {
    let farm = farm_of_three().await;
    let leader = farm.leader().await.unwrap();
    let removed = farm.a_follower().await.unwrap();
    let user = Api::without_sign_in(farm.node(removed).url());
    user.sign_in(TEST_EMAIL, TEST_PASSWORD).await.unwrap();
    assert_eq!(
        status(&user, Method::GET, "/api/jobs").await,
        StatusCode::OK
    );

    let path = format!("/api/nodes/{}", farm.node(removed).id());
    let gone = status(farm.api(leader), Method::DELETE, &path).await;
    assert_eq!(gone, StatusCode::NO_CONTENT);
    wait_for(
        "the removed node to answer for nobody",
        SOON,
        async || match status(&user, Method::GET, "/api/jobs").await {
            StatusCode::SERVICE_UNAVAILABLE => Look::Seen(()),
            other => Look::NotYet(other.to_string()),
        },
    )
    .await
    .unwrap();
    farm.stop().await.unwrap();
}

fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, found);
        }
        found.push(path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_on_the_machine_reads_what_a_node_keeps() {
    let options = FarmOptions {
        arguments: vec!["--no-render".into()],
        ..FarmOptions::default()
    };
    let farm = Farm::start_with(1, options).await.unwrap();
    let api = farm.api(1);
    let job = api.create_job(&job_of("1", false)).await.unwrap();
    let begun = api
        .request(
            Method::POST,
            &format!("/api/jobs/{}/upload", job.summary.id),
        )
        .header("tus-resumable", "1.0.0")
        .header("upload-length", "1000")
        .header("content-length", "0")
        .send()
        .await
        .unwrap();
    assert_eq!(begun.status(), StatusCode::CREATED);

    let mut kept = Vec::new();
    files_below(&farm.node(1).settings.data, &mut kept);
    let named = |end: &str| {
        kept.iter()
            .any(|path| path.to_string_lossy().ends_with(end))
    };
    assert!(named(".duckdb.wal") && named(".part"), "{kept:?}");
    for path in kept {
        let Ok(about) = std::fs::metadata(&path) else {
            continue; // it was a temporary one
        };
        let mode = about.permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    }
    farm.stop().await.unwrap();
}
