//! A job's scene file comes in: at once ([`multipart`]), or in pieces that a client can go on
//! sending after a break ([`tus`], whose pieces lie in [`parts`]). Either way it ends in [`scene`],
//! which checks the bytes, keeps them on R nodes and starts the job.

mod multipart;
mod parts;
mod promised;
mod scene;
mod tus;
mod tus_headers;

use axum::Json;
use axum::extract::{FromRequest, Multipart, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiggablend_raft::{FileId, JobId, Owner};
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use parts::{Parts, sweep_parts};
pub(crate) use promised::Promised;
pub(crate) use scene::holders;
pub(crate) use tus::{
    __path_discover, __path_discover_upload, __path_offset, __path_patch, __path_remove, discover,
    discover_upload, offset, patch, remove,
};

use crate::access::{Caller, OwnedJob};
use crate::app::App;
use crate::places::Place;
use crate::problem::{Problem, ProblemKind};
use crate::views::FileView;
use multipart::SceneUpload;
use promised::Promise;
use scene::NewScene;
use tus_headers::CreationHeaders;

/// What an upload's request made: the job's scene, or a place to send its pieces to.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Uploaded {
    File(FileView),
    Upload(tus::UploadView),
}

/// Gives a job its scene file, and the job starts. With `Tus-Resumable: 1.0.0` and `Upload-Length`
/// it creates a tus upload instead, whose address is in `Location`.
#[utoipa::path(
    post, path = "/api/jobs/{id}/upload", tag = "jobs",
    params(("id" = JobId, Path), CreationHeaders),
    request_body(content = Option<SceneUpload>, content_type = "multipart/form-data"),
    responses((status = 201, body = Uploaded, headers(
        ("Location" = Option<String>, description = "A tus upload's address"),
    ))),
)]
pub(crate) async fn upload(
    State(app): State<App>,
    caller: Caller,
    OwnedJob(job): OwnedJob,
    request: Request,
) -> Result<Response, Problem> {
    if tus_headers::is_tus(request.headers()) {
        return tus::create(&app, job, request.headers());
    }
    let _place = place(&app, &caller)?;
    let max_bytes = app.config.max_upload_bytes;
    let least_bytes = multipart::least_length(request.headers(), max_bytes)?;
    scene::refuse_by_state(&app, job)?;
    let promise = Promise::of(&app, job, least_bytes)?;
    let mut multipart = Multipart::from_request(request, &app)
        .await
        .map_err(|error| Problem::new(ProblemKind::WrongMediaType, error.body_text()))?;
    let mut skipped = multipart::Skipped::default();
    let mut field = loop {
        let field = multipart::next_part(&mut multipart).await?;
        if field.name() == Some("file") {
            break field;
        }
        skipped.skip(field).await?;
    };
    let scene = NewScene {
        id: FileId::new(),
        name: multipart::file_name(&field),
    };
    let pieces = multipart::pieces(&mut field);
    let given = scene::give(&app, &caller, job, scene, pieces, Some(promise)).await;
    match given {
        Ok(file) => Ok((StatusCode::CREATED, Json(Uploaded::File(file))).into_response()),
        Err(problem) => {
            multipart::drain(field).await;
            Err(problem)
        }
    }
}

/// One of the uploads that this node takes at a time.
fn place(app: &App, caller: &Caller) -> Result<Place<Owner>, Problem> {
    app.uploads.take(caller.owner()).ok_or_else(|| {
        let why = "too many files are being sent to this node, or too many of yours; try again in a moment";
        Problem::new(ProblemKind::Busy, why).retry_after_seconds(5)
    })
}
