//! Uploads whose bytes come when a test says so, and what tests ask of the node meanwhile.

use std::time::Duration;

use jiggablend_raft::{Action, UserChange, UserId};
use reqwest::{Body, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::node::*;

pub(super) struct SlowUpload {
    bytes: mpsc::Sender<std::io::Result<Vec<u8>>>,
    answer: JoinHandle<(StatusCode, Value)>,
}

impl SlowUpload {
    /// As a browser's form sends it; says how long the file is where that is given.
    pub(super) fn of_form(client: &Client, job: &str, length: Option<u64>) -> Self {
        let path = format!("/api/jobs/{job}/upload");
        Self::begin(|body| {
            let part = match length {
                Some(length) => reqwest::multipart::Part::stream_with_length(body, length),
                None => reqwest::multipart::Part::stream(body),
            };
            let form = reqwest::multipart::Form::new().part("file", part.file_name("a.blend"));
            client.request(Method::POST, &path).multipart(form)
        })
    }

    pub(super) fn begin(request: impl FnOnce(Body) -> RequestBuilder) -> Self {
        let (bytes, coming) = mpsc::channel(8);
        let coming = futures::stream::unfold(coming, |mut coming| async {
            Some((coming.recv().await?, coming))
        });
        let request = request(Body::wrap_stream(coming));
        let answer = tokio::spawn(answer(request));
        Self { bytes, answer }
    }

    pub(super) async fn send(&self, bytes: &[u8]) {
        self.bytes.send(Ok(bytes.to_vec())).await.unwrap();
    }

    /// The last bytes, and what came of them. The farm may have hung up before.
    pub(super) async fn end_with(self, bytes: &[u8]) -> (StatusCode, Value) {
        let _ = self.bytes.send(Ok(bytes.to_vec())).await;
        drop(self.bytes);
        self.answer.await.unwrap()
    }

    /// Breaks off.
    pub(super) fn abort(self) {
        self.answer.abort();
    }
}

impl TestNode {
    /// Until so many uploads are on their way.
    pub(super) async fn wait_for_uploads(&self, count: usize) {
        let line = format!("jiggablend_uploads {count}");
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let (status, metrics) = self.operator().get("/metrics").await;
            assert_eq!(status, StatusCode::OK);
            if metrics.as_str().unwrap().lines().any(|one| one == line) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "never {line}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) fn user(&self, email: &str) -> UserId {
        let user = self
            .log
            .read(|state| state.user_by_email(email).map(|user| user.id));
        user.unwrap()
    }

    pub(super) async fn change_user(&self, email: &str, change: UserChange) {
        let user = self.user(email);
        self.propose(Action::UserChanged { user, change }).await;
    }
}

impl Client {
    pub(super) async fn share(&self, job: &str, user: UserId, access: &str) {
        let path = format!("/api/jobs/{job}/shares/{user}");
        let share = self.request(Method::PUT, &path);
        let (status, body) = answer(share.json(&json!({"access": access}))).await;
        assert_eq!(status, StatusCode::OK, "{body}");
    }

    /// A token of this user with that scope, and a client that has it.
    pub(super) async fn with_scope(&self, scope: &str) -> Client {
        let body = json!({"name": scope, "scopes": [scope]});
        let (status, made) = self.post("/api/tokens", &body).await;
        assert_eq!(status, StatusCode::CREATED, "{made}");
        self.clone().with_token(made["token"].as_str().unwrap())
    }
}
