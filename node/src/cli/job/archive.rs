//! `job download --archive`: all frames in one file, which a node makes as it sends it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::ProgressBar;
use jiggablend_raft::JobId;
use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::files::local_name;
use super::{id, path_of};
use crate::cli::CliError;
use crate::cli::api_types::{File, Job};
use crate::cli::args::ArchiveArg;
use crate::cli::client::{AttemptError, Client, good_answer, send};
use crate::cli::output::{Output, bytes};

/// A node that sends nothing for this long is left for another.
const MAX_SILENCE: Duration = Duration::from_secs(60);

pub async fn run(
    job: JobId,
    format: ArchiveArg,
    out: Option<&Path>,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let extension = match format {
        ArchiveArg::Zip => "zip",
        ArchiveArg::Tar => "tar",
    };
    let whole: Job = client.get(&path_of(job)).await?;
    let frames = format!("{}/files?kind=frame", path_of(job));
    let frames: Vec<File> = client.get_pages(&frames, "files").await?;
    let frames_bytes: u64 = frames.iter().map(|file| file.size_bytes).sum();
    if frames_bytes == 0 {
        let short = id::short(job);
        return Err(CliError::Refused(format!(
            "job {short} has made no frames yet; follow it with `jiggablend job watch {short}`"
        )));
    }
    let name = local_name(&whole.summary.name);
    let file_name = format!("{name}-{}.{extension}", id::short(job));
    let target = target(out, &file_name);
    let part = target.with_added_extension("part");
    let path = format!("{}/archive?format={extension}&kind=frame", path_of(job));
    let bar = output.bytes_bar("downloading", frames_bytes);
    let fetching = client.on_some_node(async |url| fetch(url, &path, &part, client, &bar).await);
    let fetched = tokio::select! {
        fetched = fetching => fetched,
        () = output.tell_progress("downloading", &bar) => Ok(0),
    };
    output.remove_bar(&bar);
    let size_bytes = match fetched {
        Ok(size_bytes) => size_bytes,
        Err(error) => {
            // Half an archive is of no use: no two are made alike.
            let _ = tokio::fs::remove_file(&part).await;
            return Err(error);
        }
    };
    tokio::fs::rename(&part, &target)
        .await
        .map_err(|error| CliError::file("cannot write", &target, error))?;
    output.note(&bytes(size_bytes));
    output.done(
        &json!({ "path": target, "size_bytes": size_bytes }),
        &target.display().to_string(),
    );
    Ok(())
}

/// A folder takes the file under its own name.
fn target(out: Option<&Path>, file_name: &str) -> PathBuf {
    match out {
        None => PathBuf::from(file_name),
        Some(folder) if folder.is_dir() => folder.join(file_name),
        Some(file) => file.to_owned(),
    }
}

/// The archive's size. Only an answer that came to its end is one.
async fn fetch(
    url: &str,
    path: &str,
    part: &Path,
    client: &Client,
    bar: &ProgressBar,
) -> Result<u64, AttemptError> {
    let cannot_write = |error: std::io::Error| CliError::file("cannot write", part, error);
    let request = client.request(Method::GET, url, path);
    let response = timeout(MAX_SILENCE, send(url, request))
        .await
        .map_err(|_| AttemptError::elsewhere(url, "did not answer in time"))??;
    let mut response = good_answer(url, response, true).await?;
    if let Some(length) = response.content_length() {
        bar.set_length(length);
    }
    bar.set_position(0);
    let mut file = tokio::fs::File::create(part).await.map_err(cannot_write)?;
    let mut size_bytes = 0;
    loop {
        match timeout(MAX_SILENCE, response.chunk()).await {
            Ok(Ok(Some(bytes))) => {
                file.write_all(&bytes).await.map_err(cannot_write)?;
                size_bytes += bytes.len() as u64;
                bar.set_position(size_bytes);
            }
            Ok(Ok(None)) => break,
            Ok(Err(error)) => {
                return Err(AttemptError::elsewhere(url, format!("broke off: {error}")));
            }
            Err(_) => return Err(AttemptError::elsewhere(url, "sent nothing more")),
        }
    }
    file.flush().await.map_err(cannot_write)?;
    file.sync_all().await.map_err(cannot_write)?;
    Ok(size_bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_folder_takes_the_archive_under_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert_eq!(target(Some(path), "cat.zip"), path.join("cat.zip"));
        let named = path.join("frames.zip");
        assert_eq!(target(Some(&named), "cat.zip"), named);
        assert_eq!(target(None, "cat.zip"), PathBuf::from("cat.zip"));
    }
}
