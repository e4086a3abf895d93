//! `node status`: this machine's node and nobody else's. `node remove`: any of the farm's.

use std::path::Path;

use serde_json::{Value, json};

use super::CliError;
use super::api_types::{Farm, Node, NodeList, RunnerList, Vote};
use super::args::{NodeRemoveArgs, NodeStatusArgs};
use super::client::Client;
use super::names::{Names, pick};
use super::output::{Output, bytes};

pub async fn status(args: &NodeStatusArgs, output: &Output) -> Result<(), CliError> {
    let client = Client::connect_to_one(&args.client, output)?;
    let farm: Value = client.get("/api/farm").await?;
    let nodes: Value = client.get("/api/nodes").await?;
    let this_node = nodes["nodes"]
        .as_array()
        .and_then(|nodes| nodes.iter().find(|node| node["is_this_node"] == true))
        .cloned()
        .unwrap_or_default();
    let not_ready = client.not_ready().await?;
    // With --url the node may be on another machine.
    let disk = match args.client.urls.is_empty() {
        true => disk_of(&args.client.data.path()),
        false => None,
    };
    if output.is_json() {
        let disk = disk
            .map(|disk| json!({"free_bytes": disk.free_bytes, "total_bytes": disk.total_bytes}));
        output.json(&json!({
            "url": client.current_url(), "farm": farm, "node": this_node,
            "ready": not_ready.is_none(), "why_not_ready": not_ready, "disk": disk,
        }));
        return Ok(());
    }
    let cannot_understand =
        |error| CliError::Refused(format!("cannot understand the node's answer: {error}"));
    let farm: Farm = serde_json::from_value(farm).map_err(cannot_understand)?;
    let node: Node = serde_json::from_value(this_node).map_err(cannot_understand)?;
    for line in lines(&client.current_url(), &farm, &node, not_ready, disk) {
        output.line(&line);
    }
    Ok(())
}

pub async fn remove(args: &NodeRemoveArgs, output: &Output) -> Result<(), CliError> {
    let client = Client::connect(&args.client, output)?;
    let mut nodes = client.get::<NodeList>("/api/nodes").await?.nodes;
    // Those that speak only HTTP may be in this list alone.
    let runners: RunnerList = client.get("/api/admin/runners").await?;
    for runner in runners.runners {
        if nodes.iter().all(|node| node.id != runner.node.id) {
            nodes.push(runner.node);
        }
    }
    let names = |node: &Node| Names {
        id: node.id.to_string(),
        others: vec![node.name.clone()],
    };
    let node = pick(
        &nodes,
        &args.node,
        names,
        "node",
        "jiggablend cluster status",
    )?;
    client.remove(&format!("/api/nodes/{}", node.id)).await?;
    let words = format!("node {} ({}) is no longer in the farm", node.id, node.name);
    output.done(&json!({ "removed": node.id }), &words);
    Ok(())
}

struct Disk {
    free_bytes: u64,
    total_bytes: u64,
}

/// `None` where it cannot be told.
fn disk_of(folder: &Path) -> Option<Disk> {
    let facts = nix::sys::statvfs::statvfs(folder).ok()?;
    let block_bytes = facts.fragment_size();
    Some(Disk {
        free_bytes: facts.blocks_available() * block_bytes,
        total_bytes: facts.blocks() * block_bytes,
    })
}

fn lines(
    url: &str,
    farm: &Farm,
    node: &Node,
    not_ready: Option<String>,
    disk: Option<Disk>,
) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(why) = not_ready {
        lines.push(format!("not ready: {why}"));
    }
    let leader = match (node.is_leader, farm.leader) {
        (true, _) => "the leader".to_owned(),
        (false, Some(leader)) => format!("not the leader (node {leader} is)"),
        (false, None) => "not the leader (there is none now)".to_owned(),
    };
    lines.push(format!(
        "node      {} (node {}), {leader}",
        node.name, node.id
    ));
    lines.push(format!("farm      {} ({})", farm.name, farm.fingerprint));
    lines.push(format!("web       {url}"));
    lines.push(format!("version   {}", node.version));
    lines.push(format!("votes     {}", vote_words(node.vote)));
    let runner = &node.runner;
    lines.push(match (&runner.blender_version, &runner.why_not) {
        (Some(version), None) => format!(
            "blender   {version}, {} at once, {}",
            frames(runner.slots),
            devices(node)
        ),
        (Some(version), Some(why)) => format!("blender   {version}, but it renders nothing: {why}"),
        (None, Some(why)) => format!("blender   none: {why}"),
        (None, None) => "blender   none; install Blender or name one with --blender".to_owned(),
    });
    lines.push(match &runner.ffmpeg {
        Some(ffmpeg) => format!("ffmpeg    {ffmpeg}"),
        None => "ffmpeg    none; this node makes no videos".to_owned(),
    });
    lines.push(format!(
        "machine   {} threads, {} memory",
        runner.cpu_threads,
        bytes(runner.memory_bytes)
    ));
    if let Some(disk) = disk {
        lines.push(format!(
            "disk      {} free of {}",
            bytes(disk.free_bytes),
            bytes(disk.total_bytes)
        ));
    }
    lines
}

fn frames(count: u32) -> String {
    match count {
        1 => "1 frame".to_owned(),
        more => format!("{more} frames"),
    }
}

fn devices(node: &Node) -> String {
    let devices = &node.runner.devices;
    let names: Vec<String> = devices
        .iter()
        .map(|device| format!("{} {}", device.kind, device.name))
        .collect();
    match names.is_empty() {
        true => "CPU".to_owned(),
        false => names.join(", "),
    }
}

fn vote_words(vote: Vote) -> &'static str {
    match vote {
        Vote::Voter => "yes",
        Vote::Standby => "no, it stands by",
        Vote::None => "no",
    }
}
