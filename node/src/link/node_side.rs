//! A node's side of the link: finds the leader, presents itself, does what it is told.

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
    Callback, Condition, Hello, LinkId, LinkReceiver, StreamOpening, Switchboard, ToLeader, ToNode,
};
use crate::runner::{Progress, Runner};

/// A node says that it is alive this often.
const ALIVE_INTERVAL: Duration = Duration::from_secs(1);

/// A leader that says nothing for this long is dialled anew. It speaks at least once a second.
const SILENCE_LIMIT: Duration = Duration::from_secs(5);

const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// What the node's side of the link works with.
pub(crate) struct NodeSide {
    pub(crate) node: NodeId,
    pub(crate) switchboard: Switchboard,
    pub(crate) log: JobLog,
    pub(crate) runner: Runner,
    pub(crate) live: LiveBoard,
}

/// What comes in while a link stands or is made.
pub(crate) struct NodeInbox {
    pub(crate) callbacks: mpsc::Receiver<Callback>,
    pub(crate) progress: mpsc::Receiver<Progress>,
    pub(crate) leadership: watch::Receiver<Leadership>,
}

impl NodeSide {
    /// Keeps a link to whoever leads until `stop`, then says goodbye.
    pub(crate) async fn run(self, mut inbox: NodeInbox, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let leadership = *inbox.leadership.borrow_and_update();
            let linked = match self.leader_peer(leadership) {
                Some(leader) => {
                    self.stay_linked(leader, leadership, &mut inbox, &stop)
                        .await
                }
                None => Err(anyhow::anyhow!("no leader is known")),
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

    fn leader_peer(&self, leadership: Leadership) -> Option<PeerId> {
        let leader = leadership.leader?;
        self.log
            .read(|state| state.nodes.get(&leader)?.peer_id.parse().ok())
    }

    /// One link, from hello to its end. `Ok` where the leader changed or the node stops.
    async fn stay_linked(
        &self,
        leader: PeerId,
        at_start: Leadership,
        inbox: &mut NodeInbox,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let link = LinkId(rand::random());
        let hello = StreamOpening::ToLeader(self.hello(link));
        let mut up = self.switchboard.open(leader, hello).await?;
        let down = wait_for_callback(link, &mut inbox.callbacks).await?;
        info!(%leader, term = at_start.term, "linked to the leader");

        let (mut orders, _reader) = read_in_background(down);
        let mut alive = interval(ALIVE_INTERVAL);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => bail!("the leader went silent"),
                },
                Some(progress) = inbox.progress.recv() => {
                    up.send(&ToLeader::Progress(progress)).await?;
                }
                _ = alive.tick() => up.send(&ToLeader::Alive(self.condition())).await?,
                changed = inbox.leadership.changed() => {
                    changed?;
                    if *inbox.leadership.borrow() != at_start {
                        return Ok(());
                    }
                }
                () = stop.cancelled() => return up.send(&ToLeader::Leaving).await,
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
    timeout(SILENCE_LIMIT, answer)
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
