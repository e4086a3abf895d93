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
                leadership_of(&metrics, applied_index, timeouts.election().1)
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
fn leadership_of(metrics: &Metrics, applied_index: u64, lease: Duration) -> Leadership {
    let leads = metrics.state == ServerState::Leader && metrics.running_state.is_ok();
    let is_alone = metrics.membership_config.membership().voter_ids().count() == 1;
    let is_confirmed = is_alone
        || metrics
            .last_quorum_acked
            .is_some_and(|acked| acked.into_inner().elapsed() <= lease);
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
