//! `job show`.

use jiggablend_raft::JobId;
use serde_json::Value;

use super::path_of;
use super::view::JobView;
use crate::cli::CliError;
use crate::cli::api_types::{Job, state_word};
use crate::cli::client::Client;
use crate::cli::output::{Output, about, age, bytes, duration, since, utc_time};

pub async fn run(job: JobId, client: &Client, output: &Output) -> Result<(), CliError> {
    let raw: Value = client.get(&path_of(job)).await?;
    if output.is_json() {
        output.json(&raw);
        return Ok(());
    }
    let job: Job = serde_json::from_value(raw)
        .map_err(|error| CliError::Refused(format!("cannot understand the job: {error}")))?;
    for line in lines(job) {
        output.line(&line);
    }
    Ok(())
}

/// The job in words, what went wrong first.
fn lines(job: Job) -> Vec<String> {
    let scene = job.scene.clone();
    let facts = job.scene_facts.clone();
    let view = JobView::new(job);
    let summary = &view.summary;
    let mut lines = Vec::new();
    if let Some(why) = view.failure_in_short() {
        lines.push(format!("failed: {why}"));
    }
    lines.extend(view.failures(|_| true));
    lines.push(format!("id        {}", summary.id));
    lines.push(format!("name      {}", summary.name));
    lines.push(format!("state     {}", state_word(summary.state)));
    if let Some(what) = &summary.waiting_for {
        lines.push(format!("waits for {what}"));
    }
    let tally = view.tally();
    if tally.total > 0 {
        let failed = match tally.failed {
            0 => String::new(),
            failed => format!(", {failed} failed or cancelled"),
        };
        lines.push(format!(
            "frames    {}: {} of {} done, {} leased{failed}",
            summary.frames.as_deref().unwrap_or("-"),
            tally.done,
            tally.total,
            tally.leased
        ));
    }
    lines.push(format!("owner     {}", summary.owner.name));
    lines.push(format!(
        "created   {} ({} ago)",
        utc_time(summary.created_at_ms),
        age(summary.created_at_ms)
    ));
    if let (Some(started), Some(finished)) = (summary.started_at_ms, summary.finished_at_ms) {
        lines.push(format!("took      {}", duration(since(started, finished))));
    } else if let Some(remaining) = view.remaining_time() {
        lines.push(format!("left      about {}", about(remaining)));
    }
    if let Some(scene) = scene {
        lines.push(format!(
            "scene     {}, {}",
            scene.name,
            bytes(scene.size_bytes)
        ));
    }
    if let Some(facts) = facts {
        lines.push(format!(
            "renders   {}x{} with {}, {} frames a second, Blender {}",
            facts.width_px, facts.height_px, facts.engine, facts.fps, facts.blender_version
        ));
    }
    for running in view.running() {
        // How far it is, or whether it has begun, only live events tell.
        lines.push(format!(
            "now       {} leased to {}",
            running.what, running.node
        ));
    }
    lines
}
