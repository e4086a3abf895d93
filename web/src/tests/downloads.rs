use jiggablend_raft::{ContentId, FileId, FileKind, JobId, NewFile};
use reqwest::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE,
};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::node::*;

#[tokio::test]
async fn a_scene_that_went_in_comes_out_whole_and_in_ranges() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let job = client.new_job(&json!({"name": "a"})).await;
    // More than one chunk of the store.
    let bytes = scene(1, 2, 3_500_000);
    let (status, file) = client.upload(&job, bytes.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{file}");
    let (_, files) = client
        .get(&format!("/api/jobs/{job}/files?kind=scene"))
        .await;
    assert_eq!(files["files"], json!([file]));
    let (_, files) = client
        .get(&format!("/api/jobs/{job}/files?kind=frame"))
        .await;
    assert_eq!(files["files"], json!([]));
    let (status, body) = client.get(&format!("/api/jobs/{job}/files?kind=x")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    let url = file["url"].as_str().unwrap();

    let whole = client.request(Method::GET, url).send().await.unwrap();
    assert_eq!(whole.status(), StatusCode::OK);
    let headers = whole.headers().clone();
    assert_eq!(headers[CONTENT_LENGTH], bytes.len().to_string());
    assert_eq!(headers[ACCEPT_RANGES], "bytes");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers[CONTENT_TYPE], "application/x-blender");
    let disposition = headers[CONTENT_DISPOSITION].to_str().unwrap();
    assert!(disposition.starts_with("attachment;"), "{disposition}");
    assert!(disposition.ends_with("filename*=UTF-8''K%C3%BCche.blend"));
    assert!(whole.bytes().await.unwrap() == bytes);

    let total = bytes.len();
    for (range, expected) in [
        ("bytes=0-0", 0..1),
        ("bytes=1000000-2999999", 1_000_000..3_000_000),
        ("bytes=3000000-", 3_000_000..total),
        ("bytes=-77", total - 77..total),
        ("bytes=0-99999999999", 0..total),
    ] {
        let part = client.request(Method::GET, url).header(RANGE, range);
        let part = part.send().await.unwrap();
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        let says = format!("bytes {}-{}/{total}", expected.start, expected.end - 1);
        assert_eq!(part.headers()[CONTENT_RANGE], says);
        assert!(part.bytes().await.unwrap() == bytes[expected], "{range}");
    }
    let beyond = client
        .request(Method::GET, url)
        .header(RANGE, format!("bytes={total}-"));
    let beyond = beyond.send().await.unwrap();
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.headers()[CONTENT_RANGE], format!("bytes */{total}"));

    let etag = &headers[ETAG];
    assert_eq!(etag, &format!("\"{}\"", file["content"].as_str().unwrap()));
    let again = client.request(Method::GET, url).header(IF_NONE_MATCH, etag);
    let again = again.send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(again.headers()[CACHE_CONTROL], headers[CACHE_CONTROL]);
    for (expected, status) in [
        (etag.to_str().unwrap(), StatusCode::OK),
        ("*", StatusCode::OK),
        ("\"older\"", StatusCode::PRECONDITION_FAILED),
    ] {
        let request = client.request(Method::GET, url);
        let response = request.header(IF_MATCH, expected).send().await.unwrap();
        assert_eq!(response.status(), status, "{expected}");
    }
    let changed = client
        .request(Method::GET, url)
        .header(RANGE, "bytes=0-9")
        .header(IF_RANGE, "\"older\"");
    let changed = changed.send().await.unwrap();
    assert_eq!(
        changed.status(),
        StatusCode::OK,
        "of other content, so all of it"
    );

    let head = client.request(Method::HEAD, url).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
    assert_eq!(head.headers()[CONTENT_LENGTH], total.to_string());
    assert!(head.bytes().await.unwrap().is_empty());
    node.stop().await;
}

/// The job's log of a file that no node has, under a name that wants to do harm.
async fn add_scene(node: &TestNode, job: &str, name: &str, media_type: &str) -> String {
    let id = FileId::new();
    node.propose(jiggablend_raft::Action::SceneAdded {
        job: job.parse::<JobId>().unwrap(),
        file: NewFile {
            id,
            kind: FileKind::Scene,
            name: name.into(),
            media_type: media_type.into(),
            content: ContentId([9; 32]),
            size_bytes: 10,
            holders: vec![NODE],
        },
        scene_frames: "1".parse().unwrap(),
    })
    .await;
    format!("/api/jobs/{job}/files/{id}/download")
}

#[tokio::test]
async fn what_users_named_is_never_markup_or_a_header_of_its_own() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let job = client.new_job(&json!({"name": "a"})).await;
    let name = "../\"x\";\u{202e}<script>.html";
    let url = add_scene(&node, &job, name, "text/html").await;
    let head = client.request(Method::HEAD, &format!("{url}?inline=1"));
    let head = head.send().await.unwrap();
    let disposition = head.headers()[CONTENT_DISPOSITION].to_str().unwrap();
    assert!(
        disposition.starts_with("attachment; filename=\"_x_;<script>.html\";"),
        "{disposition}"
    );
    let policy = head.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("sandbox;"));

    let job = client.new_job(&json!({"name": "b"})).await;
    let url = add_scene(&node, &job, "frame.png", "image/png").await;
    let shown = client.request(Method::HEAD, &format!("{url}?inline=1"));
    let shown = shown.send().await.unwrap();
    let disposition = shown.headers()[CONTENT_DISPOSITION].to_str().unwrap();
    assert!(disposition.starts_with("inline;"));
    node.stop().await;
}

#[tokio::test]
async fn content_that_no_node_can_give_is_a_problem_and_not_half_a_file() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let job = client.new_job(&json!({"name": "a"})).await;
    let url = add_scene(&node, &job, "gone.blend", "application/x-blender").await;
    let (status, body) = client.get(&url).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(problem(&body), "content-unavailable");
    node.stop().await;
}
