//! What a node tells its owner when it is up: where the page is, how the next machine joins.

use std::time::Duration;

use jiggablend_raft::{Actor, JobLog, NodeId, Roles, RunnerFacts};
use jiggablend_web::{TicketMaker as _, TicketOrder};
use tokio::time::{sleep, timeout};
use tracing::info;

use crate::admission::FarmDoor;
use crate::data_dir::Membership;

/// The ticket that a first node prints is good for as long as it takes to walk to the next machine.
const FIRST_TICKET_TTL: Duration = Duration::from_secs(15 * 60);

/// A node has the farm's log within this time, or says what it waits for.
const PATIENCE_BEFORE_A_WORD: Duration = Duration::from_secs(5);

pub(super) struct Greeting<'a> {
    pub(super) json: bool,
    pub(super) membership: &'a Membership,
    pub(super) url: &'a str,
    pub(super) facts: RunnerFacts,
}

impl Greeting<'_> {
    /// Waits until this node is one of the farm, and says so. A new farm's door makes a ticket.
    pub(super) async fn say(&self, log: &JobLog, door: Option<&FarmDoor>) -> anyhow::Result<()> {
        wait_for_the_farm(log, self.membership.node).await;
        let join_command = match door {
            Some(door) => Some(self.join_command(door).await?),
            None => None,
        };
        if self.json {
            self.print_json(join_command);
        } else {
            self.print(join_command);
        }
        Ok(())
    }

    async fn join_command(&self, door: &FarmDoor) -> anyhow::Result<String> {
        let roles = Roles {
            voter: true,
            runner: true,
        };
        let actor = Actor::Operator(self.membership.node);
        let order = TicketOrder {
            secret: rand::random(),
            roles,
            ttl: FIRST_TICKET_TTL,
            reusable: false,
        };
        let ticket = door.make(actor, None, order).await?;
        Ok(format!("jiggablend node join {ticket}"))
    }

    fn print_json(&self, join_command: Option<String>) {
        let greeting = serde_json::json!({
            "node": self.membership.node.0,
            "farm": self.membership.farm_name,
            "fingerprint": self.membership.farm.fingerprint(),
            "web": self.url,
            "join_command": join_command,
            "blender_version": self.facts.blender_version,
            "why_not": self.facts.why_not,
        });
        println!("{greeting}");
    }

    fn print(&self, join_command: Option<String>) {
        println!(
            "node {} of the farm '{}' ({})",
            self.membership.node,
            self.membership.farm_name,
            self.membership.farm.fingerprint()
        );
        println!("web page: {}", self.url);
        match (&self.facts.blender_version, &self.facts.why_not) {
            (Some(version), _) => println!("renders with Blender {version}"),
            (None, Some(why_not)) => println!("does not render: {why_not}"),
            (None, None) => println!("does not render"),
        }
        if let Some(command) = join_command {
            println!("on the next machine, within 15 minutes:\n\n  {command}\n");
        }
    }
}

/// Waits until this node's state is up to date with a leader and names this node. Says so where
/// that takes long.
async fn wait_for_the_farm(log: &JobLog, node: NodeId) {
    let ready = async {
        loop {
            let is_there = log.read_barrier().await.is_ok()
                && log.read(|state| state.nodes.contains_key(&node));
            if is_there {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::pin!(ready);
    if timeout(PATIENCE_BEFORE_A_WORD, &mut ready).await.is_err() {
        info!("waiting for a majority of the farm's voters; this node goes on trying");
        ready.await;
    }
}
