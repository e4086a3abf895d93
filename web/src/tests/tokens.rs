//! API tokens: scopes, expiry, revocation, and streams that end with them.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::node::*;
use crate::access::Access;
use crate::routes::table;

/// Makes a token; answers it and its id.
async fn make(client: &Client, scopes: &[&str]) -> (String, String) {
    let body = json!({"name": "ci", "scopes": scopes});
    let (status, made) = client.post("/api/tokens", &body).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    (text("token"), text("id"))
}

#[tokio::test]
async fn a_token_is_shown_once_and_kept_as_a_hash() {
    let node = TestNode::start().await;
    let member = node.signed_in(MEMBER).await;
    let (token, id) = make(&member, &["read"]).await;
    assert!(token.starts_with("jbt_") && token.len() == 4 + 64);
    let (_, list) = member.get("/api/tokens").await;
    assert_eq!(list["tokens"][0]["id"], id.as_str());
    let kept = node
        .log
        .read(|state| serde_json::to_string(&state.tokens).unwrap());
    for shown in [list.to_string(), kept] {
        assert!(!shown.contains(&token));
    }
    let (_, others) = node.signed_in(OTHER_MEMBER).await.get("/api/tokens").await;
    assert_eq!(others["tokens"], json!([]));
    node.stop().await;
}

#[tokio::test]
async fn on_every_route_a_token_needs_the_scope_of_its_rule() {
    let node = TestNode::start().await;
    let admin = node.signed_in(ADMIN).await;
    let nowhere = jiggablend_raft::JobId::new().to_string();
    let mut clients = Vec::new();
    for scope in ["read", "jobs", "admin", "metrics"] {
        let (token, _) = make(&admin, &[scope]).await;
        clients.push((scope, node.client().with_token(&token)));
    }
    for route in table() {
        let needed = match (route.access, route.changes) {
            (Access::Public | Access::Runner, _) => continue,
            (Access::Metrics, _) => ["metrics", "admin"],
            (Access::Account | Access::Admin, _) => ["admin", "admin"],
            (_, false) => ["read", "read"],
            (_, true) => ["jobs", "jobs"],
        };
        let path = route.path.replace("{id}", &nowhere);
        for (scope, client) in &clients {
            if needed.contains(scope) {
                continue;
            }
            let request = client.request(route.method.clone(), &path).json(&json!({}));
            let (status, body) = answer(request).await;
            assert_eq!(
                status,
                StatusCode::FORBIDDEN,
                "{} {path} with {scope}",
                route.method
            );
            // The answer to a HEAD has no body.
            if route.method != Method::HEAD {
                assert_eq!(problem(&body), "not-allowed");
            }
        }
    }
    // What is needed is enough.
    let with = |scope: &str| &clients.iter().find(|(known, _)| *known == scope).unwrap().1;
    assert_eq!(with("read").get("/api/jobs").await.0, StatusCode::OK);
    let (status, _) = with("jobs").post("/api/jobs", &json!({"name": "x"})).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(with("admin").get("/api/users").await.0, StatusCode::OK);
    node.stop().await;
}

#[tokio::test]
async fn a_token_lends_nobody_a_role_that_its_user_has_not() {
    let node = TestNode::start().await;
    let member = node.signed_in(MEMBER).await;
    let (token, _) = make(&member, &["read", "jobs", "admin", "metrics"]).await;
    let client = node.client().with_token(&token);
    assert_eq!(client.get("/api/users").await.0, StatusCode::FORBIDDEN);
    assert_eq!(client.get("/api/jobs").await.0, StatusCode::OK);
    let (status, _) = client
        .post("/api/tokens", &json!({"name": "x", "scopes": ["read"]}))
        .await;
    assert_eq!(status, StatusCode::CREATED);
    // An admin's token that only reads sees no other people's jobs.
    let job = member.new_job(&json!({"name": "mine"})).await;
    let (token, _) = make(&node.signed_in(ADMIN).await, &["read"]).await;
    let reader = node.client().with_token(&token);
    let (status, _) = reader.get(&format!("/api/jobs/{job}")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    node.stop().await;
}

#[tokio::test]
async fn a_revoked_token_and_one_whose_time_is_over_are_nobody() {
    let node = TestNode::start().await;
    let member = node.signed_in(MEMBER).await;
    let (token, id) = make(&member, &["read"]).await;
    let client = node.client().with_token(&token);
    assert_eq!(client.get("/api/auth/me").await.0, StatusCode::OK);
    let path = format!("/api/tokens/{id}");
    let stranger = node.signed_in(OTHER_MEMBER).await;
    assert_eq!(stranger.delete(&path).await.0, StatusCode::NOT_FOUND);
    assert_eq!(member.delete(&path).await.0, StatusCode::NO_CONTENT);
    assert_eq!(client.get("/api/auth/me").await.0, StatusCode::UNAUTHORIZED);

    let body = json!({"name": "short", "scopes": ["read"], "ttl_seconds": 1});
    let (_, made) = member.post("/api/tokens", &body).await;
    let client = node.client().with_token(made["token"].as_str().unwrap());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while client.get("/api/auth/me").await.0 != StatusCode::UNAUTHORIZED {
        assert!(tokio::time::Instant::now() < deadline, "it stays");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn a_retry_with_the_same_key_makes_one_token_and_another_body_is_refused() {
    let node = TestNode::start().await;
    let member = node.signed_in(MEMBER).await;
    let create = async |client: &Client, key: &str, body: Value| {
        let request = client.request(Method::POST, "/api/tokens");
        answer(request.header("idempotency-key", key).json(&body)).await
    };
    let body = json!({"name": "ci", "scopes": ["read"], "ttl_seconds": 600});
    let (status, first) = create(&member, "key-1", body.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{first}");
    assert_eq!(
        create(&member, "key-1", body.clone()).await,
        (status, first.clone())
    );
    let other = json!({"name": "ci", "scopes": ["jobs"], "ttl_seconds": 600});
    let (status, refused) = create(&member, "key-1", other).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem(&refused), "idempotency-key-reused");
    // Another caller's key is another key.
    let stranger = node.signed_in(OTHER_MEMBER).await;
    let (_, theirs) = create(&stranger, "key-1", body.clone()).await;
    assert_ne!(theirs["token"], first["token"]);
    let (_, second) = create(&member, "key-2", body.clone()).await;
    assert_ne!(second["token"], first["token"]);
    for bad in ["", "a b", &"x".repeat(256)] {
        let (status, _) = create(&member, bad, body.clone()).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{bad:?}");
    }
    assert_eq!(node.log.read(|state| state.tokens.len()), 3);
    node.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_token() {
    let node = TestNode::start().await;
    let member = node.signed_in(MEMBER).await;
    let (token, id) = make(&member, &["read"]).await;
    let client = node.client().with_token(&token);
    let mut stream = client
        .request(Method::GET, "/api/events")
        .send()
        .await
        .unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    assert!(stream.chunk().await.unwrap().is_some());
    assert_eq!(
        member.delete(&format!("/api/tokens/{id}")).await.0,
        StatusCode::NO_CONTENT
    );
    let ended = async { while stream.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(PATIENCE, ended)
        .await
        .expect("it ends");
    node.stop().await;
}
