use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::node::*;

#[tokio::test]
async fn every_answer_is_guarded_by_its_headers() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    for path in ["/", "/jobs/x", "/api/jobs", "/api/nothing", "/livez"] {
        let response = client.request(Method::GET, path).send().await.unwrap();
        let headers = response.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert!(headers.contains_key("cache-control"), "{path}");
    }
    let (status, body) = client.delete("/api/farm").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(problem(&body), "method-not-allowed");
    node.stop().await;
}

/// A Content-Security-Policy as a browser reads it: of each directive the first one counts.
fn policy_of(headers: &reqwest::header::HeaderMap) -> BTreeMap<String, BTreeSet<String>> {
    let mut policy = BTreeMap::new();
    let text = headers["content-security-policy"].to_str().unwrap();
    for directive in text.split(';') {
        let mut words = directive
            .split_ascii_whitespace()
            .map(str::to_ascii_lowercase);
        if let Some(name) = words.next() {
            policy.entry(name).or_insert_with(|| words.collect());
        }
    }
    policy
}

#[tokio::test]
async fn the_page_runs_no_script_but_its_own_files() {
    let node = TestNode::start().await;
    let client = node.client();
    for path in ["/", "/jobs/x", "/api/docs"] {
        let page = client.request(Method::GET, path).send().await.unwrap();
        assert_eq!(
            page.headers()
                .get_all("content-security-policy")
                .iter()
                .count(),
            1
        );
        let policy = policy_of(page.headers());
        let sources = |directive: &str| -> Vec<&str> {
            // What has no word of its own goes by the default.
            let own = policy.get(directive).or_else(|| policy.get("default-src"));
            own.unwrap().iter().map(String::as_str).collect()
        };
        for directive in [
            "script-src",
            "script-src-elem",
            "script-src-attr",
            "worker-src",
        ] {
            let words = match policy.contains_key(directive) {
                true => sources(directive),
                false => sources("script-src"),
            };
            assert_eq!(words, ["'self'"], "{path}: {directive}");
        }
        assert_eq!(sources("default-src"), ["'none'"], "{path}");
        assert_eq!(sources("object-src"), ["'none'"], "{path}");
        assert_eq!(sources("connect-src"), ["'self'"], "{path}");
        // These have no default.
        for directive in ["base-uri", "frame-ancestors"] {
            assert_eq!(
                policy[directive].iter().collect::<Vec<_>>(),
                ["'none'"],
                "{path}"
            );
        }
        let html = page.text().await.unwrap();
        for tag in html.split("<script").skip(1) {
            let head = tag.split('>').next().unwrap();
            assert!(
                head.contains("src="),
                "{path}: no script in the markup: {head}"
            );
        }
    }
    node.stop().await;
}

#[tokio::test]
async fn an_error_of_the_nodes_own_tells_nothing_of_what_is_inside() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let job = client.new_job(&json!({"name": "a"})).await;
    let folder = node.uploads_folder();
    std::fs::remove_dir_all(&folder).unwrap();
    let create = client
        .request(Method::POST, &format!("/api/jobs/{job}/upload"))
        .header("tus-resumable", "1.0.0")
        .header("upload-length", 1000);
    let (status, body) = answer(create).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
    assert_eq!(problem(&body), "internal");
    let known: BTreeSet<&str> = ["type", "title", "status", "detail"].into();
    let fields = body.as_object().unwrap().keys().map(String::as_str);
    assert_eq!(fields.collect::<BTreeSet<_>>(), known);
    let text = body.to_string();
    for inside in [
        folder.to_str().unwrap(),
        "/tmp",
        "os error",
        "No such file",
        ".rs",
        "panick",
    ] {
        assert!(!text.contains(inside), "{inside}: {text}");
    }
    std::fs::create_dir_all(&folder).unwrap();
    node.stop().await;
}

#[tokio::test]
async fn the_farm_and_its_nodes_are_shown() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let (status, farm) = client.get("/api/farm").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(farm["name"], "test farm");
    assert_eq!(farm["this_node"], 1);
    assert_eq!(farm["leader"], 1);
    assert_eq!(farm["voters"], json!([1]));
    assert!(farm["applied_index"].as_u64().unwrap() > 0);
    let (status, nodes) = client.get("/api/nodes").await;
    assert_eq!(status, StatusCode::OK);
    let attic = &nodes["nodes"][0];
    assert_eq!(attic["name"], "attic");
    assert_eq!(attic["vote"], "voter");
    assert_eq!(attic["is_leader"], true);
    assert_eq!(attic["connected"], true);
    assert_eq!(attic["roles"], json!({"voter": true, "runner": true}));
    assert!(!nodes.to_string().contains("token"), "no secrets: {nodes}");
    node.stop().await;
}

#[tokio::test]
async fn a_node_whose_log_has_stopped_lives_and_is_not_ready() {
    let mut node = TestNode::start().await;
    let client = node.client();
    let (status, _) = client.get("/livez").await;
    assert_eq!(status, StatusCode::OK);
    let (status, body) = client.get("/readyz").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    node.log.shutdown().await;
    let (status, body) = client.get("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(["not-ready", "log-stopped"].contains(&problem(&body)));
    let (status, _) = client.get("/livez").await;
    assert_eq!(status, StatusCode::OK);
    node.stop_web().await;
    node.mesh.shutdown().await;
}
