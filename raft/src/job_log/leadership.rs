//! Who leads and how far the log has come, as this node sees it.

use std::time::Duration;

use openraft::errors::Fatal;
use openraft::rt::{Instant as _, WatchReceiver as _};
use openraft::{RaftMetrics, ServerState};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::group::Current;
use super::{Inner, Leadership, LogStatus, Raft};
use crate::TimeoutProfile;
use crate::consensus::{Fault, TypeConfig};
use crate::machine::Machine;

type Metrics = RaftMetrics<TypeConfig>;

/// Starts the task that follows openraft's metrics, and gives what it makes of them.
///
/// The same task latches the fault that ends the Raft core.
pub(super) fn watch(
    raft: &Raft,
    machine: &Machine,
    timeouts: TimeoutProfile,
    fault: &Fault,
    tasks: &mut JoinSet<()>,
) -> watch::Receiver<Leadership> {
    let mut metrics = raft.metrics();
    let mut applied = machine.applied_index();
    let fault = fault.clone();
    let (said, leadership) = watch::channel(Leadership::default());
    tasks.spawn(async move {
        loop {
            let seen = {
                let metrics = metrics.borrow_and_update();
                let applied_index = *applied.borrow_and_update();
                note_end(&metrics, &fault);
                leadership_of(&metrics, applied_index, timeouts.confirmation())
            };
            said.send_if_modified(|current| {
                let is_new = *current != seen;
                if is_new {
                    tracing::info!(term = seen.term, leader = ?seen.leader, is_self = seen.is_self, "leadership");
                    *current = seen;
                }
                is_new
            });
            // The tick notices a leader whose quorum went silent: nothing changes then.
            tokio::select! {
                changed = metrics.changed() => if changed.is_err() { return },
                _ = applied.changed(), if !seen.is_self => {}
                () = tokio::time::sleep(timeouts.heartbeat()) => {}
            }
        }
    });
    leadership
}

/// This node leads when a quorum has confirmed it lately and its state has everything that
/// earlier leaders acknowledged, which is so once an entry of its own term is applied.
fn leadership_of(metrics: &Metrics, applied_index: u64, window: Duration) -> Leadership {
    let leads = metrics.state == ServerState::Leader && metrics.running_state.is_ok();
    let is_alone = metrics.membership_config.membership().voter_ids().count() == 1;
    let is_confirmed = is_alone
        || metrics
            .last_quorum_acked
            .is_some_and(|acked| acked.into_inner().elapsed() <= window);
    let has_caught_up = metrics.last_applied.is_some_and(|applied| {
        applied.leader_id.term == metrics.current_term && applied_index >= applied.index
    });
    Leadership {
        term: metrics.current_term,
        leader: metrics.current_leader,
        is_self: leads && is_confirmed && has_caught_up,
    }
}

fn note_end(metrics: &Metrics, fault: &Fault) {
    match &metrics.running_state {
        Ok(()) | Err(Fatal::Stopped) => {}
        Err(fatal) => fault.set(|| fatal.to_string()),
    }
}

pub(super) fn status(inner: &Inner) -> LogStatus {
    let metrics = inner.raft.metrics().borrow_watched().clone();
    let group = Current::of(&metrics.membership_config);
    LogStatus {
        node: inner.config.node,
        term: metrics.current_term,
        leader: metrics.current_leader,
        last_log_index: metrics.last_log_index.unwrap_or_default(),
        applied_index: *inner.machine.applied_index().borrow(),
        projected_index: inner.projected_index(),
        projection_trouble: inner.projection_trouble(),
        snapshot_index: metrics.snapshot.map_or(0, |log_id| log_id.index),
        standbys: group.all.difference(&group.voters).copied().collect(),
        voters: group.voters,
        is_joint: group.is_joint,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use openraft::metrics::SerdeInstant;
    use openraft::{Membership, RaftMetrics};

    use super::*;
    use crate::NodeId;
    use crate::consensus::{LogId, Member, StoredMembership};

    type Now = openraft::type_config::alias::InstantOf<TypeConfig>;

    /// A leader of three whose quorum answered `ago`.
    fn leader_confirmed(ago: Duration) -> Metrics {
        let node_id = NodeId(1);
        let leader = openraft::impls::leader_id_adv::LeaderId { term: 2, node_id };
        let members = BTreeMap::from([1, 2, 3].map(|id| (NodeId(id), Member::default())));
        let voters: BTreeSet<NodeId> = members.keys().copied().collect();
        let membership = Membership::new(vec![voters], members).unwrap();
        let mut metrics = RaftMetrics::new_initial(node_id);
        metrics.current_term = 2;
        metrics.state = ServerState::Leader;
        metrics.current_leader = Some(node_id);
        metrics.last_applied = Some(LogId::new(leader, 7));
        metrics.membership_config = Arc::new(StoredMembership::new(None, membership));
        metrics.last_quorum_acked = Some(SerdeInstant::new(Now::now() - ago));
        metrics
    }

    #[test]
    fn a_late_heartbeat_ends_no_leadership_and_a_silent_quorum_does() {
        for timeouts in [TimeoutProfile::Lan, TimeoutProfile::Wan] {
            let longest_election = timeouts.election().1;
            let leads_after = |elections| {
                let metrics = leader_confirmed(longest_election * elections);
                leadership_of(&metrics, 7, timeouts.confirmation()).is_self
            };
            assert!(leads_after(0));
            assert!(leads_after(2));
            assert!(!leads_after(4));
        }
    }

    #[test]
    fn a_leader_whose_state_is_behind_does_not_lead_yet() {
        let metrics = leader_confirmed(Duration::ZERO);
        let window = TimeoutProfile::Lan.confirmation();
        assert!(!leadership_of(&metrics, 6, window).is_self);
        assert!(leadership_of(&metrics, 7, window).is_self);
    }
}
