//! The leader's end of one node's link.

use std::time::{Duration, Instant};

use jiggablend_raft::NodeId;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::debug;

use crate::link::{
    AbortOnDrop, Arrival, LinkReceiver, StreamOpening, Switchboard, ToLeader, ToNode,
};

/// A node that says nothing for this long is cut off. It says that it is alive every second.
pub(super) const SILENCE_LIMIT: Duration = Duration::from_secs(5);

/// Orders that wait for one node's stream. More means that the node does not read.
const ORDERS_WAITING: usize = 256;

/// Tells links apart when a node comes back before its old link is seen to be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionId(pub(super) u64);

/// What a session's tasks tell the leader's duties.
pub(super) struct Heard {
    pub(super) node: NodeId,
    pub(super) session: SessionId,
    /// `None`: the link is cut.
    pub(super) message: Option<ToLeader>,
}

/// A linked node. Dropping it closes the link.
pub(super) struct Session {
    pub(super) id: SessionId,
    orders: mpsc::Sender<ToNode>,
    pub(super) last_heard: Instant,
    _writer: AbortOnDrop,
    _reader: AbortOnDrop,
}

impl Session {
    /// Answers the node's hello and keeps both directions going, each in a task of its own.
    pub(super) fn start(
        id: SessionId,
        arrival: Arrival,
        switchboard: Switchboard,
        heard: mpsc::Sender<Heard>,
    ) -> Self {
        let node = arrival.hello.node;
        let (orders, to_send) = mpsc::channel(ORDERS_WAITING);
        let opening = StreamOpening::ToNode {
            link: arrival.hello.link,
        };
        let peer = arrival.peer;
        let cut = heard.clone();
        let writer = tokio::spawn(async move {
            let ended = async {
                let mut down = switchboard.open(peer, opening).await?;
                let mut to_send = to_send;
                while let Some(order) = to_send.recv().await {
                    down.send(&order).await?;
                }
                anyhow::Ok(())
            };
            if let Err(error) = ended.await {
                debug!(%node, "the stream to the node ended: {error:#}");
                tell(&cut, node, id, None).await;
            }
        });
        let reader = tokio::spawn(read(node, id, arrival.stream, heard));
        Self {
            id,
            orders,
            last_heard: Instant::now(),
            _writer: AbortOnDrop(writer),
            _reader: AbortOnDrop(reader),
        }
    }

    /// Sends the order. False where the node does not keep up: then the link must end, and all
    /// is said again in the next one.
    #[must_use]
    pub(super) fn order(&self, order: ToNode) -> bool {
        self.orders.try_send(order).is_ok()
    }

    /// Sends what may be lost.
    pub(super) fn inform(&self, news: ToNode) {
        // A node that does not keep up gets the next one.
        let _ = self.orders.try_send(news);
    }
}

async fn read(node: NodeId, id: SessionId, mut stream: LinkReceiver, heard: mpsc::Sender<Heard>) {
    loop {
        match timeout(SILENCE_LIMIT, stream.receive()).await {
            Ok(Ok(Some(message))) => {
                if !tell(&heard, node, id, Some(message)).await {
                    return;
                }
            }
            Ok(Ok(None)) => break,
            Ok(Err(error)) => {
                debug!(%node, "the stream from the node ended: {error:#}");
                break;
            }
            Err(_) => break,
        }
    }
    tell(&heard, node, id, None).await;
}

/// False where the duties have ended.
async fn tell(
    heard: &mpsc::Sender<Heard>,
    node: NodeId,
    session: SessionId,
    message: Option<ToLeader>,
) -> bool {
    let told = Heard {
        node,
        session,
        message,
    };
    heard.send(told).await.is_ok()
}
