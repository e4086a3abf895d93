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
    let page = client.request(Method::GET, "/").send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("script-src 'self'"));
    assert!(!policy.contains("script-src 'self' 'unsafe-inline'"));
    assert!(policy.contains("frame-ancestors 'none'"));
    let (status, body) = client.delete("/api/farm").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(problem(&body), "method-not-allowed");
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
