//! A farm of several nodes on this machine: the one way in which tests, `up` and benches start one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

use crate::api::Api;
use crate::node::{KilledNode, NodeProcess, NodeSettings};
use crate::wait::{Look, wait_for};
use crate::wire::{Job, JobState};
use crate::{Result, TestnetError};

/// The farm has found itself by then, or has a fault.
const WHOLE_DEADLINE: Duration = Duration::from_secs(60);

/// How the nodes of a farm are set up.
#[derive(Debug, Clone, Default)]
pub struct FarmOptions {
    /// More arguments for each node.
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
}

/// One farm at a time in a process: several at once on a small machine would wait for each other
/// until their deadlines. Held for as long as nodes run.
pub async fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// Where a farm's nodes keep their data.
#[derive(Debug)]
enum Place {
    /// Goes with the farm.
    Temporary(TempDir),
    Kept(PathBuf),
}

/// Running nodes by their number: node 1 made the farm. Dropping the farm ends them all.
#[derive(Debug)]
pub struct Farm {
    place: Place,
    options: FarmOptions,
    nodes: BTreeMap<usize, NodeProcess>,
    killed: BTreeMap<usize, KilledNode>,
    /// Last, so that it is given back when the nodes have ended.
    _turn: MutexGuard<'static, ()>,
}

impl Farm {
    /// A farm of `nodes` nodes in a temporary folder, whole when this returns.
    pub async fn start(nodes: usize) -> Result<Self> {
        Self::start_with(nodes, FarmOptions::default()).await
    }

    pub async fn start_with(nodes: usize, options: FarmOptions) -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("jiggablend-testnet-")
            .tempdir()
            .map_err(TestnetError::io("making a temporary folder"))?;
        Self::start_at(Place::Temporary(dir), nodes, options).await
    }

    /// A farm whose data stays in `dir`. A farm that is there already goes on.
    pub async fn start_in(dir: &Path, nodes: usize, options: FarmOptions) -> Result<Self> {
        Self::start_at(Place::Kept(dir.to_owned()), nodes, options).await
    }

    async fn start_at(place: Place, nodes: usize, options: FarmOptions) -> Result<Self> {
        let mut farm = Self {
            place,
            options,
            nodes: BTreeMap::new(),
            killed: BTreeMap::new(),
            _turn: turn().await,
        };
        for _ in 0..nodes {
            farm.add_node().await?;
        }
        farm.wait_until_whole().await?;
        Ok(farm)
    }

    pub fn dir(&self) -> &Path {
        match &self.place {
            Place::Temporary(dir) => dir.path(),
            Place::Kept(dir) => dir,
        }
    }

    /// Starts the next node: the first makes the farm, later ones join it; one whose data is in
    /// the folder already goes on. Returns its number.
    pub async fn add_node(&mut self) -> Result<usize> {
        let number = 1 + self.nodes.len() + self.killed.len();
        let mut settings = NodeSettings::on_loopback(self.dir(), &format!("node-{number}"))?;
        settings.arguments.extend(self.options.arguments.clone());
        settings
            .environment
            .extend(self.options.environment.clone());
        let is_new = !has_entries(&settings.data);
        let mut node = match self.nodes.values().next() {
            Some(member) if is_new => {
                let ticket = member.api().ticket().await?;
                NodeProcess::join(settings, &ticket).await?
            }
            _ => NodeProcess::start(settings).await?,
        };
        // A farm that goes on has no leader before its second node is up.
        if is_new {
            node.wait_until_ready().await?;
        }
        self.nodes.insert(number, node);
        Ok(number)
    }

    /// Waits until every running node is ready and all of them see each other and one leader.
    pub async fn wait_until_whole(&mut self) -> Result<()> {
        for node in self.nodes.values_mut() {
            node.wait_until_ready().await?;
        }
        let expected = self.nodes.len();
        for node in self.nodes.values() {
            let what = format!("{} to see {expected} nodes", node.settings.name);
            wait_for(&what, WHOLE_DEADLINE, || async {
                match node.api().nodes().await {
                    Ok(nodes) => {
                        let connected = nodes.iter().filter(|node| node.connected).count();
                        match connected >= expected {
                            true => Look::Seen(()),
                            false => Look::NotYet(format!("{connected} connected: {nodes:?}")),
                        }
                    }
                    Err(error) => Look::NotYet(error.to_string()),
                }
            })
            .await?;
        }
        self.leader().await.map(drop)
    }

    /// The running node of this number.
    ///
    /// # Panics
    ///
    /// Where there is none: the test itself is wrong.
    pub fn node(&self, number: usize) -> &NodeProcess {
        self.nodes
            .get(&number)
            .unwrap_or_else(|| panic!("node {number} does not run"))
    }

    /// The running nodes, by number.
    pub fn nodes(&self) -> impl Iterator<Item = (usize, &NodeProcess)> {
        self.nodes.iter().map(|(number, node)| (*number, node))
    }

    pub fn api(&self, number: usize) -> &Api {
        self.node(number).api()
    }

    /// The leader's number, once all running nodes agree on one of them.
    pub async fn leader(&self) -> Result<usize> {
        wait_for("the nodes to agree on a leader", WHOLE_DEADLINE, || async {
            let mut seen = Vec::new();
            for node in self.nodes.values() {
                match node.api().farm().await {
                    Ok(farm) => seen.push(farm.leader),
                    Err(error) => return Look::NotYet(error.to_string()),
                }
            }
            let number = self
                .nodes()
                .find(|(_, node)| seen.iter().all(|leader| *leader == Some(node.id())))
                .map(|(number, _)| number);
            match number {
                Some(number) => Look::Seen(number),
                None => Look::NotYet(format!("the nodes say {seen:?}")),
            }
        })
        .await
    }

    /// The number of some running node that does not lead.
    pub async fn a_follower(&self) -> Result<usize> {
        let leader = self.leader().await?;
        self.nodes
            .keys()
            .copied()
            .find(|number| *number != leader)
            .ok_or_else(|| TestnetError::Usage("the farm has no follower".into()))
    }

    /// `kill -9` on one node. Its data stays for [`Farm::restart`].
    pub async fn kill_hard(&mut self, number: usize) -> Result<&KilledNode> {
        let node = self.nodes.remove(&number).ok_or_else(|| {
            TestnetError::Usage(format!(
                "node {number} does not run, so it cannot be killed"
            ))
        })?;
        let killed = node.kill_hard().await?;
        self.killed.insert(number, killed);
        Ok(&self.killed[&number])
    }

    pub fn killed(&self, number: usize) -> Option<&KilledNode> {
        self.killed.get(&number)
    }

    /// Starts a killed node from its disk, without waiting for it to be ready.
    pub async fn restart(&mut self, number: usize) -> Result<()> {
        let killed = self.killed.remove(&number).ok_or_else(|| {
            TestnetError::Usage(format!(
                "node {number} was not killed, so it cannot restart"
            ))
        })?;
        let node = NodeProcess::start(killed.settings.clone()).await?;
        self.nodes.insert(number, node);
        Ok(())
    }

    /// Takes a running node out of this harness, for a test that ends it in its own way.
    ///
    /// # Panics
    ///
    /// Where there is none: the test itself is wrong.
    pub fn take(&mut self, number: usize) -> NodeProcess {
        self.nodes
            .remove(&number)
            .unwrap_or_else(|| panic!("node {number} does not run"))
    }

    /// Starts a node of this farm that was taken out and has ended, from its disk. Returns its
    /// number.
    pub async fn put(&mut self, settings: NodeSettings) -> Result<usize> {
        let number = 1 + self.nodes.len() + self.killed.len();
        let mut node = NodeProcess::start(settings).await?;
        node.wait_until_ready().await?;
        self.nodes.insert(number, node);
        Ok(number)
    }

    /// Asks all nodes to stop, the leader last, and waits for them.
    pub async fn stop(mut self) -> Result<()> {
        let mut order: Vec<usize> = self.nodes.keys().copied().collect();
        if let Some(first) = self.nodes.values().next()
            && let Ok(farm) = first.api().farm().await
        {
            order.sort_by_key(|number| farm.leader == Some(self.nodes[number].id()));
        }
        let mut result = Ok(());
        for number in order {
            if let Some(node) = self.nodes.remove(&number) {
                result = node.stop().await.map(drop).and(result);
            }
        }
        result
    }

    /// Waits until the job is over and did what was asked; a failed one ends the wait at once.
    pub async fn wait_until_done(
        &self,
        number: usize,
        job: &str,
        deadline: Duration,
    ) -> Result<Job> {
        let api = self.api(number);
        self.wait_for_job(api, job, "done", deadline, |seen| {
            seen.summary.state == JobState::Done
        })
        .await
    }

    /// Waits until `holds` of the job. A job that is over and for which it does not hold ends
    /// the wait at once.
    pub async fn wait_for_job(
        &self,
        api: &Api,
        job: &str,
        what: &str,
        deadline: Duration,
        holds: impl Fn(&Job) -> bool,
    ) -> Result<Job> {
        wait_for(&format!("job {job} to be {what}"), deadline, || async {
            match api.job(job).await {
                Ok(seen) if holds(&seen) => Look::Seen(seen),
                Ok(seen) if seen.summary.state.is_over() => Look::Never(seen.in_one_line()),
                Ok(seen) => Look::NotYet(seen.in_one_line()),
                Err(error) => Look::NotYet(error.to_string()),
            }
        })
        .await
    }

    /// The ends of all nodes' logs, for when something went wrong.
    pub fn log_ends(&self, lines: usize) -> String {
        let running = self.nodes.values().map(|node| &node.settings);
        let killed = self.killed.values().map(|node| &node.settings);
        let mut text = String::new();
        for settings in running.chain(killed) {
            let log = settings.log.display();
            text += &format!("--- the end of {log}\n{}\n", settings.log_end(lines));
        }
        text
    }
}

impl Drop for Farm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.log_ends(25));
        }
    }
}

fn has_entries(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
}
