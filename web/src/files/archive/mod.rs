//! All of a job's files of one kind in one archive, packed while it is sent.
//!
//! Nothing is compressed, pictures and videos being so already, so that the archive's length is
//! known before its first byte: a client sees by `Content-Length` that an archive broke off.

mod names;
mod packing;
mod tar;
mod zip;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use jiggablend_raft::{FileId, FileKind, JobId, TimestampMs};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::headers::content_disposition;
use super::{still_reads, while_allowed};
use crate::access::{Caller, OwnedJob};
use crate::app::App;
use crate::problem::{Problem, ProblemKind};
use crate::query::ApiQuery;
use packing::Packing;

/// A file of the archive before its bytes are read.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    file: FileId,
    /// Safe, and no other entry's.
    name: String,
    size_bytes: u64,
    modified_at: TimestampMs,
}

/// What stands around the files' bytes. Each entry goes through `before`, `take` for its bytes,
/// and `after`; then comes `end`. How much is written depends on names and sizes alone.
trait Layout: Send {
    fn before(&mut self, entry: &Entry) -> Bytes;
    fn take(&mut self, bytes: &[u8]);
    fn after(&mut self) -> Bytes;
    fn end(&mut self) -> Bytes;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ArchiveFormat {
    Zip,
    Tar,
}

impl ArchiveFormat {
    fn layout(self) -> Box<dyn Layout> {
        match self {
            Self::Zip => Box::new(zip::Zip::default()),
            Self::Tar => Box::new(tar::Tar::default()),
        }
    }

    fn extension(self) -> &'static str {
        match self {
            Self::Zip => "zip",
            Self::Tar => "tar",
        }
    }

    fn media_type(self) -> &'static str {
        match self {
            Self::Zip => "application/zip",
            Self::Tar => "application/x-tar",
        }
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArchiveQuery {
    #[serde(default = "zip_format")]
    #[param(inline)]
    format: ArchiveFormat,
    #[serde(default = "frames")]
    kind: FileKind,
}

fn zip_format() -> ArchiveFormat {
    ArchiveFormat::Zip
}

fn frames() -> FileKind {
    FileKind::Frame
}

/// All files of one kind in one archive: the frames, unless another kind is asked for.
#[utoipa::path(
    get, path = "/api/jobs/{id}/archive", tag = "files",
    params(("id" = JobId, Path), ArchiveQuery),
    responses((status = 200, content((String = "application/zip"), (String = "application/x-tar")))),
)]
pub(crate) async fn archive(
    State(app): State<App>,
    caller: Caller,
    OwnedJob(job): OwnedJob,
    ApiQuery(query): ApiQuery<ArchiveQuery>,
) -> Result<Response, Problem> {
    let Ok(place) = Arc::clone(&app.archives).try_acquire_owned() else {
        let why = "this node packs as many archives as it can; try again in a moment";
        return Err(Problem::new(ProblemKind::Busy, why).retry_after_seconds(10));
    };
    let (job_name, entries) = app
        .log
        .read(|state| names::entries(state, job, query.kind))
        .ok_or_else(|| Problem::unknown_job(&job.to_string()))?;
    if entries.is_empty() {
        return Err(Problem::new(
            ProblemKind::UnknownFile,
            format!("job {job} has no files of that kind yet"),
        ));
    }
    let format = query.format;
    let length = total_bytes(format.layout(), &entries);
    let name = format!("{job_name}.{}", format.extension());
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static(format.media_type()),
        ),
        (header::CONTENT_LENGTH, HeaderValue::from(length)),
        (
            header::CONTENT_DISPOSITION,
            content_disposition(&name, false),
        ),
    ];
    let right = still_reads(&app, &caller, job);
    let packing = Packing::new(app, job, entries, format.layout(), place);
    let body = Body::from_stream(while_allowed(packing.stream(), right));
    Ok((headers, body).into_response())
}

fn total_bytes(mut layout: Box<dyn Layout>, entries: &[Entry]) -> u64 {
    let mut total = 0;
    for entry in entries {
        total += layout.before(entry).len() as u64 + entry.size_bytes;
        total += layout.after().len() as u64;
    }
    total + layout.end().len() as u64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::{Cursor, Read};

    use super::*;

    fn entry(name: &str, size_bytes: u64) -> Entry {
        Entry {
            file: FileId::new(),
            name: name.into(),
            size_bytes,
            modified_at: TimestampMs(1_700_000_000_000),
        }
    }

    fn files() -> Vec<(Entry, Vec<u8>)> {
        let long_name = format!("{}.png", "n".repeat(150));
        let files = [
            ("frame_0001.png", 1000),
            ("Küche.png", 512),
            (&*long_name, 0),
            ("end.png", 513),
        ];
        files
            .iter()
            .map(|(name, length)| {
                let bytes = (0..*length).map(|at| (at * 7 / 3) as u8).collect();
                (entry(name, *length as u64), bytes)
            })
            .collect()
    }

    fn packed(format: ArchiveFormat, files: &[(Entry, Vec<u8>)]) -> Vec<u8> {
        let mut layout = format.layout();
        let mut archive = Vec::new();
        for (entry, bytes) in files {
            archive.extend_from_slice(&layout.before(entry));
            for piece in bytes.chunks(100) {
                layout.take(piece);
                archive.extend_from_slice(piece);
            }
            archive.extend_from_slice(&layout.after());
        }
        archive.extend_from_slice(&layout.end());
        let entries: Vec<Entry> = files.iter().map(|(entry, _)| entry.clone()).collect();
        assert_eq!(archive.len() as u64, total_bytes(format.layout(), &entries));
        archive
    }

    #[test]
    fn another_program_reads_the_zip() {
        let files = files();
        let archive = packed(ArchiveFormat::Zip, &files);
        let mut archive = ::zip::ZipArchive::new(Cursor::new(archive)).unwrap();
        assert_eq!(archive.len(), files.len());
        for (position, (entry, bytes)) in files.iter().enumerate() {
            // Checks the CRC at the end.
            let mut file = archive.by_index(position).unwrap();
            assert_eq!(file.name().unwrap(), entry.name);
            assert_eq!(file.compression(), ::zip::CompressionMethod::Stored);
            let mut read = Vec::new();
            file.read_to_end(&mut read).unwrap();
            assert_eq!(&read, bytes);
        }
    }

    #[test]
    fn another_program_reads_the_tar() {
        let files = files();
        let archive = packed(ArchiveFormat::Tar, &files);
        assert_eq!(archive.len() % 512, 0);
        let mut archive = ::tar::Archive::new(Cursor::new(archive));
        let mut count = 0;
        for (found, (entry, bytes)) in archive.entries().unwrap().zip(&files) {
            let mut found = found.unwrap();
            assert_eq!(found.path().unwrap().to_str().unwrap(), entry.name);
            assert_eq!(found.header().mtime().unwrap(), 1_700_000_000);
            let mut read = Vec::new();
            found.read_to_end(&mut read).unwrap();
            assert_eq!(&read, bytes);
            count += 1;
        }
        assert_eq!(count, files.len());
    }
}
