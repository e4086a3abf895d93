//! A node's side of the link: finds the leader, presents itself, does what it is told.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jiggablend_raft::{JobLog, Leadership, NodeId, RunnerFacts};
use jiggablend_transfer::PeerId;
use jiggablend_web::LiveBoard;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::{
    Callback, Condition, Hello, HttpRunners, LinkId, LinkReceiver, LinkSender, StreamOpening,
    Switchboard, ToLeader, ToNode,
};
use crate::runner::{Progress, Runner};

/// A node says that it is alive this often.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// A leader that says nothing for this long is dialled anew. It speaks at least once a second.
const SILENCE_LIMIT: Duration = Duration::from_secs(5);

/// A leader answers a hello within this time, or is asked again.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// What the node's side of the link works with.
pub(crate) struct NodeSide {
    pub(crate) node: NodeId,
    pub(crate) switchboard: Switchboard,
    pub(crate) log: JobLog,
    pub(crate) runner: Runner,
    pub(crate) live: LiveBoard,
    pub(crate) http_runners: HttpRunners,
}

/// What comes in while a link stands or is made.
pub(crate) struct NodeInbox {
    pub(crate) callbacks: mpsc::Receiver<Callback>,
    pub(crate) progress: mpsc::Receiver<Progress>,
    pub(crate) leadership: watch::Receiver<Leadership>,
}

impl NodeSide {
    /// Keeps a link to whoever leads until `stop`.
    pub(crate) async fn run(self, mut inbox: NodeInbox, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let leadership = *inbox.leadership.borrow_and_update();
            let linked = tokio::select! {
                linked = self.link_and_stay(leadership, &mut inbox) => linked,
                () = stop.cancelled() => return,
            };
            if let Err(error) = linked {
                debug!("no link to the leader: {error:#}");
                tokio::select! {
                    () = sleep(RETRY_PAUSE) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
    }

    /// One link to the leader of `at_start`, from hello to its end. `Ok` where the leader changed.
    async fn link_and_stay(
        &self,
        at_start: Leadership,
        inbox: &mut NodeInbox,
    ) -> anyhow::Result<()> {
        let leader = self.leader_peer(at_start).context("no leader is known")?;
        let link = LinkId(rand::random());
        let answered = async {
            let hello = StreamOpening::ToLeader(self.hello(link));
            let up = self.switchboard.open(leader, hello).await?;
            let down = wait_for_callback(link, &mut inbox.callbacks).await?;
            anyhow::Ok((up, down))
        };
        let (up, down) = tokio::select! {
            answered = answered => answered?,
            () = until_another_leads(&mut inbox.leadership, at_start) => return Ok(()),
        };
        info!(%leader, term = at_start.term, "linked to the leader");
        let ended = tokio::select! {
            ended = self.serve(up, down, &mut inbox.progress) => ended,
            () = until_another_leads(&mut inbox.leadership, at_start) => Ok(()),
        };
        // Without a link nothing is known of who else is there.
        self.live.set_connected(BTreeSet::new());
        ended
    }

    fn leader_peer(&self, leadership: Leadership) -> Option<PeerId> {
        let leader = leadership.leader?;
        self.log
            .read(|state| state.nodes.get(&leader)?.peer_id()?.parse().ok())
    }

    /// Does what the leader says and tells it how things are, until the link is cut.
    async fn serve(
        &self,
        mut up: LinkSender,
        down: LinkReceiver,
        progress: &mut mpsc::Receiver<Progress>,
    ) -> anyhow::Result<()> {
        let (mut orders, _reader) = read_in_background(down);
        let mut alive = interval(ALIVE_INTERVAL);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // This leader has heard of none of them through this node.
        self.http_runners.say_again();
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => bail!("the leader went silent"),
                },
                Some(progress) = progress.recv() => {
                    up.send(&ToLeader::Progress(progress)).await?;
                }
                () = self.http_runners.changed() => {
                    for condition in self.http_runners.take_unsaid() {
                        up.send(&ToLeader::HttpRunner(condition)).await?;
                    }
                }
                _ = alive.tick() => up.send(&ToLeader::Alive(self.condition())).await?,
            }
        }
    }

    fn hello(&self, link: LinkId) -> Hello {
        Hello {
            link,
            node: self.node,
            condition: self.condition(),
        }
    }

    fn condition(&self) -> Condition {
        let facts = self.runner.facts();
        Condition {
            holding: self.runner.holding(),
            render_slots: render_slots(&facts),
            can_encode: facts.ffmpeg.is_some(),
        }
    }

    fn obey(&self, order: ToNode) {
        match order {
            ToNode::Assign(assignment) => self.runner.assign(*assignment),
            ToNode::Revoke(task, epoch) => self.runner.revoke(task, epoch),
            ToNode::Live {
                progress,
                connected,
            } => {
                self.live.set_connected(connected.into_iter().collect());
                if !progress.is_empty() {
                    self.live.progressed(progress);
                }
            }
        }
    }
}

/// Resolves when the farm has another leader, or the same one in another term.
async fn until_another_leads(leadership: &mut watch::Receiver<Leadership>, at_start: Leadership) {
    let is_another = |now: &Leadership| (now.term, now.leader) != (at_start.term, at_start.leader);
    // The job log has stopped where the sender is gone; then the node stops too.
    let _ = leadership.wait_for(is_another).await;
}

/// The leader answers a hello by opening a stream of its own. Answers to older hellos, of links
/// that ended before they stood, are passed over.
async fn wait_for_callback(
    link: LinkId,
    callbacks: &mut mpsc::Receiver<Callback>,
) -> anyhow::Result<LinkReceiver> {
    let answer = async {
        loop {
            let callback = callbacks.recv().await?;
            if callback.link == link {
                return Some(callback.stream);
            }
        }
    };
    timeout(ANSWER_LIMIT, answer)
        .await
        .context("the leader did not answer")?
        .context("this node stops")
}

/// Reading is a task of its own: a message that is half read must not be dropped by `select!`.
/// The channel closes when the leader closes the stream or is silent for too long.
fn read_in_background(mut down: LinkReceiver) -> (mpsc::Receiver<ToNode>, AbortOnDrop) {
    let (told, orders) = mpsc::channel(64);
    let reader = tokio::spawn(async move {
        while let Ok(Ok(Some(order))) = timeout(SILENCE_LIMIT, down.receive()).await {
            if told.send(order).await.is_err() {
                return;
            }
        }
    });
    (orders, AbortOnDrop(reader))
}

fn render_slots(facts: &RunnerFacts) -> u32 {
    if facts.blender_version.is_some() {
        facts.slots
    } else {
        0
    }
}

/// Ends a background task with whoever needed it.
pub(crate) struct AbortOnDrop(pub(crate) JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
