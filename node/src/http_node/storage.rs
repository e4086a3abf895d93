//! The farm's content over HTTP: scenes come by ranges until they are whole, outputs go up as one.

use std::collections::HashMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt as _;
use jiggablend_raft::{
    ContentId, Epoch, Failure, FailureKind, FileId, FileKind, JobId, NewFile, TaskId,
};
use jiggablend_transfer::{Chunking, ManifestHash};
use reqwest::header::{IF_RANGE, RANGE};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method, StatusCode};
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use tokio::time::{sleep, timeout};
use tokio_util::io::ReaderStream;
use tracing::warn;

use super::farm::{AskError, Farm, PAUSE, json, lost, send};
use super::messages::{Uploaded, task_name};
use crate::runner::{ContentRef, KeepError, Source, Storage, ToKeep, unwritable};

/// Downloads of a file that do not get further, before the attempt fails.
const MAX_TRIES_WITHOUT_NEWS: u32 = 30;
/// A download of which nothing moves for this long goes on with another node.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// An upload may take this long, for the copies, and what it takes at this rate.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(90);
const SLOWEST_BYTES_PER_SECOND: u64 = 64 * 1024;
/// Files that were uploaded and not completed; those of leases that were taken back stay behind.
const MAX_HANDLES: usize = 1024;

pub(super) struct HttpStorage {
    farm: Farm,
    handles: Mutex<HashMap<FileId, String>>,
}

impl HttpStorage {
    pub(super) fn new(farm: Farm) -> Self {
        Self {
            farm,
            handles: Mutex::default(),
        }
    }

    /// What the farm calls a file that was uploaded.
    pub(super) fn take_handle(&self, file: FileId) -> Option<String> {
        self.handles().remove(&file)
    }

    fn handles(&self) -> MutexGuard<'_, HashMap<FileId, String>> {
        // It is whole whatever happened to its last user.
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Storage for HttpStorage {
    async fn export(&self, job: JobId, content: &ContentRef, path: &Path) -> Result<(), Failure> {
        let part = path.with_extension("part");
        let fetching = Fetching {
            farm: &self.farm,
            path: format!("/api/runner/files/{job}/{}", content.content),
            etag: format!("\"{}\"", content.content),
            size_bytes: content.size_bytes,
            part: &part,
        };
        fetching.fetch().await?;
        if !is_content(part.clone(), content.content).await? {
            // Never resumed: it would stay wrong.
            let _ = tokio::fs::remove_file(&part).await;
            return Err(unavailable(
                "the bytes that came are not the file that the task needs".to_owned(),
            ));
        }
        let renamed = tokio::fs::rename(&part, path).await;
        renamed.map_err(|error| unwritable(&error))
    }

    async fn keep(
        &self,
        lease: (TaskId, Epoch),
        to_keep: ToKeep<'_>,
    ) -> Result<NewFile, KeepError> {
        let hash = hash_of(to_keep.source)
            .await
            .map_err(|error| KeepError::Failed(unwritable(&error)))?;
        let uploaded = loop {
            match self.upload(lease, &to_keep, &hash).await {
                Ok(uploaded) => break uploaded,
                Err(AskError::NoAnswer(reason)) => {
                    warn!("{} waits for the farm to keep it: {reason}", to_keep.name);
                    sleep(PAUSE).await;
                }
                Err(AskError::Refused(problem)) => {
                    let kind = match problem.name.as_str() {
                        "wrong-picture" => FailureKind::WrongPicture,
                        _ => FailureKind::ContentUnavailable,
                    };
                    return Err(KeepError::Failed(Failure {
                        kind,
                        message: format!("the farm does not take {}: {problem}", to_keep.name),
                    }));
                }
            }
        };
        let id = FileId::new();
        let mut handles = self.handles();
        if handles.len() >= MAX_HANDLES {
            handles.clear();
        }
        handles.insert(id, uploaded.file);
        Ok(NewFile {
            id,
            kind: to_keep.kind,
            name: to_keep.name.to_owned(),
            media_type: to_keep.media_type.to_owned(),
            content: uploaded.content,
            size_bytes: uploaded.size_bytes,
            // The farm knows them.
            holders: Vec::new(),
        })
    }
}

impl HttpStorage {
    async fn upload(
        &self,
        (task, epoch): (TaskId, Epoch),
        to_keep: &ToKeep<'_>,
        hash: &str,
    ) -> Result<Uploaded, AskError> {
        let path = format!("/api/runner/files/{}/upload", task.job);
        let kind = match to_keep.kind {
            FileKind::Log => "log",
            _ => "output",
        };
        let mut round = self.farm.round();
        while let Some(url) = round.next_url() {
            let (part, size_bytes) = part_of(to_keep.source).await.map_err(|error| {
                AskError::NoAnswer(format!("cannot read {}: {error}", to_keep.name))
            })?;
            // The words first: the node knows what comes before it comes.
            let form = Form::new()
                .text("task", task_name(task))
                .text("epoch", epoch.to_string())
                .text("kind", kind)
                .text("blake3", hash.to_owned())
                .part("file", part.file_name(to_keep.name.to_owned()));
            let sending = Duration::from_secs(size_bytes / SLOWEST_BYTES_PER_SECOND);
            let request = self.farm.request(Method::POST, &url, &path);
            let request = request.multipart(form).timeout(UPLOAD_TIMEOUT + sending);
            let asked = json(&url, request).await;
            if let Some(end) = round.end_of(&url, asked) {
                return end;
            }
        }
        Err(round.why)
    }
}

/// The file as a part of a form, and its size in bytes.
async fn part_of(source: Source<'_>) -> std::io::Result<(Part, u64)> {
    match source {
        Source::Text(text) => {
            let part = Part::bytes(text.as_bytes().to_vec());
            Ok((part, text.len() as u64))
        }
        Source::File(path) => {
            let file = File::open(path).await?;
            let length = file.metadata().await?.len();
            let body = Body::wrap_stream(ReaderStream::with_capacity(file, 256 * 1024));
            Ok((Part::stream_with_length(body, length), length))
        }
    }
}

/// The blake3 hash of the bytes, in hex.
async fn hash_of(source: Source<'_>) -> std::io::Result<String> {
    let path = match source {
        Source::Text(text) => return Ok(blake3::hash(text.as_bytes()).to_hex().to_string()),
        Source::File(path) => path.to_owned(),
    };
    blocking(move || {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(std::fs::File::open(path)?)?;
        Ok(hasher.finalize().to_hex().to_string())
    })
    .await
}

/// True where the file is that content, whichever way it was cut.
async fn is_content(path: PathBuf, content: ContentId) -> Result<bool, Failure> {
    let checked = blocking(move || {
        for chunking in [Chunking::ContentDefined, Chunking::Fixed] {
            let file = std::fs::File::open(&path)?;
            let reader = std::io::BufReader::new(file).take(u64::MAX);
            if ManifestHash::of_file(reader, chunking)?.0 == content.0 {
                return Ok(true);
            }
        }
        Ok(false)
    });
    checked.await.map_err(|error| unwritable(&error))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(std::io::Error::other)?
}

/// A file on its way here.
struct Fetching<'a> {
    farm: &'a Farm,
    path: String,
    etag: String,
    size_bytes: u64,
    /// What is here of it.
    part: &'a Path,
}

impl Fetching<'_> {
    /// Brings all of it here, from one node after the other, going on where the last one stopped.
    async fn fetch(&self) -> Result<(), Failure> {
        let mut tries_without_news = 0;
        loop {
            let before = self.have_bytes().await;
            if before == self.size_bytes && before > 0 {
                return Ok(());
            }
            let tried = self.fetch_once().await;
            match tried {
                Ok(()) if self.have_bytes().await == self.size_bytes => return Ok(()),
                Ok(()) => {}
                Err(AskError::Refused(problem)) => {
                    let what = format!("the farm does not give what the task needs: {problem}");
                    return Err(unavailable(what));
                }
                Err(AskError::NoAnswer(reason)) => {
                    warn!("a file waits for the farm: {reason}");
                    tries_without_news += 1;
                }
            }
            if self.have_bytes().await > before {
                tries_without_news = 0;
            }
            if tries_without_news > MAX_TRIES_WITHOUT_NEWS {
                let what = "fetching what the task needs: no node of the farm gives it";
                return Err(unavailable(what.to_owned()));
            }
            sleep(PAUSE).await;
        }
    }

    /// Asks each node once for what is missing, until one has given it.
    async fn fetch_once(&self) -> Result<(), AskError> {
        let mut round = self.farm.round();
        while let Some(url) = round.next_url() {
            let asked = self.fetch_from(&url).await;
            if let Some(end) = round.end_of(&url, asked) {
                return end;
            }
        }
        Err(round.why)
    }

    async fn have_bytes(&self) -> u64 {
        let metadata = tokio::fs::metadata(self.part).await;
        metadata.map_or(0, |metadata| metadata.len())
    }

    async fn fetch_from(&self, url: &str) -> Result<(), AskError> {
        let have = self.have_bytes().await;
        let mut request = self.farm.request(Method::GET, url, &self.path);
        if have > 0 {
            request = request
                .header(RANGE, format!("bytes={have}-"))
                .header(IF_RANGE, &self.etag);
        }
        let silent = || AskError::NoAnswer(format!("{url} sends nothing"));
        let response = timeout(IDLE_TIMEOUT, send(url, request)).await;
        let response = response.map_err(|_| silent())??;
        let goes_on = response.status() == StatusCode::PARTIAL_CONTENT;
        let unwritten = |error: std::io::Error| {
            AskError::NoAnswer(format!("cannot write what {url} sends: {error}"))
        };
        let mut file = File::options()
            .create(true)
            .write(true)
            .append(goes_on)
            .truncate(!goes_on)
            .open(self.part)
            .await
            .map_err(unwritten)?;
        let mut left_bytes = self
            .size_bytes
            .saturating_sub(if goes_on { have } else { 0 });
        let mut pieces = response.bytes_stream();
        loop {
            let next = timeout(IDLE_TIMEOUT, pieces.next()).await;
            let piece = match next {
                Ok(Some(Ok(piece))) => piece,
                Ok(None) => break,
                cut => {
                    // What came is kept: the next node goes on from there.
                    file.flush().await.map_err(unwritten)?;
                    return Err(match cut {
                        Ok(Some(Err(error))) => lost(url, &error),
                        _ => silent(),
                    });
                }
            };
            let length = piece.len() as u64;
            if length > left_bytes {
                return Err(AskError::NoAnswer(format!(
                    "{url} sends more than the file has"
                )));
            }
            left_bytes -= length;
            file.write_all(&piece).await.map_err(unwritten)?;
        }
        file.flush().await.map_err(unwritten)
    }
}

fn unavailable(message: String) -> Failure {
    Failure {
        kind: FailureKind::ContentUnavailable,
        message,
    }
}
