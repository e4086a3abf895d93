use std::io::{Cursor, Read};

use jiggablend_raft::{Action, ContentId, Epoch, FileId, FileKind, NewFile, TaskId};
use jiggablend_transfer::Chunking;
use reqwest::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::node::*;

/// A job of as many frames, which are all done and have these bytes.
async fn rendered(node: &TestNode, client: &Client, frames: &[Vec<u8>]) -> String {
    let job = client.new_job(&json!({"name": "Küche / 1"})).await;
    let last = i32::try_from(frames.len()).unwrap();
    let (status, body) = client.upload(&job, scene(1, last, 10)).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    for (index, bytes) in (0..).zip(frames) {
        let stored = node.store(bytes).await;
        node.commit_frame(&job, index, stored, bytes.len() as u64)
            .await;
    }
    job
}

#[tokio::test]
async fn all_frames_come_in_one_zip_and_in_one_tar() {
    let node = TestNode::start().await;
    let client = node.operator();
    let frames: Vec<Vec<u8>> = [10, 2_500_000, 0]
        .iter()
        .map(|length| (0..*length).map(|at| (at * 31 / 7) as u8).collect())
        .collect();
    let job = rendered(&node, &client, &frames).await;
    let path = format!("/api/jobs/{job}/archive");

    let zip = client.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(zip.status(), StatusCode::OK);
    assert_eq!(zip.headers()[CONTENT_TYPE], "application/zip");
    let disposition = zip.headers()[CONTENT_DISPOSITION].to_str().unwrap();
    assert!(disposition.starts_with("attachment;"), "{disposition}");
    assert!(!disposition.contains('/'), "{disposition}");
    let length = zip.headers()[CONTENT_LENGTH].to_str().unwrap().to_owned();
    let zip = zip.bytes().await.unwrap();
    assert_eq!(zip.len().to_string(), length);
    let mut zip = zip::ZipArchive::new(Cursor::new(zip)).unwrap();
    assert_eq!(zip.len(), 3);
    for (position, bytes) in frames.iter().enumerate() {
        let mut file = zip.by_index(position).unwrap();
        let expected = format!("frame_{:04}.png", position + 1);
        assert_eq!(file.name().unwrap(), expected);
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert!(&read == bytes, "{expected}");
    }

    let tar = client.request(Method::GET, &format!("{path}?format=tar"));
    let tar = tar.send().await.unwrap().bytes().await.unwrap();
    let mut tar = tar::Archive::new(Cursor::new(tar));
    let mut count = 0;
    for (file, bytes) in tar.entries().unwrap().zip(&frames) {
        let mut read = Vec::new();
        file.unwrap().read_to_end(&mut read).unwrap();
        assert!(&read == bytes);
        count += 1;
    }
    assert_eq!(count, 3);

    let (status, body) = client.get(&format!("{path}?kind=video")).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
    let (status, body) = client.get(&format!("{path}?format=rar")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    node.stop().await;
}

#[tokio::test]
async fn an_archive_with_a_file_that_nobody_has_breaks_off_before_its_end() {
    let node = TestNode::start().await;
    let client = node.operator();
    let missing = NewFile {
        id: FileId::new(),
        kind: FileKind::Frame,
        name: "frame_0002.png".into(),
        media_type: "image/png".into(),
        content: ContentId([9; 32]),
        size_bytes: 1000,
        holders: vec![NODE],
    };
    let job = client.new_job(&json!({"name": "a"})).await;
    let (status, body) = client.upload(&job, scene(1, 2, 10)).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    let content = node.store(&[1; 1000]).await;
    node.commit_frame(&job, 0, content, 1000).await;
    // The second one is in the log, and its content nowhere.
    node.commit(&job, 1, missing).await;
    let path = format!("/api/jobs/{job}/archive");
    let whole = async {
        let response = client.request(Method::GET, &path).send().await?;
        response.bytes().await
    };
    assert!(whole.await.is_err(), "half an archive is an error");
    node.stop().await;
}

#[tokio::test]
async fn an_archive_is_only_for_those_who_may_see_the_job() {
    let node = TestNode::start().await;
    let owner = node.signed_in(MEMBER).await;
    let other = node.signed_in(OTHER_MEMBER).await;
    let job = rendered(&node, &owner, &[vec![1; 10]]).await;
    let path = format!("/api/jobs/{job}/archive");
    let (status, body) = other.get(&path).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(problem(&body), "unknown-job");
    let (status, _) = owner.get(&path).await;
    assert_eq!(status, StatusCode::OK);
    node.stop().await;
}

impl TestNode {
    pub(super) async fn store(&self, bytes: &[u8]) -> ContentId {
        let store = self.content().store();
        let stored = store.put(bytes, Chunking::Fixed).await.unwrap();
        ContentId(stored.manifest.0)
    }

    /// The job's task is leased to this node and done with that content.
    pub(super) async fn commit_frame(
        &self,
        job: &str,
        index: u32,
        content: ContentId,
        size_bytes: u64,
    ) {
        let frame = NewFile {
            id: FileId::new(),
            kind: FileKind::Frame,
            name: format!("frame_{:04}.png", index + 1),
            media_type: "image/png".into(),
            content,
            size_bytes,
            holders: vec![NODE],
        };
        self.commit(job, index, frame).await;
    }

    pub(super) async fn commit(&self, job: &str, index: u32, output: NewFile) {
        let task = TaskId {
            job: job.parse().unwrap(),
            index,
        };
        self.propose(Action::TasksLeased {
            node: NODE,
            leases: vec![(task, Epoch(1))],
        })
        .await;
        self.propose(Action::TaskCommitted {
            task,
            epoch: Epoch(1),
            output,
            log: None,
            render_ms: 5,
        })
        .await;
    }
}
