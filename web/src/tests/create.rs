use reqwest::{Method, StatusCode};
use serde_json::json;

use super::node::*;

#[tokio::test]
async fn a_bad_request_for_a_job_names_what_is_wrong_and_makes_none() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    for (body, status, name, word) in [
        (r#"{"name": "#, 400, "bad-json", "JSON"),
        ("", 400, "bad-json", "JSON"),
        (r#"{"name": 3}"#, 422, "invalid-request", "string"),
        (
            r#"{"name": "a", "colour": 1}"#,
            422,
            "invalid-request",
            "colour",
        ),
        (r#"{"name": "a", "frames": ""}"#, 422, "bad-frames", "empty"),
        (
            r#"{"name": "a", "frames": "10-1"}"#,
            422,
            "bad-frames",
            "reversed",
        ),
        (
            r#"{"name": "a", "frames": "all"}"#,
            422,
            "bad-frames",
            "all",
        ),
        // The farm names its jobs: a name of a client's would tell which are taken.
        (
            r#"{"name": "a", "id": "0192f000-0000-7000-8000-000000000000"}"#,
            422,
            "invalid-request",
            "id",
        ),
        (r#"{"name": "a\nb"}"#, 422, "invalid-request", "name"),
    ] {
        let request = client
            .request(Method::POST, "/api/jobs")
            .header("content-type", "application/json")
            .body(body);
        let (was, answered) = answer(request).await;
        assert_eq!(was.as_u16(), status, "{body}: {answered}");
        assert_eq!(problem(&answered), name, "{body}");
        let detail = answered["detail"].as_str().unwrap();
        assert!(detail.contains(word), "{body}: {detail}");
        assert!(!detail.contains('\n'));
    }
    let huge = json!({"name": "a", "frames": "1,".repeat(300_000)});
    let (status, body) = client.post("/api/jobs", &huge).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{body}");
    assert_eq!(node.log.read(|state| state.jobs.len()), 0);
    node.stop().await;
}

#[tokio::test]
async fn the_list_has_every_job_once_newest_first_in_pages() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let mut made = Vec::new();
    for number in 0..7 {
        made.push(
            client
                .new_job(&json!({"name": format!("job {number}")}))
                .await,
        );
    }
    made.reverse();
    let mut seen = Vec::new();
    let mut query = String::new();
    loop {
        let (status, page) = client.get(&format!("/api/jobs?limit=3{query}")).await;
        assert_eq!(status, StatusCode::OK, "{page}");
        let jobs = page["jobs"].as_array().unwrap();
        assert!(jobs.len() <= 3);
        seen.extend(
            jobs.iter()
                .map(|job| job["id"].as_str().unwrap().to_owned()),
        );
        match page["next_before"].as_str() {
            Some(next) => query = format!("&before={next}"),
            None => break,
        }
    }
    assert_eq!(seen, made);
    let nowhere = jiggablend_raft::JobId::new();
    for query in [
        format!("before={nowhere}"),
        "limit=x".into(),
        "colour=1".into(),
    ] {
        let (status, body) = client.get(&format!("/api/jobs?{query}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
        assert_eq!(problem(&body), "invalid-request");
    }
    node.stop().await;
}

#[tokio::test]
async fn the_list_leaves_out_a_job_that_was_cancelled_before_it_got_its_scene() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let kept = client.new_job(&json!({"name": "kept"})).await;
    let given_up = client.new_job(&json!({"name": "given up"})).await;
    let (status, body) = client.delete(&format!("/api/jobs/{given_up}")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let (_, list) = client.get("/api/jobs").await;
    let listed: Vec<_> = list["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["id"].as_str().unwrap())
        .collect();
    assert_eq!(listed, [kept.as_str()]);
    let (status, body) = client.get(&format!("/api/jobs/{given_up}")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["state"], "cancelled");
    node.stop().await;
}

#[tokio::test]
async fn a_job_is_cancelled_once() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let job = client.new_job(&json!({"name": "a"})).await;
    let (status, body) = client.delete(&format!("/api/jobs/{job}")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["state"], "cancelled");
    let (status, body) = client.delete(&format!("/api/jobs/{job}")).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(problem(&body), "job-is-over");
    let (status, body) = client.upload(&job, scene(1, 2, 10)).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(problem(&body), "job-is-over");
    for id in [jiggablend_raft::JobId::new().to_string(), "7".into()] {
        let (status, body) = client.get(&format!("/api/jobs/{id}")).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(problem(&body), "unknown-job");
    }
    node.stop().await;
}
