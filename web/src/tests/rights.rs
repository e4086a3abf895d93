//! Rights that end while something goes on: uploads, downloads and streams end with them.

use jiggablend_raft::{Action, Epoch, TaskId, UserChange, UserRole};
use reqwest::{Method, Response, StatusCode};
use serde_json::json;

use super::node::*;
use super::slow::SlowUpload;

/// What takes the right to manage a job from somebody it is shared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    Logout,
    Unshared,
    OnlyToView,
    Viewer,
    Disabled,
    Deleted,
}

impl Loss {
    const ALL: [Self; 6] = [
        Self::Logout,
        Self::Unshared,
        Self::OnlyToView,
        Self::Viewer,
        Self::Disabled,
        // The last: the account is gone then.
        Self::Deleted,
    ];

    fn status(self) -> StatusCode {
        match self {
            Self::Unshared => StatusCode::NOT_FOUND,
            Self::OnlyToView | Self::Viewer => StatusCode::FORBIDDEN,
            Self::Logout | Self::Disabled | Self::Deleted => StatusCode::UNAUTHORIZED,
        }
    }

    async fn happen(self, node: &TestNode, owner: &Client, other: &Client, job: &str) {
        let user = node.user(OTHER_MEMBER);
        match self {
            Self::Logout => {
                let logout = other.request(Method::POST, "/api/auth/logout");
                assert_eq!(answer(logout).await.0, StatusCode::NO_CONTENT);
            }
            Self::Unshared => {
                let path = format!("/api/jobs/{job}/shares/{user}");
                assert_eq!(owner.delete(&path).await.0, StatusCode::NO_CONTENT);
            }
            Self::OnlyToView => owner.share(job, user, "view").await,
            Self::Viewer => {
                let change = UserChange::Role(UserRole::Viewer);
                node.change_user(OTHER_MEMBER, change).await;
            }
            Self::Disabled => {
                let change = UserChange::Disabled(true);
                node.change_user(OTHER_MEMBER, change).await;
            }
            Self::Deleted => node.propose(Action::UserDeleted { user }).await,
        }
    }

    async fn undo(self, node: &TestNode) {
        let change = match self {
            Self::Viewer => UserChange::Role(UserRole::Member),
            Self::Disabled => UserChange::Disabled(false),
            _ => return,
        };
        node.change_user(OTHER_MEMBER, change).await;
    }
}

#[tokio::test]
async fn an_upload_whose_sender_may_not_send_it_any_more_gives_its_job_nothing() {
    let node = TestNode::start().await;
    let owner = node.signed_in(MEMBER).await;
    let bytes = scene(1, 2, 100_000);
    let (first, rest) = bytes.split_at(50_000);
    for loss in Loss::ALL {
        for in_pieces in [false, true] {
            let other = node.signed_in(OTHER_MEMBER).await;
            let job = owner.new_job(&json!({"name": "a"})).await;
            let user = node.user(OTHER_MEMBER);
            owner.share(&job, user, "manage").await;
            let upload = match in_pieces {
                false => SlowUpload::of_form(&other, &job, None),
                true => {
                    let url = other.new_upload(&job, bytes.len()).await;
                    SlowUpload::begin(|body| other.piece(&url, 0).body(body))
                }
            };
            upload.send(first).await;
            node.wait_for_uploads(1).await;
            let is_last = loss == Loss::Deleted && !in_pieces;
            match is_last {
                // An account is deleted once.
                true => Loss::Disabled.happen(&node, &owner, &other, &job).await,
                false => loss.happen(&node, &owner, &other, &job).await,
            }
            let (status, body) = upload.end_with(rest).await;
            assert_eq!(
                status,
                loss.status(),
                "{loss:?}, in pieces {in_pieces}: {body}"
            );
            let (_, seen) = owner.get(&format!("/api/jobs/{job}")).await;
            assert_eq!(seen["state"], "awaiting_scene", "{loss:?}");
            let (_, files) = owner.get(&format!("/api/jobs/{job}/files")).await;
            assert_eq!(files["files"], json!([]), "{loss:?}");
            assert_eq!(node.unfinished_bytes(), 0, "{loss:?}");
            match is_last {
                true => Loss::Disabled.undo(&node).await,
                false => loss.undo(&node).await,
            }
        }
    }
    node.stop().await;
}

impl Client {
    /// The address of a new upload in pieces.
    async fn new_upload(&self, job: &str, length: usize) -> String {
        let path = format!("/api/jobs/{job}/upload");
        let create = self
            .request(Method::POST, &path)
            .header("tus-resumable", "1.0.0")
            .header("upload-length", length);
        let (status, made) = answer(create).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        made["url"].as_str().unwrap().to_owned()
    }

    fn piece(&self, url: &str, offset: usize) -> reqwest::RequestBuilder {
        self.request(Method::PATCH, url)
            .header("tus-resumable", "1.0.0")
            .header("upload-offset", offset)
            .header("content-type", "application/offset+octet-stream")
    }
}

#[tokio::test]
async fn a_token_that_only_reads_does_not_end_an_upload() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let reader = client.with_scope("read").await;
    let writer = client.with_scope("jobs").await;
    let job = client.new_job(&json!({"name": "a"})).await;
    let bytes = scene(1, 2, 100_000);
    let url = client.new_upload(&job, bytes.len()).await;
    let (first, rest) = bytes.split_at(50_000);
    let upload = SlowUpload::begin(|body| client.piece(&url, 0).body(body));
    upload.send(first).await;
    node.wait_for_uploads(1).await;
    let head = |client: &Client| {
        let head = client.request(Method::HEAD, &url);
        answer(head.header("tus-resumable", "1.0.0"))
    };
    assert_eq!(head(&reader).await.0, StatusCode::FORBIDDEN);
    // The upload never noticed.
    let (status, body) = upload.end_with(rest).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{body}");
    assert_eq!(head(&writer).await.0, StatusCode::OK);
    node.stop().await;
}

/// More than what lies between a server and its client.
const LARGE_BYTES: usize = 48 << 20;

impl TestNode {
    /// A job of that client with one frame that takes long to send.
    async fn large_frame(&self, client: &Client) -> (String, String) {
        let job = client.new_job(&json!({"name": "large"})).await;
        let (status, body) = client.upload(&job, scene(1, 1, 10)).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        let content = self.store(&vec![7; LARGE_BYTES]).await;
        self.commit_frame(&job, 0, content, LARGE_BYTES as u64)
            .await;
        let (_, files) = client
            .get(&format!("/api/jobs/{job}/files?kind=frame"))
            .await;
        let url = files["files"][0]["url"].as_str().unwrap().to_owned();
        (job, url)
    }
}

/// How many bytes come, and whether they come to their end.
async fn read_on(mut response: Response) -> (usize, bool) {
    let mut bytes = 0;
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes += chunk.len(),
            Ok(None) => return (bytes, true),
            Err(_) => return (bytes, false),
        }
    }
}

#[tokio::test]
async fn downloads_and_archives_break_off_when_the_right_to_see_them_ends() {
    let node = TestNode::start().await;
    let owner = node.signed_in(MEMBER).await;
    let (job, download) = node.large_frame(&owner).await;
    let archive = format!("/api/jobs/{job}/archive");
    let tar = format!("{archive}?format=tar");
    let whole = owner.request(Method::GET, &download).send().await.unwrap();
    assert_eq!(read_on(whole).await, (LARGE_BYTES, true));
    for (path, loss) in [
        (&download, Loss::Unshared),
        (&download, Loss::Logout),
        (&archive, Loss::Unshared),
        (&tar, Loss::Disabled),
    ] {
        let other = node.signed_in(OTHER_MEMBER).await;
        let user = node.user(OTHER_MEMBER);
        owner.share(&job, user, "view").await;
        let mut reading = other.request(Method::GET, path).send().await.unwrap();
        assert_eq!(reading.status(), StatusCode::OK);
        assert!(reading.chunk().await.unwrap().is_some());
        loss.happen(&node, &owner, &other, &job).await;
        let (bytes, is_whole) = read_on(reading).await;
        assert!(
            !is_whole && bytes < LARGE_BYTES,
            "{path} after {loss:?}: {bytes}"
        );
        loss.undo(&node).await;
    }
    node.stop().await;
}

#[tokio::test]
async fn a_log_that_is_followed_ends_when_the_job_is_not_shared_any_more() {
    let node = TestNode::start().await;
    let owner = node.signed_in(MEMBER).await;
    let job = owner.new_job(&json!({"name": "a"})).await;
    let (status, body) = owner.upload(&job, scene(1, 1, 10)).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let task = TaskId {
        job: job.parse().unwrap(),
        index: 0,
    };
    node.propose(Action::TasksLeased {
        node: NODE,
        leases: vec![(task, Epoch(1))],
    })
    .await;
    node.printed().print(task, Epoch(1), "Fra:1");
    for loss in [Loss::Unshared, Loss::Logout, Loss::Disabled] {
        let other = node.signed_in(OTHER_MEMBER).await;
        let user = node.user(OTHER_MEMBER);
        owner.share(&job, user, "view").await;
        let path = format!("/api/jobs/{job}/tasks/0/log?follow=1");
        let mut following = other.request(Method::GET, &path).send().await.unwrap();
        assert_eq!(following.status(), StatusCode::OK);
        assert!(following.chunk().await.unwrap().is_some());
        loss.happen(&node, &owner, &other, &job).await;
        node.printed().print(task, Epoch(1), "not for them");
        let rest = following.text().await.unwrap();
        assert_eq!(rest, "", "{loss:?}");
        loss.undo(&node).await;
        node.printed().end(task, Epoch(1));
        node.printed().print(task, Epoch(1), "Fra:1");
    }
    node.stop().await;
}
