//! `job submit`: checks the scene file, makes the job, hands the file over.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use indicatif::ProgressBar;
use jiggablend_raft::{FileKind, JobId};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::{download, path_of, watch};
use crate::cli::CliError;
use crate::cli::api_types::Job;
use crate::cli::args::JobSubmitArgs;
use crate::cli::client::{AttemptError, Client, send, whole_body};
use crate::cli::output::{Output, bytes};

/// An upload that neither moves nor is answered for this long is tried on another node. After the
/// last byte the node copies the scene to others before it answers.
const MAX_SILENCE: Duration = Duration::from_secs(120);
const SILENCE_CHECK: Duration = Duration::from_secs(1);

/// A scene file that can be read and is a whole one.
struct Scene<'a> {
    path: &'a Path,
    name: String,
    size_bytes: u64,
}

pub async fn run(args: &JobSubmitArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let scene = check(&args.scene).await?;
    let job = JobId::new();
    create(job, args, &scene, client).await?;
    let uploaded = tokio::select! {
        uploaded = upload(job, &scene, client, output) => uploaded,
        _ = tokio::signal::ctrl_c() => Err(CliError::Interrupted),
    };
    if let Err(error) = uploaded {
        // The job has no scene and will never have one. Where even this fails it stays, without
        // harm, as one that awaits its scene.
        let _ = client.delete::<Value>(&path_of(job)).await;
        return Err(error);
    }
    let waits = args.wait || args.download.is_some();
    show(job, waits, client, output).await?;
    let ended = match waits {
        true => watch::run(job, client, output).await,
        false => Ok(()),
    };
    // A job that failed may have frames that are worth having.
    let is_over = matches!(ended, Ok(()) | Err(CliError::JobNotDone { .. }));
    if let Some(folder) = args.download.as_ref().filter(|_| is_over) {
        let kinds = [FileKind::Frame, FileKind::Video];
        let fetched = download::fetch(job, Some(folder), &kinds, client, output).await;
        return ended.and(fetched);
    }
    ended
}

/// Everything that can be said without the farm.
async fn check(path: &Path) -> Result<Scene<'_>, CliError> {
    let cannot_read = |error: std::io::Error| CliError::file("cannot read the scene", path, error);
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
    Ok(Scene {
        path,
        name: name.to_string_lossy().into_owned(),
        size_bytes: facts.len(),
    })
}

async fn create(
    job: JobId,
    args: &JobSubmitArgs,
    scene: &Scene<'_>,
    client: &Client,
) -> Result<(), CliError> {
    let stem = scene.name.strip_suffix(".blend").unwrap_or(&scene.name);
    let name = args.name.as_deref().unwrap_or(stem);
    let mut body = json!({"id": job, "name": name, "video": !args.no_video});
    if let Some(frames) = &args.frames {
        body["frames"] = json!(frames);
    }
    client.post::<Value>("/api/jobs", &body).await?;
    Ok(())
}

async fn upload(
    job: JobId,
    scene: &Scene<'_>,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    output.note(&format!(
        "uploading {}, {}",
        scene.name,
        bytes(scene.size_bytes)
    ));
    let bar = output.bytes_bar("uploading", scene.size_bytes);
    let uploaded = client
        .on_some_node(async |url| attempt(url, job, scene, client, &bar).await)
        .await;
    output.remove_bar(&bar);
    match uploaded {
        Ok(()) => Ok(()),
        // An earlier attempt arrived, its answer did not.
        Err(CliError::Problem(problem)) if problem.name() == "scene-is-there" => {
            let whole: Job = client.get_existing(&path_of(job)).await?;
            match whole.scene {
                Some(there) if there.size_bytes == scene.size_bytes => Ok(()),
                _ => Err(CliError::Problem(problem)),
            }
        }
        Err(error) => Err(error),
    }
}

async fn attempt(
    url: &str,
    job: JobId,
    scene: &Scene<'_>,
    client: &Client,
    bar: &ProgressBar,
) -> Result<(), AttemptError> {
    let sent = Arc::new(AtomicU64::new(0));
    let body = body_of(scene, Arc::clone(&sent), bar.clone()).await?;
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

/// The file's bytes, counted as they leave.
async fn body_of(
    scene: &Scene<'_>,
    sent: Arc<AtomicU64>,
    bar: ProgressBar,
) -> Result<Body, CliError> {
    let cannot_read =
        |error: std::io::Error| CliError::file("cannot read the scene", scene.path, error);
    let file = tokio::fs::File::open(scene.path)
        .await
        .map_err(cannot_read)?;
    let size_bytes = file.metadata().await.map_err(cannot_read)?.len();
    if size_bytes != scene.size_bytes {
        let reason = "it changed while it was being sent; submit it again";
        return Err(CliError::file("cannot submit", scene.path, reason));
    }
    bar.set_position(0);
    let counted = ReaderStream::new(file.take(size_bytes)).inspect(move |piece| {
        let length = piece.as_ref().map(|bytes| bytes.len() as u64).unwrap_or(0);
        bar.set_position(sent.fetch_add(length, Ordering::Relaxed) + length);
    });
    Ok(Body::wrap_stream(counted))
}

/// Returns when nothing has moved for [`MAX_SILENCE`].
async fn stalled(sent: &AtomicU64) {
    let mut seen = sent.load(Ordering::Relaxed);
    let mut moved_at = tokio::time::Instant::now();
    while moved_at.elapsed() < MAX_SILENCE {
        tokio::time::sleep(SILENCE_CHECK).await;
        let now = sent.load(Ordering::Relaxed);
        if now != seen {
            seen = now;
            moved_at = tokio::time::Instant::now();
        }
    }
}

/// The job's id and its page. With `--json`, the job; where it is waited for, the watch shows it.
async fn show(job: JobId, waits: bool, client: &Client, output: &Output) -> Result<(), CliError> {
    if !output.is_json() {
        output.line(&job.to_string());
        output.line(&format!("{}/#/jobs/{job}", client.current_url()));
    } else if !waits {
        let whole: Value = client.get_existing(&path_of(job)).await?;
        output.json(&whole);
    }
    Ok(())
}
