//! `job attempts`: every try at a job's tasks.

use std::collections::HashMap;

use jiggablend_raft::{JobId, NodeId, TimestampMs};
use serde::Deserialize;
use serde_json::Value;

use super::{path_of, tasks};
use crate::cli::CliError;
use crate::cli::api_types::{Attempt, Job, NodeList};
use crate::cli::args::TaskName;
use crate::cli::client::Client;
use crate::cli::output::{self, Output, Tone, Width, cell, duration, since, toned};

#[derive(Deserialize)]
struct AttemptList {
    attempts: Vec<Attempt>,
}

pub async fn run(
    job: JobId,
    name: TaskName,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let task = match name.frame.is_some() || name.video {
        true => Some(tasks::find(job, name, client).await?),
        false => None,
    };
    let path = match &task {
        Some(task) => format!("{}/tasks/{}/attempts", path_of(job), task.index),
        None => format!("{}/attempts", path_of(job)),
    };
    let answer: Value = client.get(&path).await?;
    let Some(list): Option<AttemptList> = output.shown(answer)? else {
        return Ok(());
    };
    let nodes: NodeList = client.get("/api/nodes").await?;
    let node_names: HashMap<NodeId, String> = nodes
        .nodes
        .into_iter()
        .map(|node| (node.id, node.name))
        .collect();
    let whole: Job = client.get(&path_of(job)).await?;
    let task_words: HashMap<u32, String> = whole
        .tasks
        .iter()
        .map(|task| (task.index, tasks::words(task)))
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
    for attempt in &list.attempts {
        let index = attempt.task.or(task.as_ref().map(|task| task.index));
        let words = index.and_then(|index| task_words.get(&index));
        let node = attempt.node.map(|node| match node_names.get(&node) {
            Some(name) => name.clone(),
            None => format!("node {node}"),
        });
        let why = attempt
            .failure
            .as_ref()
            .map(|failure| failure.message.as_str());
        table.add_row(vec![
            cell(words.map_or("-", String::as_str)),
            cell(attempt.epoch.to_string()),
            cell(node.as_deref().unwrap_or("-")),
            toned(&attempt.state, tone(&attempt.state)),
            cell(output::age(attempt.started_at_ms)),
            cell(took(attempt, TimestampMs::now())),
            cell(why.unwrap_or("-")),
        ]);
    }
    output.table(&table);
    Ok(())
}

fn tone(state: &str) -> Tone {
    match state {
        "done" => Tone::Good,
        "running" => Tone::Busy,
        "failed" | "lost" => Tone::Bad,
        _ => Tone::Plain,
    }
}

fn took(attempt: &Attempt, now: TimestampMs) -> String {
    let end = attempt.ended_at_ms.unwrap_or(now);
    duration(since(attempt.started_at_ms, end))
}
