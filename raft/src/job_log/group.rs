//! Who votes: making the first group, and changing it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::errors::{InitializeError, RaftError};
use openraft::rt::WatchReceiver as _;

use super::{Inner, JobLogError, ProposeError};
use crate::NodeId;
use crate::consensus::{Member, StoredMembership};

/// For a new voter to catch up and the group to agree.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes a group of this node alone, unless its log has entries.
pub(super) async fn create(inner: &Inner) -> Result<(), ProposeError> {
    if !inner.log_store.is_pristine() {
        return Ok(());
    }
    let this_node = Member {
        peer_id: inner.config.peer_id.clone(),
    };
    let members = BTreeMap::from([(inner.config.node, this_node)]);
    match inner.raft.initialize(members).await {
        Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
        Err(error) => Err(ProposeError::Stopped(error.to_string())),
    }
}

pub(super) async fn set(
    inner: &Inner,
    voters: BTreeSet<NodeId>,
    standbys: BTreeSet<NodeId>,
) -> Result<(), JobLogError> {
    let _one_at_a_time = inner.group_change.lock().await;
    match tokio::time::timeout(PATIENCE, change(inner, voters, standbys)).await {
        Ok(changed) => changed,
        Err(_) => Err(JobLogError::Membership(format!(
            "it took longer than {} s; are the new voters up?",
            PATIENCE.as_secs()
        ))),
    }
}

async fn change(
    inner: &Inner,
    voters: BTreeSet<NodeId>,
    standbys: BTreeSet<NodeId>,
) -> Result<(), JobLogError> {
    if voters.is_empty() {
        return Err(JobLogError::Membership("a group needs a voter".into()));
    }
    let failed = |error: &dyn std::fmt::Display| JobLogError::Membership(error.to_string());
    let wanted: BTreeSet<NodeId> = voters.union(&standbys).copied().collect();
    for node in wanted.difference(&current(inner).all) {
        let member = member(inner, *node)?;
        // A voter that has caught up before it votes costs the others no wait.
        let until_caught_up = voters.contains(node);
        inner
            .raft
            .add_learner(*node, member, until_caught_up)
            .await
            .map_err(|error| failed(&error))?;
    }
    // A change that was cut short left a joint configuration: it needs a majority of the old
    // voters as well, until it is finished, which openraft does on the way to these voters.
    let now = current(inner);
    if now.is_joint || now.voters != voters {
        inner
            .raft
            .change_membership(ChangeMembers::ReplaceAllVoters(voters), true)
            .await
            .map_err(|error| failed(&error))?;
    }
    let gone: BTreeSet<NodeId> = current(inner).all.difference(&wanted).copied().collect();
    if !gone.is_empty() {
        inner
            .raft
            .change_membership(ChangeMembers::RemoveNodes(gone), false)
            .await
            .map_err(|error| failed(&error))?;
    }
    Ok(())
}

/// The Raft group as its newest configuration has it, committed or not.
pub(super) struct Current {
    /// Of a joint configuration, those that it leads to.
    pub(super) voters: BTreeSet<NodeId>,
    pub(super) all: BTreeSet<NodeId>,
    pub(super) is_joint: bool,
}

impl Current {
    pub(super) fn of(membership: &StoredMembership) -> Self {
        let configurations = membership.get_joint_config();
        Self {
            voters: configurations.last().cloned().unwrap_or_default(),
            all: membership.nodes().map(|(id, _)| *id).collect(),
            is_joint: configurations.len() > 1,
        }
    }
}

fn current(inner: &Inner) -> Current {
    Current::of(&inner.raft.metrics().borrow_watched().membership_config)
}

fn member(inner: &Inner, node: NodeId) -> Result<Member, JobLogError> {
    inner.machine.read(|state| {
        let known = state.nodes.get(&node).filter(|known| !known.removed);
        match known.and_then(|known| known.peer_id()) {
            Some(peer_id) => Ok(Member {
                peer_id: peer_id.to_owned(),
            }),
            None => Err(JobLogError::Membership(format!(
                "node {node} is no member of the farm's mesh"
            ))),
        }
    })
}
