//! Tells the farm where this node is and what it can do, whenever that changes.

use std::time::Duration;

use jiggablend_raft::{Action, Actor, Command, JobLog, NodeId, RunnerFacts, SecretHash};
use jiggablend_transfer::Mesh;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::entry::addresses;
use crate::runner::Runner;

/// How often a node looks whether what it announced is still so.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Announcer {
    pub(super) node: NodeId,
    pub(super) log: JobLog,
    pub(super) mesh: Mesh,
    pub(super) runner: Runner,
    pub(super) web_address: String,
    pub(super) operator_token: SecretHash,
}

/// What is announced, to be compared with what the log has.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Announcement {
    addresses: Vec<String>,
    web_address: Option<String>,
    version: String,
    runner: RunnerFacts,
    operator_token: SecretHash,
}

impl Announcer {
    pub(super) async fn run(self, stop: CancellationToken) {
        loop {
            if let Some(news) = self.news()
                && let Err(error) = self.announce(news).await
            {
                debug!("this node could not announce itself yet: {error}");
            }
            tokio::select! {
                () = sleep(LOOK_INTERVAL) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    /// `None` where the log says so already, or has not admitted this node yet.
    fn news(&self) -> Option<Announcement> {
        let now = Announcement {
            addresses: addresses(&self.mesh),
            web_address: Some(self.web_address.clone()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            runner: self.runner.facts(),
            operator_token: self.operator_token,
        };
        let announced = self.log.read(|state| {
            let node = state.nodes.get(&self.node)?;
            Some(Announcement {
                addresses: node.addresses().to_vec(),
                web_address: node.web_address.clone(),
                version: node.version.clone(),
                runner: node.runner.clone(),
                operator_token: node.operator_token?,
            })
        });
        let is_member = self.log.read(|state| state.nodes.contains_key(&self.node));
        (is_member && announced.as_ref() != Some(&now)).then_some(now)
    }

    async fn announce(&self, news: Announcement) -> Result<(), jiggablend_raft::ProposeError> {
        let command = Command::new(
            Actor::Node(self.node),
            Action::NodeAnnounced {
                node: self.node,
                addresses: news.addresses,
                web_address: news.web_address,
                version: news.version,
                runner: news.runner,
                operator_token: news.operator_token,
            },
        );
        self.log.propose(command).await.map(|_| ())
    }
}
