use jiggablend_raft::{Quota, UserChange};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::node::*;
use super::slow::SlowUpload;

const QUOTA_BYTES: u64 = 1_000_000;

impl TestNode {
    async fn limit_bytes(&self, email: &str, bytes: u64) {
        let quota = Quota {
            bytes: Some(bytes),
            ..Quota::default()
        };
        self.change_user(email, UserChange::Quota(Some(quota)))
            .await;
    }
}

#[tokio::test]
async fn a_file_beyond_the_owners_quota_is_refused_and_nothing_of_it_is_kept() {
    let node = TestNode::start().await;
    node.limit_bytes(MEMBER, QUOTA_BYTES).await;
    let client = node.signed_in(MEMBER).await;
    let job = client.new_job(&json!({"name": "a"})).await;
    let too_large = scene(1, 1, QUOTA_BYTES as usize + 200_000);
    let used_before = node.content().store().used_bytes();

    // By the length of the body, before a byte comes.
    let (status, body) = client.upload(&job, too_large.clone()).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    assert_eq!(problem(&body), "quota-exceeded");

    // Without a length, as soon as it is known.
    let pieces: Vec<Vec<u8>> = too_large.chunks(50_000).map(<[u8]>::to_vec).collect();
    let pieces = futures::stream::iter(pieces.into_iter().map(Ok::<_, std::io::Error>));
    let part = Part::stream(reqwest::Body::wrap_stream(pieces)).file_name("a.blend");
    let path = format!("/api/jobs/{job}/upload");
    let form = Form::new().part("file", part);
    let (status, body) = answer(client.request(Method::POST, &path).multipart(form)).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    assert_eq!(problem(&body), "quota-exceeded");

    let resumable = |length: usize| {
        client
            .request(Method::POST, &path)
            .header("tus-resumable", "1.0.0")
            .header("upload-length", length)
    };
    let (status, body) = answer(resumable(too_large.len())).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    assert_eq!(problem(&body), "quota-exceeded");
    assert_eq!(node.unfinished_bytes(), 0);
    assert_eq!(node.content().store().used_bytes(), used_before);

    // What is promised to one upload is not promised to the next.
    let (status, first) = answer(resumable(600_000)).await;
    assert_eq!(status, StatusCode::CREATED, "{first}");
    let (status, body) = answer(resumable(600_000)).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");

    let (status, body) = client.upload(&job, scene(1, 1, 700_000)).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    let give_up = client
        .request(Method::DELETE, first["url"].as_str().unwrap())
        .header("tus-resumable", "1.0.0");
    assert_eq!(answer(give_up).await.0, StatusCode::NO_CONTENT);
    let (status, body) = client.upload(&job, scene(1, 1, 700_000)).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    node.stop().await;
}

#[tokio::test]
async fn uploads_at_the_same_time_store_no_more_than_the_quota_together() {
    let node = TestNode::start().await;
    node.limit_bytes(MEMBER, QUOTA_BYTES).await;
    let client = node.signed_in(MEMBER).await;
    let mut jobs = Vec::new();
    for name in ["a", "b", "c"] {
        jobs.push(client.new_job(&json!({"name": name})).await);
    }
    let bytes = scene(1, 1, 600_000);
    let first = SlowUpload::of_form(&client, &jobs[0], Some(bytes.len() as u64));
    first.send(&bytes[..1000]).await;
    node.wait_for_uploads(1).await;
    let used_before = node.content().store().used_bytes();

    // What it has not sent yet is promised to it: by its length, before a byte of others is kept.
    let (status, body) = client.upload(&jobs[1], bytes.clone()).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    assert_eq!(problem(&body), "quota-exceeded");
    assert_eq!(node.content().store().used_bytes(), used_before);
    let resumable = client
        .request(Method::POST, &format!("/api/jobs/{}/upload", jobs[1]))
        .header("tus-resumable", "1.0.0")
        .header("upload-length", bytes.len());
    let (status, body) = answer(resumable).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    // One without a length is taken as far as there is room.
    let second = SlowUpload::of_form(&client, &jobs[2], None);
    second.send(&bytes[..300_000]).await;
    node.wait_for_uploads(2).await;
    let (status, body) = second.end_with(&bytes[300_000..]).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    assert_eq!(problem(&body), "quota-exceeded");

    // Others have their own quota.
    let other = node.signed_in(OTHER_MEMBER).await;
    let job = other.new_job(&json!({"name": "d"})).await;
    assert_eq!(
        other.upload(&job, bytes.clone()).await.0,
        StatusCode::CREATED
    );

    let (status, body) = first.end_with(&bytes[1000..]).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let small = scene(1, 1, 200_000);
    let (status, body) = client.upload(&jobs[1], small).await;
    assert_eq!(
        status,
        StatusCode::CREATED,
        "what is left is not lost: {body}"
    );
    node.stop().await;
}

#[tokio::test]
async fn nobody_takes_all_places_for_uploads() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let bytes = scene(1, 1, 100_000);
    let mut sending = Vec::new();
    for number in 0..8 {
        let job = client.new_job(&json!({"name": number.to_string()})).await;
        let upload = SlowUpload::of_form(&client, &job, None);
        upload.send(&bytes[..10]).await;
        sending.push(upload);
    }
    node.wait_for_uploads(8).await;
    let job = client.new_job(&json!({"name": "one more"})).await;
    let (status, body) = client.upload(&job, bytes.clone()).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert_eq!(problem(&body), "busy");
    let other = node.signed_in(OTHER_MEMBER).await;
    let others = other.new_job(&json!({"name": "b"})).await;
    assert_eq!(
        other.upload(&others, bytes.clone()).await.0,
        StatusCode::CREATED
    );
    sending.into_iter().for_each(SlowUpload::abort);
    node.wait_for_uploads(0).await;
    assert_eq!(client.upload(&job, bytes).await.0, StatusCode::CREATED);
    node.stop().await;
}
