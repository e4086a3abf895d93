//! The scene file on this machine.

use std::io::SeekFrom;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use futures::StreamExt;
use indicatif::ProgressBar;
use reqwest::Body;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use crate::cli::CliError;

const READ_BYTES: usize = 256 * 1024;

/// A scene file that can be read and is a whole one.
pub struct Scene<'a> {
    pub path: &'a Path,
    pub name: String,
    pub size_bytes: u64,
    modified_at: Option<SystemTime>,
}

impl<'a> Scene<'a> {
    /// Everything that can be said without the farm.
    pub async fn check(path: &'a Path) -> Result<Self, CliError> {
        let cannot_read =
            |error: std::io::Error| CliError::file("cannot read the scene", path, error);
        let file = tokio::fs::File::open(path).await.map_err(cannot_read)?;
        let facts = file.metadata().await.map_err(cannot_read)?;
        if !facts.is_file() {
            return Err(CliError::file("cannot read the scene", path, "not a file"));
        }
        let file = file.into_std().await;
        tokio::task::spawn_blocking(move || jiggablend_web::check_scene(file))
            .await
            .map_err(|error| CliError::file("cannot check the scene", path, error))?
            .map_err(|error| CliError::file("cannot submit", path, error))?;
        let name = path.file_name().unwrap_or(path.as_os_str());
        Ok(Self {
            path,
            name: name.to_string_lossy().into_owned(),
            size_bytes: facts.len(),
            modified_at: facts.modified().ok(),
        })
    }

    /// The file's bytes from `start` on, counted as they leave. An error where the file is another
    /// one by now: pieces of two files make no scene.
    pub async fn body_from(
        &self,
        start: u64,
        sent: Arc<AtomicU64>,
        bar: ProgressBar,
    ) -> Result<Body, CliError> {
        let cannot_read =
            |error: std::io::Error| CliError::file("cannot read the scene", self.path, error);
        let mut file = tokio::fs::File::open(self.path)
            .await
            .map_err(cannot_read)?;
        let facts = file.metadata().await.map_err(cannot_read)?;
        if facts.len() != self.size_bytes || facts.modified().ok() != self.modified_at {
            let reason = "it changed while it was being sent; submit it again";
            return Err(CliError::file("cannot submit", self.path, reason));
        }
        file.seek(SeekFrom::Start(start))
            .await
            .map_err(cannot_read)?;
        bar.set_position(start);
        let rest = file.take(self.size_bytes.saturating_sub(start));
        let counted = ReaderStream::with_capacity(rest, READ_BYTES).inspect(move |piece| {
            let length = piece.as_ref().map(|bytes| bytes.len() as u64).unwrap_or(0);
            bar.set_position(start + sent.fetch_add(length, Ordering::Relaxed) + length);
        });
        Ok(Body::wrap_stream(counted))
    }
}
