//! `job download`: fetches what a job made, a few files at a time, from any node that answers.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use indicatif::ProgressBar;
use jiggablend_raft::{ContentId, FileKind, JobId};
use jiggablend_transfer::{Chunking, ManifestHash};
use reqwest::header::RANGE;
use reqwest::{Method, Response, StatusCode};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::files::{Download, local_name, plan};
use super::{id, path_of};
use crate::cli::CliError;
use crate::cli::api_types::{File, Job};
use crate::cli::args::JobDownloadArgs;
use crate::cli::client::{AttemptError, Client, good_answer, send};
use crate::cli::output::{Output, bytes};

/// Files that are fetched at once.
const AT_ONCE: usize = 4;
/// A node that sends nothing for this long is left for another. The first bytes may take a while:
/// the node may have to fetch them from a peer.
const MAX_SILENCE: Duration = Duration::from_secs(30);

pub async fn run(
    job: JobId,
    args: &JobDownloadArgs,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let kinds: &[FileKind] = match (args.frames, args.video) {
        (true, false) => &[FileKind::Frame],
        (false, true) => &[FileKind::Video],
        _ => &[FileKind::Frame, FileKind::Video],
    };
    fetch(job, args.out.as_deref(), kinds, client, output).await
}

/// Fetches the job's files of `kinds` into `folder`, or into a new folder with the job's name.
pub async fn fetch(
    job: JobId,
    folder: Option<&Path>,
    kinds: &[FileKind],
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let folder = match folder {
        Some(folder) => folder.to_owned(),
        None => default_folder(job, client).await?,
    };
    let files = format!("{}/files", path_of(job));
    let files: Vec<File> = client.get_pages(&files, "files").await?;
    let downloads = plan(files, kinds);
    if downloads.is_empty() {
        return Err(CliError::Refused(format!(
            "job {} has made nothing to download yet; follow it with `jiggablend job watch {}`",
            id::short(job),
            id::short(job)
        )));
    }
    tokio::fs::create_dir_all(&folder)
        .await
        .map_err(|error| CliError::file("cannot make the folder", &folder, error))?;
    let total_bytes = downloads
        .iter()
        .map(|download| download.file.size_bytes)
        .sum();
    let bar = output.bytes_bar("downloading", total_bytes);
    let fetched = fetch_all(job, &downloads, &folder, client, &bar).await;
    output.remove_bar(&bar);
    let fetched = fetched?;
    report(&downloads, &folder, fetched, output);
    Ok(())
}

async fn default_folder(job: JobId, client: &Client) -> Result<PathBuf, CliError> {
    let job: Job = client.get(&path_of(job)).await?;
    let name = local_name(&job.summary.name);
    Ok(PathBuf::from(format!(
        "{name}-{}",
        id::short(job.summary.id)
    )))
}

/// How many files were fetched; the others were there already.
async fn fetch_all(
    job: JobId,
    downloads: &[Download],
    folder: &Path,
    client: &Client,
    bar: &ProgressBar,
) -> Result<usize, CliError> {
    let one = async |download: &Download| -> Result<usize, CliError> {
        let target = folder.join(&download.name);
        let file = &download.file;
        if holds(&target, file.size_bytes, file.content).await {
            bar.inc(download.file.size_bytes);
            return Ok(0);
        }
        let path = format!("{}/files/{}/download", path_of(job), download.file.id);
        Fetch::new(download, folder, target, path, client, bar)
            .run()
            .await?;
        Ok(1)
    };
    futures::stream::iter(downloads)
        .map(one)
        .buffer_unordered(AT_ONCE)
        .try_fold(0, |sum, count| async move { Ok(sum + count) })
        .await
}

/// True where the file at `path` has this very content; false also where it cannot be read.
async fn holds(path: &Path, size_bytes: u64, content: ContentId) -> bool {
    let found = tokio::fs::metadata(path).await;
    if !found.is_ok_and(|found| found.is_file() && found.len() == size_bytes) {
        return false;
    }
    let path = path.to_owned();
    let hash = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::open(path)?;
        // So the farm cuts everything that its nodes make.
        ManifestHash::of_file(file, Chunking::Fixed)
    });
    matches!(hash.await, Ok(Ok(hash)) if hash.0 == content.0)
}

/// One file on its way.
struct Fetch<'a> {
    size_bytes: u64,
    content: ContentId,
    /// Whole bytes came that were not the file's: that is put up with once.
    was_damaged: Cell<bool>,
    /// Named after the file's id, whose bytes never change: what is in it may be gone on with.
    part: PathBuf,
    target: PathBuf,
    path: String,
    client: &'a Client,
    bar: &'a ProgressBar,
}

impl<'a> Fetch<'a> {
    fn new(
        download: &Download,
        folder: &Path,
        target: PathBuf,
        path: String,
        client: &'a Client,
        bar: &'a ProgressBar,
    ) -> Self {
        Self {
            size_bytes: download.file.size_bytes,
            content: download.file.content,
            was_damaged: Cell::new(false),
            part: folder.join(format!(".{}.part", download.file.id)),
            target,
            path,
            client,
            bar,
        }
    }

    async fn run(&self) -> Result<(), CliError> {
        let before = self.part_bytes().await;
        self.bar.inc(before);
        self.client
            .on_some_node(async |url| self.attempt(url).await)
            .await?;
        tokio::fs::rename(&self.part, &self.target)
            .await
            .map_err(|error| CliError::file("cannot write", &self.target, error))
    }

    /// What earlier attempts left. More than the whole is nothing: it cannot be right.
    async fn part_bytes(&self) -> u64 {
        match tokio::fs::metadata(&self.part).await {
            Ok(found) if found.len() <= self.size_bytes => found.len(),
            _ => 0,
        }
    }

    async fn attempt(&self, url: &str) -> Result<(), AttemptError> {
        let have = self.part_bytes().await;
        if have == self.size_bytes && have > 0 {
            if self.is_intact().await {
                return Ok(());
            }
            self.start_over().await;
            self.bar_back(have);
            return Box::pin(self.attempt(url)).await;
        }
        let mut request = self.client.request(Method::GET, url, &self.path);
        if have > 0 {
            request = request.header(RANGE, format!("bytes={have}-"));
        }
        let response = timeout(MAX_SILENCE, send(url, request))
            .await
            .map_err(|_| AttemptError::elsewhere(url, "did not answer in time"))??;
        let response = good_answer(url, response, true).await?;
        let goes_on = response.status() == StatusCode::PARTIAL_CONTENT && have > 0;
        if !goes_on {
            // The node sends the whole file.
            self.bar_back(have);
        }
        let start = if goes_on { have } else { 0 };
        self.take_in(url, response, start).await?;
        self.verify(url).await
    }

    /// Writes the answer behind the first `start` bytes.
    async fn take_in(
        &self,
        url: &str,
        mut response: Response,
        start: u64,
    ) -> Result<(), AttemptError> {
        let mut file = self.open(start).await?;
        let mut written = start;
        let reason = loop {
            let bytes = match timeout(MAX_SILENCE, response.chunk()).await {
                Ok(Ok(Some(bytes))) => bytes,
                Ok(Ok(None)) if written == self.size_bytes => break None,
                Ok(Ok(None)) => break Some(format!("ended after {written} bytes")),
                Ok(Err(error)) => break Some(format!("broke off: {error}")),
                Err(_) => break Some("sent nothing more".to_owned()),
            };
            written += bytes.len() as u64;
            if written > self.size_bytes {
                self.start_over().await;
                break Some(format!("sent more than {} bytes", self.size_bytes));
            }
            file.write_all(&bytes)
                .await
                .map_err(|error| self.part_error(error))?;
            self.bar.inc(bytes.len() as u64);
        };
        file.flush().await.map_err(|error| self.part_error(error))?;
        match reason {
            None => Ok(()),
            Some(reason) => Err(AttemptError::Elsewhere {
                error: CliError::Node {
                    url: url.to_owned(),
                    reason,
                },
                progressed: (start + 1..=self.size_bytes).contains(&written),
            }),
        }
    }

    async fn open(&self, start: u64) -> Result<tokio::fs::File, CliError> {
        let mut options = tokio::fs::OpenOptions::new();
        let opened = match start {
            0 => options.write(true).create(true).truncate(true),
            _ => options.append(true),
        };
        opened
            .open(&self.part)
            .await
            .map_err(|error| self.part_error(error))
    }

    async fn is_intact(&self) -> bool {
        holds(&self.part, self.size_bytes, self.content).await
    }

    /// The bytes that came are those which the farm's file names. If not, another node is asked
    /// for all of them, once.
    async fn verify(&self, url: &str) -> Result<(), AttemptError> {
        if self.is_intact().await {
            return Ok(());
        }
        self.start_over().await;
        self.bar_back(self.size_bytes);
        if self.was_damaged.replace(true) {
            let reason = format!("what {url} sent is damaged, twice now; download it again");
            return Err(CliError::file("cannot download", &self.target, reason).into());
        }
        let reason = format!("sent other bytes for {}", self.target.display());
        Err(AttemptError::elsewhere(url, reason))
    }

    fn bar_back(&self, bytes: u64) {
        let position = self.bar.position();
        self.bar.set_position(position.saturating_sub(bytes));
    }

    async fn start_over(&self) {
        // It is opened anew in the next attempt, whatever is left of it.
        let _ = tokio::fs::remove_file(&self.part).await;
    }

    fn part_error(&self, error: io::Error) -> CliError {
        CliError::file("cannot write", &self.part, error)
    }
}

fn report(downloads: &[Download], folder: &Path, fetched: usize, output: &Output) {
    if output.is_json() {
        let files: Vec<_> = downloads
            .iter()
            .map(|download| {
                json!({
                    "id": download.file.id,
                    "path": folder.join(&download.name),
                    "size_bytes": download.file.size_bytes,
                })
            })
            .collect();
        output.json_line(&json!({ "folder": folder, "files": files, "fetched": fetched }));
        return;
    }
    let size_bytes = downloads
        .iter()
        .map(|download| download.file.size_bytes)
        .sum();
    let already = match downloads.len() - fetched {
        0 => String::new(),
        1 => ", 1 was there already".to_owned(),
        there => format!(", {there} were there already"),
    };
    let count = match downloads.len() {
        1 => "1 file".to_owned(),
        more => format!("{more} files"),
    };
    output.note(&format!("{count}, {}{already}", bytes(size_bytes)));
    output.line(&folder.display().to_string());
}
