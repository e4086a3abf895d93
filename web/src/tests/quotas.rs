use jiggablend_raft::{Action, Quota, UserChange};
use reqwest::multipart::{Form, Part};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::node::*;

const QUOTA_BYTES: u64 = 1_000_000;

impl TestNode {
    async fn limit_bytes(&self, email: &str, bytes: u64) {
        let user = self
            .log
            .read(|state| state.user_by_email(email).map(|user| user.id));
        let quota = Quota {
            bytes: Some(bytes),
            ..Quota::default()
        };
        self.propose(Action::UserChanged {
            user: user.unwrap(),
            change: UserChange::Quota(Some(quota)),
        })
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
    let (status, body) = answer(resumable(600_000)).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let (status, body) = answer(resumable(600_000)).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");

    let (status, body) = client.upload(&job, scene(1, 1, 700_000)).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    node.stop().await;
}
