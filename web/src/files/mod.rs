//! A job's files: the list, their bytes, all of them in one [`archive`], and [`preview`]s; each for
//! as long as the caller's [`rights`] last.

mod archive;
mod headers;
mod preview;
mod range;
mod rights;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiggablend_raft::{File, FileId, FileKind, JobId};
use jiggablend_transfer::{ContentStream, ManifestHash, PeerId, StoreError};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

pub(crate) use archive::{__path_archive, archive};
pub(crate) use headers::safe_file_name;
pub(crate) use preview::{__path_preview, Previews, preview};
pub(crate) use range::DownloadHeaders;
use range::Wanted;
pub(crate) use rights::{StillAllowed, still_reads, while_allowed};

use crate::access::{Caller, OwnedJob};
use crate::app::App;
use crate::problem::{Problem, ProblemKind};
use crate::query::ApiQuery;
use crate::views::FileView;

/// Files in one answer.
const MAX_PAGE: usize = 10_000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Filter {
    kind: Option<FileKind>,
    /// 10,000 unless it is given.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<usize>,
    /// `next_cursor` of the page before.
    #[param(value_type = Option<i64>, minimum = 0, maximum = 4_294_967_295_i64)]
    cursor: Option<u32>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Files {
    files: Vec<FileView>,
    /// There when more follow.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<usize>,
}

/// The job's files in the order in which they came.
#[utoipa::path(
    get, path = "/api/jobs/{id}/files", tag = "files", params(("id" = JobId, Path), Filter),
    responses((status = 200, body = Files)),
)]
pub(crate) async fn list(
    State(app): State<App>,
    OwnedJob(job): OwnedJob,
    ApiQuery(filter): ApiQuery<Filter>,
) -> Result<Response, Problem> {
    let limit = filter.limit.unwrap_or(MAX_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        let why = format!("limit must be 1 to {MAX_PAGE}");
        return Err(Problem::new(ProblemKind::InvalidRequest, why));
    }
    let page = app.log.read(|state| {
        let ids = state.jobs.get(&job).map(|job| job.files.as_slice());
        // A place among all files of the job is a cursor: they are only ever added to.
        let places = ids.unwrap_or_default().iter().enumerate();
        let mut wanted = places
            .skip(filter.cursor.unwrap_or(0) as usize)
            .filter_map(|(place, id)| Some((place, state.files.get(id)?)))
            .filter(|(_, file)| filter.kind.is_none_or(|kind| file.kind == kind));
        let files = wanted.by_ref().take(limit);
        Files {
            files: files.map(|(_, file)| FileView::of(file)).collect(),
            next_cursor: wanted.next().map(|(place, _)| place),
        }
    });
    Ok(Json(page).into_response())
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DownloadQuery {
    inline: Option<String>,
}

/// A file's bytes, or a range of them.
#[utoipa::path(
    get, path = "/api/jobs/{id}/files/{file}/download", tag = "files",
    params(("id" = JobId, Path), ("file" = FileId, Path), DownloadQuery, DownloadHeaders),
    responses(
        (status = 200, content_type = "*/*", description = "The file, in its own media type"),
        (status = 206, content_type = "*/*", description = "The range that was asked for"),
        (status = 304, description = "The client has it"),
    ),
)]
pub(crate) async fn download(
    State(app): State<App>,
    caller: Caller,
    OwnedJob(job): OwnedJob,
    Path((_, id)): Path<(String, String)>,
    ApiQuery(query): ApiQuery<DownloadQuery>,
    method: Method,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let file = find(&app, job, &id)?;
    let is_inline = query.inline.is_some_and(|inline| inline != "0");
    let right = still_reads(&app, &caller, job);
    send(&app, &file, is_inline, &method, &request, right).await
}

/// Answers with the file's bytes, or with the range of them that the request wants, for as long as
/// whoever asked may have them.
pub(crate) async fn send(
    app: &App,
    file: &File,
    is_inline: bool,
    method: &Method,
    request: &HeaderMap,
    right: StillAllowed,
) -> Result<Response, Problem> {
    let etag = headers::etag(file);
    if range::expects_another(request.get(header::IF_MATCH), &etag) {
        let why = "If-Match names other content than the file has; read its ETag anew";
        return Err(Problem::new(ProblemKind::PreconditionFailed, why));
    }
    if range::names_etag(request.get(header::IF_NONE_MATCH), &etag) {
        return Ok((StatusCode::NOT_MODIFIED, headers::unchanged(etag)).into_response());
    }
    let size_bytes = file.size_bytes;
    let wanted = range::wanted(request, &etag, size_bytes);
    let (status, bytes) = match wanted {
        Wanted::Whole => (StatusCode::OK, 0..size_bytes),
        Wanted::Part(bytes) => (StatusCode::PARTIAL_CONTENT, bytes),
        Wanted::Nothing => return Err(out_of_range(file)),
    };
    let mut response_headers = headers::of_file(file, etag, is_inline);
    let length = bytes.end - bytes.start;
    response_headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if status == StatusCode::PARTIAL_CONTENT {
        let content_range = format!("bytes {}-{}/{size_bytes}", bytes.start, bytes.end - 1);
        let content_range = HeaderValue::try_from(content_range).expect("digits and dashes");
        response_headers.insert(header::CONTENT_RANGE, content_range);
    }
    if *method == Method::HEAD || length == 0 {
        return Ok((status, response_headers).into_response());
    }
    let manifest = ManifestHash(file.content.0);
    let range = (status == StatusCode::PARTIAL_CONTENT).then_some(bytes);
    let holders = holders(app, file);
    let bytes = app.content.stream(manifest, &holders, range).await;
    let bytes = bytes.map_err(|error| unreadable(file, &error))?;
    let body = Body::from_stream(while_allowed(bytes, right));
    Ok((status, response_headers, body).into_response())
}

/// The file, where it belongs to that job.
pub(crate) fn find(app: &App, job: JobId, id: &str) -> Result<File, Problem> {
    let unknown = || {
        Problem::new(
            ProblemKind::UnknownFile,
            format!("job {job} has no such file; GET /api/jobs/{job}/files lists them"),
        )
    };
    let id: FileId = id.parse().map_err(|_| unknown())?;
    let found = app.log.read(|state| {
        let file = state.files.get(&id).filter(|file| file.job == job);
        file.cloned()
    });
    found.ok_or_else(unknown)
}

/// The peers that have the file.
fn holders(app: &App, file: &File) -> Vec<PeerId> {
    app.log.read(|state| {
        let holders = file.holders.iter();
        holders
            .filter_map(|node| state.nodes.get(node))
            .filter(|node| !node.removed)
            .filter_map(|node| node.peer_id()?.parse().ok())
            .collect()
    })
}

/// All of the file's bytes, from the nodes that have them.
pub(crate) async fn stream(app: &App, file: &File) -> Result<ContentStream, Problem> {
    let manifest = ManifestHash(file.content.0);
    let bytes = app
        .content
        .stream(manifest, &holders(app, file), None)
        .await;
    bytes.map_err(|error| unreadable(file, &error))
}

fn out_of_range(file: &File) -> Problem {
    let all = format!("bytes */{}", file.size_bytes);
    Problem::new(
        ProblemKind::BadRange,
        format!(
            "the file has {} bytes and none in that range",
            file.size_bytes
        ),
    )
    .header(
        header::CONTENT_RANGE,
        HeaderValue::try_from(all).expect("digits"),
    )
}

fn unreadable(file: &File, error: &StoreError) -> Problem {
    tracing::warn!(file = %file.id, %error, "cannot read a file for a download");
    Problem::new(
        ProblemKind::ContentUnavailable,
        format!(
            "none of the nodes that have file {} can give it now ({} of them); try again when one is back",
            file.id,
            file.holders.len()
        ),
    )
    .retry_after_seconds(10)
}
