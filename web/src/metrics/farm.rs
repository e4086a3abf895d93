//! The farm as this node's log has it, and what the node itself keeps and does.

use std::sync::atomic::AtomicU64;

use jiggablend_raft::{JobState, State, TaskCounts};
use nix::sys::statvfs::statvfs;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::app::App;

type Value = Gauge<u64, AtomicU64>;
type ByLabel = Family<[(&'static str, &'static str); 1], Value>;

pub(super) fn register(app: &App, registry: &mut Registry) {
    let counts = app.log.read(Counts::of);
    register_work(&counts, registry);
    register_log(app, registry);
    register_node(app, &counts, registry);
}

/// What is counted under the state's lock.
#[derive(Default)]
struct Counts {
    awaiting_scene: u64,
    active: u64,
    done: u64,
    failed: u64,
    cancelled: u64,
    tasks: TaskCounts,
    nodes: u64,
}

impl Counts {
    fn of(state: &State) -> Self {
        let mut counts = Self {
            nodes: state.members().count() as u64,
            ..Self::default()
        };
        for job in state.jobs.values() {
            *match job.state {
                JobState::AwaitingScene => &mut counts.awaiting_scene,
                JobState::Active => &mut counts.active,
                JobState::Done => &mut counts.done,
                JobState::Failed => &mut counts.failed,
                JobState::Cancelled => &mut counts.cancelled,
            } += 1;
            let (all, of_job) = (&mut counts.tasks, &job.counts);
            all.waiting += of_job.waiting;
            all.pending += of_job.pending;
            all.leased += of_job.leased;
            all.done += of_job.done;
            all.failed += of_job.failed;
            all.cancelled += of_job.cancelled;
        }
        counts
    }
}

fn register_work(counts: &Counts, registry: &mut Registry) {
    let jobs = by_state([
        ("awaiting_scene", counts.awaiting_scene),
        ("active", counts.active),
        ("done", counts.done),
        ("failed", counts.failed),
        ("cancelled", counts.cancelled),
    ]);
    registry.register("jobs", "Jobs of the farm by state", jobs);
    let of = &counts.tasks;
    let tasks = by_state([
        ("waiting", of.waiting.into()),
        ("pending", of.pending.into()),
        ("leased", of.leased.into()),
        ("done", of.done.into()),
        ("failed", of.failed.into()),
        ("cancelled", of.cancelled.into()),
    ]);
    registry.register("tasks", "Tasks of all jobs by state", tasks);
}

fn by_state<const N: usize>(values: [(&'static str, u64); N]) -> ByLabel {
    let family = ByLabel::default();
    for (state, value) in values {
        family.get_or_create(&[("state", state)]).set(value);
    }
    family
}

fn register_log(app: &App, registry: &mut Registry) {
    let status = app.log.status();
    let leads = u64::from(status.leader == Some(status.node));
    let behind = status.applied_index.saturating_sub(status.projected_index);
    let values = [
        ("raft_is_leader", "1 where this node leads the farm", leads),
        (
            "raft_has_leader",
            "1 where this node knows of a leader",
            u64::from(status.leader.is_some()),
        ),
        ("raft_term", "Raft's term", status.term),
        ("raft_voters", "Nodes that vote", status.voters.len() as u64),
        (
            "raft_last_log_index",
            "The newest entry in this node's log",
            status.last_log_index,
        ),
        (
            "raft_applied_index",
            "The newest entry in this node's state",
            status.applied_index,
        ),
        (
            "raft_projected_index",
            "The newest entry in this node's database",
            status.projected_index,
        ),
        (
            "raft_projection_lag_entries",
            "Entries that the database is behind the state",
            behind,
        ),
    ];
    for (name, help, value) in values {
        registry.register(name, help, gauge(value));
    }
}

fn register_node(app: &App, counts: &Counts, registry: &mut Registry) {
    registry.register("nodes", "Nodes of the farm", gauge(counts.nodes));
    let connected = app.live.connected().len() as u64;
    registry.register(
        "nodes_connected",
        "Nodes that the leader has a standing link to",
        gauge(connected),
    );
    registry.register(
        "event_streams",
        "Streams of live events that are open on this node",
        gauge(app.open_event_streams() as u64),
    );
    registry.register(
        "uploads",
        "Uploads that this node takes in now",
        gauge(app.running_uploads() as u64),
    );
    let store = app.content.store();
    registry.register_with_unit(
        "content_store",
        "Content that this node keeps",
        Unit::Bytes,
        gauge(store.used_bytes()),
    );
    // A disk that cannot be asked is told of by what fails on it.
    if let Ok(disk) = statvfs(&store.dir()) {
        let free = disk.blocks_available() * disk.fragment_size();
        registry.register_with_unit(
            "content_store_free",
            "Space on the disk of this node's content that the node may fill",
            Unit::Bytes,
            gauge(free),
        );
    }
}

fn gauge(value: u64) -> Value {
    let gauge = Value::default();
    gauge.set(value);
    gauge
}
