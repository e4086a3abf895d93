//! A scene file in one request: a break means to begin anew.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use indicatif::ProgressBar;
use jiggablend_raft::JobId;
use reqwest::Method;
use reqwest::multipart::{Form, Part};

use super::{Scene, path_of, stalled};
use crate::cli::CliError;
use crate::cli::client::{AttemptError, Client, send, whole_body};

pub async fn send_whole(
    job: JobId,
    scene: &Scene<'_>,
    client: &Client,
    bar: &ProgressBar,
) -> Result<(), CliError> {
    client
        .on_some_node(async |url| attempt(url, job, scene, client, bar).await)
        .await
}

async fn attempt(
    url: &str,
    job: JobId,
    scene: &Scene<'_>,
    client: &Client,
    bar: &ProgressBar,
) -> Result<(), AttemptError> {
    let sent = Arc::new(AtomicU64::new(0));
    let body = scene.body_from(0, Arc::clone(&sent), bar.clone()).await?;
    let part = Part::stream_with_length(body, scene.size_bytes).file_name(scene.name.clone());
    let request = client
        .request(Method::POST, url, &format!("{}/upload", path_of(job)))
        .multipart(Form::new().part("file", part));
    let exchange = async {
        let response = send(url, request).await?;
        whole_body(url, response, true).await
    };
    tokio::select! {
        answer = exchange => answer.map(|_| ()),
        () = stalled(&sent) => Err(AttemptError::elsewhere(url, "takes no more of the file")),
    }
}
