//! Hands a scene file over: in pieces that can be gone on with after a break where the farm
//! speaks tus ([`tus`]), at once where it does not ([`multipart`]).

mod multipart;
mod scene;
mod tus;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiggablend_raft::JobId;

pub use scene::Scene;

use super::path_of;
use crate::cli::CliError;
use crate::cli::api_types::Job;
use crate::cli::client::Client;
use crate::cli::output::{Output, bytes};

/// An upload that neither moves nor is answered for this long is tried on another node. After the
/// last byte the node copies the scene to others before it answers.
const MAX_SILENCE: Duration = Duration::from_secs(120);
const SILENCE_CHECK: Duration = Duration::from_secs(1);

/// Uploads the scene as the job's, over as many nodes and attempts as it takes.
pub async fn upload(
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
    let max_bytes = tus::discover(job, client).await?;
    if max_bytes.is_some_and(|max_bytes| scene.size_bytes > max_bytes) {
        let max = bytes(max_bytes.unwrap_or_default());
        let reason = format!(
            "the farm takes files of at most {max}; make it smaller, or let the farm's owner raise that"
        );
        return Err(CliError::file("cannot submit", scene.path, reason));
    }
    let bar = output.bytes_bar("uploading", scene.size_bytes);
    let sending = async {
        match max_bytes {
            Some(_) => tus::send_pieces(job, scene, client, &bar).await,
            None => multipart::send_whole(job, scene, client, &bar).await,
        }
    };
    let uploaded = tokio::select! {
        uploaded = sending => uploaded,
        () = output.tell_progress("uploading", &bar) => Ok(()),
    };
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

/// Returns when nothing has moved for [`MAX_SILENCE`].
async fn stalled(sent: &Arc<AtomicU64>) {
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
