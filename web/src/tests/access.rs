use reqwest::{Method, StatusCode};
use serde_json::json;

use super::node::*;
use crate::access::Access;
use crate::routes::{Route, table};

/// The route's path with a job and a file in it.
fn path_of(route: &Route, job: &str, file: &str) -> String {
    route.path.replace("{id}", job).replace("{file}", file)
}

#[tokio::test]
async fn without_a_sign_in_only_public_routes_answer() {
    let node = TestNode::start().await;
    let owner = node.signed_in(MEMBER).await;
    let job = owner.new_job(&json!({"name": "mine"})).await;
    let stranger = node.client();
    for route in table() {
        let path = path_of(&route, &job, &job);
        let request = stranger.request(route.method.clone(), &path);
        let (status, body) = answer(request.json(&json!({}))).await;
        if route.access == Access::Public {
            assert_ne!(problem_or_none(&body), "not-signed-in", "{path}");
        } else {
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{} {path}", route.method);
            // The answer to a HEAD has no body.
            if route.method != Method::HEAD {
                assert_eq!(problem(&body), "not-signed-in");
            }
        }
    }
    node.stop().await;
}

fn problem_or_none(body: &serde_json::Value) -> &str {
    if body["type"].is_string() {
        problem(body)
    } else {
        ""
    }
}

#[tokio::test]
async fn anothers_job_is_answered_on_every_route_like_one_that_does_not_exist() {
    let node = TestNode::start().await;
    let owner = node.signed_in(MEMBER).await;
    let job = owner.new_job(&json!({"name": "mine"})).await;
    let (status, file) = owner.upload(&job, scene(1, 2, 100)).await;
    assert_eq!(status, StatusCode::CREATED, "{file}");
    let file = file["id"].as_str().unwrap();

    let other = node.signed_in(OTHER_MEMBER).await;
    let nowhere = jiggablend_raft::JobId::new().to_string();
    let mut tried = 0;
    for route in table() {
        let is_about_job = matches!(
            route.access,
            Access::JobReader | Access::JobManager | Access::JobOwner
        );
        if !is_about_job {
            continue;
        }
        tried += 1;
        let mut answers = Vec::new();
        for id in [&job, &nowhere] {
            let path = path_of(&route, id, file);
            let (status, mut body) = answer(other.request(route.method.clone(), &path)).await;
            assert_eq!(status, StatusCode::NOT_FOUND, "{} {path}", route.method);
            // The answers differ in the id that was asked for, and in nothing else.
            if route.method != Method::HEAD {
                let detail = body["detail"].as_str().unwrap().replace(id, "ID");
                body["detail"] = detail.into();
            }
            answers.push(body);
        }
        assert_eq!(answers[0], answers[1]);
    }
    assert!(tried >= 5);
    let (_, list) = other.get("/api/jobs").await;
    assert_eq!(list["jobs"], json!([]));
    let (_, mine) = owner.get(&format!("/api/jobs/{job}")).await;
    assert_eq!(mine["state"], "active", "nobody cancelled it");

    // Admins and operators see it.
    for client in [node.signed_in(ADMIN).await, node.operator()] {
        let (status, seen) = client.get(&format!("/api/jobs/{job}")).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(seen["owner"], mine["owner"]);
        // Whoever a job is shown to learns who its owner is, and not how to sign in as them.
        assert!(!seen.to_string().contains(MEMBER), "{seen}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_file_is_reached_only_through_its_own_job() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let job = client.new_job(&json!({"name": "one"})).await;
    let other = client.new_job(&json!({"name": "two"})).await;
    let (_, file) = client.upload(&job, scene(1, 2, 100)).await;
    let file = file["id"].as_str().unwrap();
    let (status, body) = client
        .get(&format!("/api/jobs/{other}/files/{file}/download"))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(problem(&body), "unknown-file");
    let (status, body) = client
        .get(&format!("/api/jobs/{job}/files/..%2f..%2fetc/download"))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(problem(&body), "unknown-file");
    node.stop().await;
}

#[tokio::test]
async fn what_another_site_makes_a_browser_send_is_refused() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let create = |name: &'static str, value: String| {
        let request = client.request(Method::POST, "/api/jobs");
        answer(request.header(name, value).json(&json!({"name": "x"})))
    };
    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
    ] {
        let (status, body) = create(name, value.to_owned()).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{name}: {value}");
        assert_eq!(problem(&body), "cross-site");
    }
    let login = client
        .request(Method::POST, "/api/auth/login")
        .header("sec-fetch-site", "cross-site")
        .json(&json!({"email": ADMIN, "password": PASSWORD}));
    let (status, _) = answer(login).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "nor signs it anyone in");
    assert_eq!(node.log.read(|state| state.jobs.len()), 0);

    let (status, _) = create("origin", node.base.clone()).await;
    assert_eq!(status, StatusCode::CREATED);
    let (status, _) = create("sec-fetch-site", "same-origin".into()).await;
    assert_eq!(status, StatusCode::CREATED);
    // No browser sends a bearer token by itself.
    let with_token = node.operator();
    let request = with_token
        .request(Method::POST, "/api/jobs")
        .header("sec-fetch-site", "cross-site");
    let (status, _) = answer(request.json(&json!({"name": "x"}))).await;
    assert_eq!(status, StatusCode::CREATED);
    // A form of another site can send text, and never JSON.
    let form = client
        .request(Method::POST, "/api/jobs")
        .header("content-type", "text/plain")
        .body(r#"{"name": "x"}"#);
    let (status, body) = answer(form).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(problem(&body), "wrong-media-type");
    node.stop().await;
}

#[tokio::test]
async fn tickets_are_made_by_admins_and_operators() {
    let node = TestNode::start().await;
    let member = node.signed_in(MEMBER).await;
    let (status, body) = member.post("/api/tickets", &json!({})).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(problem(&body), "not-allowed");
    let (status, made) = node.operator().post("/api/tickets", &json!({})).await;
    assert_eq!(status, StatusCode::CREATED);
    assert!(made["ticket"].as_str().unwrap().starts_with("jigga1"));
    let wish = json!({"ttl_seconds": 60, "reusable": true, "voter": false});
    let admin = node.signed_in(ADMIN).await;
    let (status, _) = admin.post("/api/tickets", &wish).await;
    assert_eq!(status, StatusCode::CREATED);
    let runners_only = node.log.read(|state| {
        let mut tickets = state.tickets.values();
        tickets.any(|ticket| ticket.reusable && !ticket.roles.voter && ticket.roles.runner)
    });
    assert!(runners_only);
    let wish = json!({"ttl_seconds": 0});
    let (status, body) = admin.post("/api/tickets", &wish).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(body["detail"].as_str().unwrap().contains("ttl_seconds"));
    node.stop().await;
}
