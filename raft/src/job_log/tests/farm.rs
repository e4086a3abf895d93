//! Nodes in one process, the wires between them, and what can be cut.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use crate::job_log::Inner;
use crate::machine::Stop;
use crate::testing::{command, farm_created, new_node};
use crate::*;

/// All wires of a farm. Nodes that are cut off neither send nor receive.
#[derive(Default)]
pub(super) struct Wires {
    nodes: Mutex<BTreeMap<NodeId, Weak<Inner>>>,
    cut_off: Mutex<BTreeSet<NodeId>>,
    pub(super) largest_request_bytes: Mutex<usize>,
}

impl Wires {
    pub(super) fn cut_off(&self, node: u64) {
        self.cut_off.lock().unwrap().insert(NodeId(node));
    }

    pub(super) fn mend(&self, node: u64) {
        self.cut_off.lock().unwrap().remove(&NodeId(node));
    }

    fn reaches(&self, from: NodeId, to: NodeId) -> bool {
        let cut_off = self.cut_off.lock().unwrap();
        !cut_off.contains(&from) && !cut_off.contains(&to)
    }
}

struct Wire {
    from: NodeId,
    wires: Arc<Wires>,
}

#[async_trait]
impl Transport for Wire {
    async fn call(
        &self,
        node: NodeId,
        peer_id: &str,
        request: Vec<u8>,
        patience: Duration,
    ) -> Result<Vec<u8>, TransportError> {
        assert_eq!(
            peer_id,
            format!("peer-{node}"),
            "the transport is given the peer"
        );
        {
            let mut largest = self.wires.largest_request_bytes.lock().unwrap();
            *largest = request.len().max(*largest);
        }
        let lost = || TransportError("the wire is cut".into());
        if !self.wires.reaches(self.from, node) {
            // As a lost packet does: no answer, not an error at once.
            sleep(patience).await;
            return Err(lost());
        }
        let target = self.wires.nodes.lock().unwrap().get(&node).cloned();
        let inner = target
            .and_then(|target| target.upgrade())
            .ok_or_else(lost)?;
        // On its own task, as a request that came by the network is.
        let handling = tokio::spawn(async move { JobLog { inner }.handle(&request).await });
        let answer = timeout(patience, handling)
            .await
            .map_err(|_| TransportError("no answer in time".into()))?
            .map_err(|error| TransportError(error.to_string()))?;
        if !self.wires.reaches(node, self.from) {
            return Err(lost());
        }
        Ok(answer)
    }
}

/// A farm in one process. Its folders go with it.
pub(super) struct Farm {
    pub(super) wires: Arc<Wires>,
    pub(super) nodes: BTreeMap<u64, JobLog>,
    dir: TempDir,
    snapshot_every: u64,
}

impl Farm {
    /// A farm of one node that leads.
    pub(super) async fn of_one(snapshot_every: u64) -> Self {
        let mut farm = Self {
            wires: Arc::default(),
            nodes: BTreeMap::new(),
            dir: tempfile::tempdir().unwrap(),
            snapshot_every,
        };
        farm.start(1).await;
        farm.nodes[&1].create_farm(farm_created()).await.unwrap();
        farm
    }

    /// A farm whose nodes all vote.
    pub(super) async fn of_voters(count: u64, snapshot_every: u64) -> Self {
        let mut farm = Self::of_one(snapshot_every).await;
        for number in 2..=count {
            farm.admit(number).await;
            farm.start(number).await;
        }
        farm.set_voters(1..=count).await;
        farm
    }

    /// Makes the node a member, and does not start it.
    pub(super) async fn admit(&self, number: u64) {
        let ticket = SecretHash::of(&number.to_be_bytes());
        let node = new_node(number);
        let created = Action::TicketCreated {
            ticket,
            roles: node.roles,
            expires_at: TimestampMs(u64::MAX),
            reusable: false,
        };
        let leader = self.leader().await;
        leader.propose(command(1, created)).await.unwrap();
        let admitted = leader
            .propose(command(2, Action::NodeAdmitted { ticket, node }))
            .await;
        assert_eq!(admitted.unwrap(), Effect::Admitted(NodeId(number)));
    }

    pub(super) async fn set_voters(&self, voters: impl IntoIterator<Item = u64>) {
        let voters = voters.into_iter().map(NodeId).collect();
        let leader = self.leader().await;
        leader.set_group(voters, BTreeSet::new()).await.unwrap();
    }

    pub(super) fn config(&self, number: u64) -> JobLogConfig {
        let dir = self.node_dir(number);
        JobLogConfig {
            node: NodeId(number),
            peer_id: format!("peer-{number}"),
            farm: None,
            db: dir.join("farm.duckdb"),
            dir: dir.join("raft"),
            timeouts: TimeoutProfile::Lan,
            snapshot_every: self.snapshot_every,
            expect_log: false,
        }
    }

    pub(super) fn node_dir(&self, number: u64) -> std::path::PathBuf {
        let dir = self.dir.path().join(format!("node-{number}"));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    /// Opens the node's log, new or as it was left.
    pub(super) async fn start(&mut self, number: u64) -> JobLog {
        let log = self.try_start(number).await.unwrap();
        let weak = Arc::downgrade(&log.inner);
        self.wires
            .nodes
            .lock()
            .unwrap()
            .insert(NodeId(number), weak);
        self.nodes.insert(number, log.clone());
        log
    }

    pub(super) async fn try_start(&self, number: u64) -> Result<JobLog, JobLogError> {
        self.try_open(self.config(number)).await
    }

    pub(super) async fn try_open(&self, config: JobLogConfig) -> Result<JobLog, JobLogError> {
        let wire = Wire {
            from: config.node,
            wires: self.wires.clone(),
        };
        JobLog::open(config, Arc::new(wire)).await
    }

    /// Ends the node as kill -9 does: DuckDB is not brought up to date, nothing is said.
    pub(super) async fn kill(&mut self, number: u64) {
        self.wires.nodes.lock().unwrap().remove(&NodeId(number));
        let log = self.nodes.remove(&number).unwrap();
        log.inner.stop(Stop::AtOnce).await;
        wait_for("the last handle on the log", || {
            Arc::strong_count(&log.inner) == 1
        })
        .await;
    }

    pub(super) async fn leader(&self) -> JobLog {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            for log in self.nodes.values() {
                let leads = log.leadership().borrow().is_self;
                let reachable = !self
                    .wires
                    .cut_off
                    .lock()
                    .unwrap()
                    .contains(&log.status().node);
                if leads && reachable {
                    return log.clone();
                }
            }
            assert!(Instant::now() < deadline, "no leader in time");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the nodes have applied the same, and asserts that their states are equal.
    pub(super) async fn assert_all_equal(&self) {
        let leader = self.leader().await;
        leader.read_barrier().await.unwrap();
        let index = leader.applied_index();
        let expected = leader.read(State::clone);
        for (number, log) in &self.nodes {
            let reached = || log.applied_index() >= index;
            wait_for(&format!("entry {index} on node {number}"), reached).await;
            assert!(
                log.read(|state| *state == expected),
                "node {number} differs"
            );
        }
    }
}

pub(super) async fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        sleep(Duration::from_millis(5)).await;
    }
}

/// Names of the files in a folder that end like that.
pub(super) fn files_in(dir: &Path, ending: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.to_str().unwrap().ends_with(ending))
        .collect()
}
