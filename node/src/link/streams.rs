//! Opening link streams and sorting those that others open: which way does each go?

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use jiggablend_raft::JobLog;
use jiggablend_transfer::{Channel, Mesh, MessageStream, PeerId};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{Hello, LinkId, StreamOpening, decode, encode};

/// How long a message may take to leave, and a peer may take to say what its stream is for.
const STREAM_TIMEOUT: Duration = Duration::from_secs(5);

/// Messages under way inside one process, when a node is its own leader.
const LOCAL_BUFFER: usize = 256;

/// The writing end of a link stream.
pub(crate) enum LinkSender {
    Mesh(Box<MessageStream>),
    /// A node that is its own leader: libp2p does not dial itself.
    Local(mpsc::Sender<Bytes>),
}

/// The reading end of a link stream.
pub(crate) enum LinkReceiver {
    Mesh(Box<MessageStream>),
    Local(mpsc::Receiver<Bytes>),
}

impl LinkSender {
    pub(crate) async fn send<T: Serialize>(&mut self, message: &T) -> anyhow::Result<()> {
        let bytes = encode(message);
        match self {
            Self::Mesh(stream) => timeout(STREAM_TIMEOUT, stream.send(&bytes)).await??,
            Self::Local(sender) => {
                timeout(STREAM_TIMEOUT, sender.send(bytes.into())).await??;
            }
        }
        Ok(())
    }
}

impl LinkReceiver {
    /// The next message; `None` when the other side closed the stream.
    pub(crate) async fn receive<T: DeserializeOwned>(&mut self) -> anyhow::Result<Option<T>> {
        let message = match self {
            Self::Mesh(stream) => stream.receive().await?,
            Self::Local(receiver) => receiver.recv().await,
        };
        message.map(|bytes| decode(&bytes)).transpose()
    }
}

/// A node that presents itself, with the stream that it writes.
pub(crate) struct Arrival {
    pub(crate) peer: PeerId,
    pub(crate) hello: Hello,
    pub(crate) stream: LinkReceiver,
}

/// A leader that answers a hello, with the stream that it writes.
pub(crate) struct Callback {
    pub(crate) link: LinkId,
    pub(crate) stream: LinkReceiver,
}

/// Where link streams begin and end on this node. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Switchboard {
    mesh: Mesh,
    log: JobLog,
    ends: Arc<Ends>,
}

struct Ends {
    arrivals: mpsc::Sender<Arrival>,
    callbacks: mpsc::Sender<Callback>,
}

impl Switchboard {
    /// The switchboard, what arrives for the leader's duties, and what arrives for the node.
    pub(crate) fn new(
        mesh: Mesh,
        log: JobLog,
    ) -> (Self, mpsc::Receiver<Arrival>, mpsc::Receiver<Callback>) {
        let (arrivals, arrived) = mpsc::channel(64);
        let (callbacks, called_back) = mpsc::channel(64);
        let ends = Arc::new(Ends {
            arrivals,
            callbacks,
        });
        (Self { mesh, log, ends }, arrived, called_back)
    }

    /// Opens a stream to `peer`, which may be this node itself, and says what it is for.
    pub(crate) async fn open(
        &self,
        peer: PeerId,
        opening: StreamOpening,
    ) -> anyhow::Result<LinkSender> {
        if peer == self.mesh.peer_id() {
            let (sender, receiver) = mpsc::channel(LOCAL_BUFFER);
            self.sort(peer, opening, LinkReceiver::Local(receiver))
                .await?;
            return Ok(LinkSender::Local(sender));
        }
        let stream = self.mesh.open(peer, Channel::Link, STREAM_TIMEOUT).await?;
        let mut sender = LinkSender::Mesh(Box::new(stream));
        sender.send(&opening).await?;
        Ok(sender)
    }

    /// Takes in the streams that members open, until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut incoming = self.mesh.accept(Channel::Link);
        loop {
            let next = tokio::select! {
                next = incoming.recv() => next,
                () = stop.cancelled() => return,
            };
            let Some((peer, stream)) = next else { return };
            // Reading the opening must not hold up the next stream.
            let board = self.clone();
            tokio::spawn(async move {
                if let Err(error) = board
                    .take_in(peer, LinkReceiver::Mesh(Box::new(stream)))
                    .await
                {
                    debug!(%peer, "a link stream came to nothing: {error:#}");
                }
            });
        }
    }

    async fn take_in(&self, peer: PeerId, mut stream: LinkReceiver) -> anyhow::Result<()> {
        let Some(opening) = timeout(STREAM_TIMEOUT, stream.receive()).await?? else {
            return Ok(());
        };
        self.sort(peer, opening, stream).await
    }

    async fn sort(
        &self,
        peer: PeerId,
        opening: StreamOpening,
        stream: LinkReceiver,
    ) -> anyhow::Result<()> {
        match opening {
            StreamOpening::ToLeader(hello) => {
                // The peer id is proven by the mesh; the node id is only said.
                let is_that_node = self.log.read(|state| {
                    state
                        .node_by_peer(&peer.to_string())
                        .is_some_and(|node| node.id == hello.node)
                });
                anyhow::ensure!(is_that_node, "{peer} says that it is node {}", hello.node);
                let arrival = Arrival {
                    peer,
                    hello,
                    stream,
                };
                self.ends
                    .arrivals
                    .try_send(arrival)
                    .ok()
                    .context("too many nodes arrive at once; it will try again")?;
            }
            StreamOpening::ToNode { link } => {
                let callback = Callback { link, stream };
                let sent = self.ends.callbacks.send(callback).await;
                sent.ok().context("this node stops")?;
            }
        }
        Ok(())
    }
}
