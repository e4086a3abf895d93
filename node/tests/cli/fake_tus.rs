//! Uploads in pieces at the made-up farm: each lies on the node that made it.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{head, options};
use futures::StreamExt;

use crate::fake_farm::{Context, problem};

/// The farm's uploads.
#[derive(Default)]
pub struct FakeTus {
    pub uploads: BTreeMap<String, FakeUpload>,
    /// Where each piece began.
    pub offsets: Vec<usize>,
    pub has_stalled: bool,
    pub max_bytes: Option<usize>,
}

pub struct FakeUpload {
    holder: String,
    length: usize,
    bytes: Vec<u8>,
}

pub fn router() -> Router<Context> {
    Router::new()
        .route("/api/jobs/{id}/upload", options(discover))
        .route("/api/jobs/{id}/uploads/{upload}", head(offset).patch(patch))
}

async fn discover(State(context): State<Context>) -> Response {
    match &context.farm.inner().tus {
        None => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        Some(tus) => {
            let max_bytes = tus.max_bytes.unwrap_or(1 << 40).to_string();
            let headers = [
                ("tus-version", "1.0.0".to_owned()),
                ("tus-max-size", max_bytes),
            ];
            (StatusCode::NO_CONTENT, headers).into_response()
        }
    }
}

fn number(headers: &HeaderMap, name: &str) -> usize {
    headers[name].to_str().unwrap().parse().unwrap()
}

/// Called where a job's upload begins, for what is not sent as a form.
pub fn create(context: &Context, job: &str, headers: &HeaderMap) -> Response {
    assert_eq!(headers["upload-metadata"], "filename Y2F0LmJsZW5k");
    let mut inner = context.farm.inner();
    let tus = inner.tus.as_mut().unwrap();
    let id = format!("u{}", tus.uploads.len());
    let upload = FakeUpload {
        holder: context.url.clone(),
        length: number(headers, "upload-length"),
        bytes: Vec::new(),
    };
    tus.uploads.insert(id.clone(), upload);
    let location = [("location", format!("/api/jobs/{job}/uploads/{id}"))];
    (StatusCode::CREATED, location).into_response()
}

/// None where this node does not have it; another one's answer is a 503.
fn lies_elsewhere(context: &Context, id: &str) -> bool {
    let inner = context.farm.inner();
    inner.tus.as_ref().unwrap().uploads[id].holder != context.url
}

fn away() -> Response {
    problem(
        503,
        "node-away",
        "the node that has this upload cannot be reached",
    )
}

async fn offset(State(context): State<Context>, Path((_, id)): Path<(String, String)>) -> Response {
    if lies_elsewhere(&context, &id) {
        return away();
    }
    let inner = context.farm.inner();
    let upload = &inner.tus.as_ref().unwrap().uploads[&id];
    [("upload-offset", upload.bytes.len().to_string())].into_response()
}

async fn patch(
    State(context): State<Context>,
    Path((_, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if lies_elsewhere(&context, &id) {
        return away();
    }
    assert_eq!(headers["content-type"], "application/offset+octet-stream");
    let from = number(&headers, "upload-offset");
    context
        .farm
        .inner()
        .tus
        .as_mut()
        .unwrap()
        .offsets
        .push(from);
    let mut stream = body.into_data_stream();
    while let Some(piece) = stream.next().await {
        let Ok(piece) = piece else { break };
        let arrived = {
            let mut inner = context.farm.inner();
            let tus = inner.tus.as_mut().unwrap();
            let upload = tus.uploads.get_mut(&id).unwrap();
            upload.bytes.extend_from_slice(&piece);
            upload.bytes.len()
        };
        let is_past = |limit: Option<usize>| limit.is_some_and(|limit| arrived >= limit);
        if is_past(context.habits.dies_after_upload_bytes) {
            return context.die().await;
        }
        let mut inner = context.farm.inner();
        let tus = inner.tus.as_mut().unwrap();
        if is_past(context.habits.stalls_upload_after_bytes) && !tus.has_stalled {
            tus.has_stalled = true;
            return problem(408, "upload-stalled", "nothing came for 60 s");
        }
    }
    let mut inner = context.farm.inner();
    let upload = &inner.tus.as_ref().unwrap().uploads[&id];
    let arrived = upload.bytes.len();
    if arrived == upload.length {
        inner.scene_bytes = Some(arrived);
        inner.scene = inner.tus.as_ref().unwrap().uploads[&id].bytes.clone();
        inner.write_script(3, "done");
    }
    let headers = [("upload-offset", arrived.to_string())];
    (StatusCode::NO_CONTENT, headers).into_response()
}
