//! How a node comes to its farm: it makes one, joins one, or is a member already.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use ed25519_dalek::SigningKey;
use jiggablend_raft::{Action, Actor, Command, FarmId, JobLog, NewNode, NodeId, Roles};
use jiggablend_transfer::{DiscoveredFarm, FarmBeacon, Member, Mesh, Ticket};
use tokio::time::timeout;

use crate::admission::Admitted;
use crate::data_dir::{DataDir, KnownMember, Membership};

/// How long to listen for farms on the local network.
const DISCOVERY_TIME: Duration = Duration::from_secs(6);

/// The first node of a farm, always.
pub(super) const FIRST_NODE: NodeId = NodeId(1);

/// Joins the ticket's farm, or finds that this directory belongs to it already.
pub(super) async fn join_farm(
    data: &DataDir,
    mesh: &Mesh,
    ticket: &Ticket,
    name: &str,
) -> anyhow::Result<Membership> {
    let farm = FarmId(ticket.farm);
    if let Some(membership) = data.membership()? {
        ensure!(
            membership.farm == farm,
            "the data directory {} belongs to the farm '{}' ({}), the ticket to another one ({}); choose another directory with --data",
            data.root().display(),
            membership.farm_name,
            membership.farm.fingerprint(),
            farm.fingerprint(),
        );
        return Ok(membership);
    }
    // Refused before the ticket is spent.
    data.ensure_storage_is_of(farm)?;
    let answer = mesh.join(ticket, name).await?;
    let admitted = Admitted::decode(&answer)?;
    let membership = Membership {
        farm,
        farm_name: admitted.farm_name,
        node: admitted.node,
        introduced_by: admitted.members,
        has_log: false,
    };
    data.write_membership(&membership)?;
    Ok(membership)
}

/// Makes a farm of this node alone. Where an earlier start was cut short, goes on with its farm.
pub(super) async fn create_farm(
    data: &DataDir,
    log: &JobLog,
    mesh: &Mesh,
    farm_name: String,
    node_name: String,
) -> anyhow::Result<Membership> {
    let key = SigningKey::from_bytes(&rand::random());
    let public_key = key.verifying_key().to_bytes();
    let command = Command::new(
        Actor::Node(FIRST_NODE),
        Action::FarmCreated {
            farm: FarmId::of_public_key(&public_key),
            name: farm_name,
            public_key,
            secret_key: key.to_bytes(),
            first_node: NewNode {
                name: node_name,
                peer_id: mesh.peer_id().to_string(),
                addresses: addresses(mesh),
                roles: Roles {
                    voter: true,
                    runner: true,
                },
            },
        },
    );
    log.create_farm(command)
        .await
        .context("cannot make a new farm")?;
    let farm = log
        .read(|state| state.farm.clone())
        .context("the new farm is not in the job log")?;
    let membership = Membership {
        farm: farm.id,
        farm_name: farm.name,
        node: FIRST_NODE,
        introduced_by: Vec::new(),
        has_log: true,
    };
    data.write_membership(&membership)?;
    Ok(membership)
}

/// What to tell someone who wants to join and has no ticket.
pub(super) async fn describe_farms_nearby(mesh: &Mesh) -> String {
    let mut farms = mesh.discovered_farms();
    // Everyone who answers within the time is listed, not just the first.
    let _ = timeout(DISCOVERY_TIME, async {
        while farms.changed().await.is_ok() {}
    })
    .await;
    let found: Vec<DiscoveredFarm> = farms.borrow().clone();
    if found.is_empty() {
        return "no farm was found on this network; run `jiggablend node start` to make one, or ask for a ticket: `jiggablend cluster ticket` on a member makes one".to_owned();
    }
    let mut text = String::from(
        "farms on this network (ask for a ticket: `jiggablend cluster ticket` on a member makes one):\n",
    );
    for farm in found {
        let addresses: Vec<String> = farm.addresses.iter().map(ToString::to_string).collect();
        text.push_str(&format!(
            "  {}  fingerprint {}  at {}\n",
            farm.beacon.name,
            FarmId(farm.beacon.farm).fingerprint(),
            addresses.join(", ")
        ));
    }
    text
}

/// Until the log has arrived, the members that let this node in are all that it knows.
pub(super) fn introduced_members(membership: &Membership) -> Vec<Member> {
    membership
        .introduced_by
        .iter()
        .filter_map(known_member)
        .collect()
}

fn known_member(known: &KnownMember) -> Option<Member> {
    Some(Member {
        peer: known.peer_id.parse().ok()?,
        addresses: known
            .addresses
            .iter()
            .filter_map(|address| address.parse().ok())
            .collect(),
    })
}

pub(super) fn beacon(membership: &Membership) -> FarmBeacon {
    FarmBeacon {
        farm: membership.farm.0,
        name: membership.farm_name.clone(),
    }
}

/// Where this node's mesh can be dialled, as the job log writes it.
pub(super) fn addresses(mesh: &Mesh) -> Vec<String> {
    mesh.addresses().iter().map(ToString::to_string).collect()
}
