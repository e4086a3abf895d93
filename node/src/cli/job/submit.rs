//! `job submit`: checks the scene file, makes the job, hands the file over.

use jiggablend_raft::{FileKind, JobId};
use serde_json::{Value, json};

use super::upload::{Scene, upload};
use super::{download, path_of, watch};
use crate::cli::CliError;
use crate::cli::api_types::Job;
use crate::cli::args::JobSubmitArgs;
use crate::cli::client::Client;
use crate::cli::output::Output;

pub async fn run(args: &JobSubmitArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let scene = Scene::check(&args.scene).await?;
    let job = create(args, &scene, client).await?;
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

async fn create(
    args: &JobSubmitArgs,
    scene: &Scene<'_>,
    client: &Client,
) -> Result<JobId, CliError> {
    let stem = scene.name.strip_suffix(".blend").unwrap_or(&scene.name);
    let name = args.name.as_deref().unwrap_or(stem);
    let mut body = json!({"name": name, "video": !args.no_video});
    if let Some(frames) = &args.frames {
        body["frames"] = json!(frames);
    }
    let made: Job = client.create("/api/jobs", &body).await?;
    Ok(made.summary.id)
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
