//! `cluster status`; `cluster ticket` is [`ticket create`](super::admin::new_ticket).

use serde_json::{Value, json};

use super::CliError;
use super::admin::new_ticket;
use super::api_types::{Farm, Node, NodeList, Vote};
use super::args::{ClusterCommand, Group};
use super::client::Client;
use super::output::{self, Output, Tone, Width, cell, toned};

/// Does one `cluster` command.
pub async fn run(group: &Group<ClusterCommand>, output: &Output) -> Result<(), CliError> {
    let client = Client::connect(&group.client, output)?;
    match &group.command {
        ClusterCommand::Status => status(&client, output).await,
        ClusterCommand::Ticket(args) => new_ticket(args, &client, output).await,
    }
}

async fn status(client: &Client, output: &Output) -> Result<(), CliError> {
    let farm: Value = client.get("/api/farm").await?;
    let nodes: Value = client.get("/api/nodes").await?;
    if output.is_json() {
        output.json(&json!({"farm": farm, "nodes": nodes["nodes"]}));
        return Ok(());
    }
    let cannot_understand =
        |error| CliError::Refused(format!("cannot understand the farm's answer: {error}"));
    let farm: Farm = serde_json::from_value(farm).map_err(cannot_understand)?;
    let nodes: NodeList = serde_json::from_value(nodes).map_err(cannot_understand)?;
    for line in lines(&farm, &nodes.nodes) {
        output.line(&line);
    }
    output.line("");
    let mut table = output::table(&[
        ("id", Width::Fixed),
        ("name", Width::Flexible),
        ("vote", Width::Fixed),
        ("there", Width::Fixed),
        ("blender", Width::Fixed),
        ("slots", Width::Fixed),
        ("works on", Width::Flexible),
        ("web", Width::Flexible),
    ]);
    for node in &nodes.nodes {
        let is_there = is_there(node);
        table.add_row(vec![
            cell(node.id.to_string()),
            cell(&node.name),
            cell(vote_word(node)),
            toned(
                yes_or_no(is_there),
                if is_there { Tone::Good } else { Tone::Bad },
            ),
            cell(node.runner.blender_version.as_deref().unwrap_or("-")),
            cell(node.runner.slots.to_string()),
            cell(works_on(node)),
            cell(node.web_address.as_deref().unwrap_or("-")),
        ]);
    }
    output.table(&table);
    Ok(())
}

fn lines(farm: &Farm, nodes: &[Node]) -> Vec<String> {
    let name = |id| {
        nodes
            .iter()
            .find(|node| node.id == id)
            .map(|node| format!("{} (node {id})", node.name))
            .unwrap_or_else(|| format!("node {id}"))
    };
    let names = |ids: &[_]| match ids.is_empty() {
        true => "none".to_owned(),
        false => ids
            .iter()
            .map(|id| name(*id))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let leader = farm
        .leader
        .map(name)
        .unwrap_or_else(|| "none now".to_owned());
    let voters_there = farm
        .voters
        .iter()
        .filter(|id| nodes.iter().any(|node| node.id == **id && is_there(node)))
        .count();
    vec![
        format!("farm      {} ({})", farm.name, farm.fingerprint),
        format!("leader    {leader}, term {}", farm.term),
        format!("voters    {}", names(&farm.voters)),
        format!("standbys  {}", names(&farm.standbys)),
        format!("safety    {}", safety(farm.voters.len(), voters_there)),
    ]
}

/// A node that answers us or leads need not be connected to itself.
fn is_there(node: &Node) -> bool {
    node.connected || node.is_this_node || node.is_leader
}

/// What the next loss of a voter would mean, in words. A farm goes on while more than half of its
/// voters are there.
fn safety(voters: usize, there: usize) -> String {
    let needed = voters / 2 + 1;
    if there < needed {
        return format!(
            "the farm stands still: {there} of {voters} voters are there, it needs {needed}; start the others again"
        );
    }
    match there - needed {
        0 if voters == 1 => {
            "one more loss stops the farm: it has a single voter; let two more nodes join"
                .to_owned()
        }
        0 => format!(
            "one more loss stops the farm: {there} of {voters} voters are there, it needs {needed}"
        ),
        1 => "the farm survives the loss of any one voter".to_owned(),
        more => format!("the farm survives the loss of any {more} voters"),
    }
}

fn vote_word(node: &Node) -> &'static str {
    match (node.is_leader, node.vote) {
        (true, _) => "leader",
        (false, Vote::Voter) => "voter",
        (false, Vote::Standby) => "standby",
        (false, Vote::None) => "-",
    }
}

fn yes_or_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

/// What a node is at, or why it does nothing.
pub fn works_on(node: &Node) -> String {
    let words: Vec<String> = node
        .working_on
        .iter()
        .map(|work| {
            let what = match work.frame {
                Some(frame) => format!("frame {frame}"),
                None => "video".to_owned(),
            };
            match work.fraction {
                Some(fraction) => format!("{what} {:.0} %", fraction * 100.0),
                None => what,
            }
        })
        .collect();
    match (words.is_empty(), &node.runner.why_not) {
        (false, _) => words.join(", "),
        (true, Some(why)) => format!("renders nothing: {why}"),
        (true, None) => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_next_loss_means_is_said_in_words() {
        assert!(safety(1, 1).contains("single voter"));
        assert!(safety(3, 3).contains("survives the loss of any one"));
        assert!(safety(3, 2).starts_with("one more loss stops the farm"));
        assert!(safety(3, 1).contains("stands still"));
        assert!(safety(5, 5).contains("any 2 voters"));
        assert!(safety(5, 3).starts_with("one more loss stops the farm"));
        // Two voters are no safer than one: both are needed.
        assert!(safety(2, 2).starts_with("one more loss stops the farm"));
    }
}
