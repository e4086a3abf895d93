//! `job attempts`: every try at a job's tasks.

use std::collections::HashMap;

use jiggablend_raft::{JobId, NodeId, TimestampMs};
use serde_json::{Value, json};

use super::{path_of, tasks};
use crate::cli::CliError;
use crate::cli::api_types::{Attempt, NodeList};
use crate::cli::args::TaskName;
use crate::cli::client::Client;
use crate::cli::output::{self, Output, Tone, Width, cell, duration, since, toned};

pub async fn run(
    job: JobId,
    name: TaskName,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let path = match name.frame.is_some() || name.video {
        true => {
            let task = tasks::find(job, name, client).await?;
            format!("{}/tasks/{}/attempts", path_of(job), task.index)
        }
        false => format!("{}/attempts", path_of(job)),
    };
    let attempts: Vec<Value> = client.get_pages(&path, "attempts").await?;
    let answer = json!({ "attempts": attempts });
    let Some(mut list): Option<HashMap<String, Vec<Attempt>>> = output.shown(answer)? else {
        return Ok(());
    };
    let attempts = list.remove("attempts").unwrap_or_default();
    let nodes: NodeList = client.get("/api/nodes").await?;
    let node_names: HashMap<NodeId, String> = nodes
        .nodes
        .into_iter()
        .map(|node| (node.id, node.name))
        .collect();
    let mut table = output::table(&[
        ("task", Width::Fixed),
        ("attempt", Width::Fixed),
        ("node", Width::Flexible),
        ("state", Width::Fixed),
        ("began", Width::Fixed),
        ("took", Width::Fixed),
        ("why", Width::Flexible),
    ]);
    for attempt in &attempts {
        let task = match attempt.frame {
            Some(frame) => format!("frame {frame}"),
            None => "video".to_owned(),
        };
        let node = match node_names.get(&attempt.node) {
            Some(name) => name.clone(),
            None => format!("node {}", attempt.node),
        };
        let (state, tone) = outcome_words(&attempt.outcome);
        let failure = attempt.failure.as_ref();
        let why = failure
            .map(|failure| failure.message.as_str())
            .or(attempt.reason.as_deref());
        table.add_row(vec![
            cell(task),
            cell(attempt.epoch.to_string()),
            cell(node),
            toned(state, tone),
            cell(output::age(attempt.leased_at_ms)),
            cell(took(attempt, TimestampMs::now())),
            cell(why.unwrap_or("-")),
        ]);
    }
    output.table(&table);
    Ok(())
}

fn outcome_words(outcome: &str) -> (&str, Tone) {
    match outcome {
        "running" => ("runs", Tone::Busy),
        "committed" => ("done", Tone::Good),
        "failed" => ("failed", Tone::Bad),
        "lease_ended" => ("lost", Tone::Bad),
        "cancelled" => ("cancelled", Tone::Plain),
        other => (other, Tone::Plain),
    }
}

fn took(attempt: &Attempt, now: TimestampMs) -> String {
    let end = attempt.ended_at_ms.unwrap_or(now);
    duration(since(attempt.leased_at_ms, end))
}
