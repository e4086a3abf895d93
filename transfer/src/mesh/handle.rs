//! The mesh as the rest of the node sees it.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol};
use libp2p_stream::Control;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::calls::{Exchange, StreamPool, exchange, serve_stream};
use super::channel::WEB_PROTOCOL;
use super::driver::{Command, Driver, Reports};
use super::join::{Attempt, JOIN_PROTOCOL, MAX_JOINS_AT_A_TIME, join_through};
use super::neighbours::watch_neighbours;
use super::opening::{take, until_taken};
use super::start::listening_swarm;
use super::{
    Admission, ByteStream, Channel, DiscoveredFarm, FarmBeacon, JoinError, JoinRequest,
    MAX_MESSAGE_BYTES, Member, MeshConfig, MeshError, MessageStream, RequestHandler, join,
};
use crate::Ticket;

/// Streams that one member may have open here, calls and message streams together.
const MAX_STREAMS_PER_PEER: usize = 256;
/// Accepted streams that nobody has taken yet.
const MAX_WAITING_STREAMS: usize = 64;
const MAX_WAITING_COMMANDS: usize = 1024;
/// How long the first listening addresses are waited for.
const LISTENING: Duration = Duration::from_secs(5);
/// Reaching a peer that is not a member, and opening the join stream.
const REACHING_STRANGER: Duration = Duration::from_secs(6);
/// A join or a question of a stranger, from first to last byte.
const SERVING_STRANGER: Duration = Duration::from_secs(60);
/// How often a joiner asks everyone that it knows, and how long it waits between.
const JOIN_ROUNDS: u32 = 3;
const JOIN_PAUSE: Duration = Duration::from_millis(300);

/// A node's place in the mesh. Cheap to clone; the swarm runs in a task of its own, which ends
/// with [`Mesh::shutdown`] or with the last clone.
#[derive(Clone)]
pub struct Mesh {
    inner: Arc<Inner>,
}

struct Inner {
    own: PeerId,
    strangers: Strangers,
    members: watch::Sender<Arc<Vec<Member>>>,
    farm: watch::Sender<Option<FarmBeacon>>,
    connected: watch::Receiver<BTreeSet<PeerId>>,
    farms: watch::Receiver<Vec<DiscoveredFarm>>,
    addresses: Arc<RwLock<Vec<Multiaddr>>>,
    streams: Control,
    pool: Arc<StreamPool>,
    shares: Shares,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Reaches peers that are not members, for the join protocol.
#[derive(Clone)]
pub(super) struct Strangers {
    commands: mpsc::Sender<Command>,
    join: Control,
}

impl Strangers {
    pub(super) async fn open_join_stream(
        &self,
        peer: PeerId,
        addresses: &[Multiaddr],
    ) -> Result<Stream, String> {
        let opened = async {
            let (answer, connected) = oneshot::channel();
            let command = Command::ConnectStranger {
                peer,
                addresses: addresses.to_vec(),
                answer,
            };
            connect(&self.commands, command, connected).await?;
            open(self.join.clone(), peer, JOIN_PROTOCOL).await
        };
        tokio::time::timeout(REACHING_STRANGER, opened)
            .await
            .unwrap_or_else(|_| Err(format!("no answer in {} s", REACHING_STRANGER.as_secs())))
    }
}

/// What each member may have open at a time.
#[derive(Clone, Default)]
struct Shares {
    of_peers: Arc<Mutex<HashMap<PeerId, Arc<Semaphore>>>>,
}

impl Shares {
    fn take(&self, peer: PeerId) -> Option<OwnedSemaphorePermit> {
        let mut of_peers = self.of_peers.lock().unwrap_or_else(PoisonError::into_inner);
        of_peers.retain(|other, share| {
            *other == peer || share.available_permits() < MAX_STREAMS_PER_PEER
        });
        let share = of_peers
            .entry(peer)
            .or_insert_with(|| Arc::new(Semaphore::new(MAX_STREAMS_PER_PEER)));
        share.clone().try_acquire_owned().ok()
    }
}

impl Mesh {
    /// Listens, and returns when the addresses are known.
    pub async fn start(config: MeshConfig) -> Result<Self, MeshError> {
        let mut swarm = listening_swarm(&config)?;
        let behaviour = swarm.behaviour_mut();
        let streams = behaviour.members.inner_mut().streams.new_control();
        let join = behaviour.join.new_control();

        let (commands, command_receiver) = mpsc::channel(MAX_WAITING_COMMANDS);
        let (members, member_list) = watch::channel(Arc::new(Vec::new()));
        let (farm, farm_receiver) = watch::channel(config.farm);
        let (connected_sender, connected) = watch::channel(BTreeSet::new());
        let (neighbour_sender, neighbours) = watch::channel(HashMap::new());
        let (farms_sender, farms) = watch::channel(Vec::new());
        let (addresses_changed, mut address_count) = watch::channel(0);
        let addresses = Arc::new(RwLock::new(Vec::new()));
        let pool = Arc::new(StreamPool::default());
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();

        let reports = Reports {
            connected: connected_sender,
            addresses: addresses.clone(),
            addresses_changed,
            neighbours: neighbour_sender,
            pool: pool.clone(),
        };
        let own = *swarm.local_peer_id();
        let driver = Driver::new(
            swarm,
            command_receiver,
            member_list,
            farm_receiver,
            reports,
            stop.clone(),
        );
        let strangers = Strangers { commands, join };
        let inner = Inner {
            own,
            strangers: strangers.clone(),
            members,
            farm,
            connected,
            farms,
            addresses,
            streams,
            pool,
            shares: Shares::default(),
            tasks,
            stop,
        };
        let mesh = Self {
            inner: Arc::new(inner),
        };
        mesh.inner.tasks.spawn(driver.run());
        mesh.spawn(watch_neighbours(strangers, neighbours, farms_sender));

        // TCP and QUIC of at least one interface.
        let listening = address_count.wait_for(|count| *count >= 2);
        match tokio::time::timeout(LISTENING, listening).await {
            Ok(Ok(_)) => {}
            _ => {
                return Err(MeshError::Listen {
                    port: config.port,
                    reason: "no network interface has an address".to_owned(),
                });
            }
        }
        Ok(mesh)
    }

    pub fn peer_id(&self) -> PeerId {
        self.inner.own
    }

    /// Where this node listens, with the port that it really has.
    pub fn addresses(&self) -> Vec<Multiaddr> {
        self.inner
            .addresses
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Says who is a member now. Connections of peers that are no longer in the list are closed,
    /// members that are not connected are dialled in the background.
    pub fn set_members(&self, members: Vec<Member>) {
        self.inner.members.send_replace(Arc::new(members));
    }

    pub(crate) fn members(&self) -> Arc<Vec<Member>> {
        self.inner.members.borrow().clone()
    }

    /// From now on this node announces that it belongs to the farm.
    pub fn set_farm(&self, farm: FarmBeacon) {
        self.inner.farm.send_replace(Some(farm));
    }

    /// The members that are connected now.
    pub fn connected(&self) -> watch::Receiver<BTreeSet<PeerId>> {
        self.inner.connected.clone()
    }

    /// Farms that mDNS found, newest word of each peer.
    pub fn discovered_farms(&self) -> watch::Receiver<Vec<DiscoveredFarm>> {
        self.inner.farms.clone()
    }

    /// One request to a member and its answer, each at most [`MAX_MESSAGE_BYTES`].
    ///
    /// Goes over a stream that an earlier call has left, where there is one. When such a stream
    /// turns out to be broken (the member was started again, say) the request is sent once more on
    /// a new stream, so it may reach the member twice: requests must be idempotent.
    pub async fn call(
        &self,
        peer: PeerId,
        channel: Channel,
        request: &[u8],
        timeout: Duration,
    ) -> Result<Bytes, MeshError> {
        if request.len() > MAX_MESSAGE_BYTES {
            return Err(MeshError::Io {
                doing: format!("sending a request to {peer}"),
                reason: format!(
                    "it has {} bytes, more than the limit of {MAX_MESSAGE_BYTES}",
                    request.len()
                ),
            });
        }
        let deadline = Instant::now() + timeout;
        if let Some(stream) = self.inner.pool.take(peer, channel) {
            match exchange(stream, request, deadline).await {
                Exchange::Broken(error) => {
                    // Its neighbours in the pool went over the same connection.
                    tracing::debug!(%peer, %error, "a kept stream is broken, opening another");
                    self.inner.pool.forget(peer);
                }
                other => return self.finish_call(peer, channel, other, timeout),
            }
        }
        let protocol = channel.call_protocol();
        let stream = self.open_stream(peer, protocol, deadline).await?;
        let exchanged = exchange(stream, request, deadline).await;
        self.finish_call(peer, channel, exchanged, timeout)
    }

    fn finish_call(
        &self,
        peer: PeerId,
        channel: Channel,
        exchanged: Exchange,
        timeout: Duration,
    ) -> Result<Bytes, MeshError> {
        match exchanged {
            Exchange::Answered(answer, stream) => {
                self.inner.pool.put_back(peer, channel, stream);
                answer.map_err(|reason| MeshError::Remote { peer, reason })
            }
            Exchange::Broken(error) => Err(MeshError::Unreachable {
                peer,
                reason: format!("the connection broke before the answer: {error}"),
            }),
            Exchange::TimedOut => Err(MeshError::TimedOut { peer, timeout }),
        }
    }

    /// Answers members' requests on that channel from now on.
    pub fn serve(&self, channel: Channel, handler: Arc<dyn RequestHandler>) {
        let members = self.inner.members.subscribe();
        let is_member = move |peer| members.borrow().iter().any(|member| member.peer == peer);
        let protocol = channel.call_protocol();
        self.on_each_stream(protocol, move |peer, stream, share| {
            let handler = handler.clone();
            let is_member = is_member.clone();
            async move {
                if let Err(error) = serve_stream(peer, stream, handler, is_member).await {
                    tracing::debug!(%peer, ?channel, %error, "a stream of calls ended");
                }
                drop(share);
            }
        });
    }

    /// Opens a stream to a member for this side to write.
    pub async fn open(
        &self,
        peer: PeerId,
        channel: Channel,
        timeout: Duration,
    ) -> Result<MessageStream, MeshError> {
        let deadline = Instant::now() + timeout;
        let protocol = channel.stream_protocol();
        let stream = self.open_stream(peer, protocol, deadline).await?;
        Ok(MessageStream::new(peer, stream, None))
    }

    /// Streams that members open on that channel, for this side to read.
    pub fn accept(&self, channel: Channel) -> mpsc::Receiver<(PeerId, MessageStream)> {
        let (sender, receiver) = mpsc::channel(MAX_WAITING_STREAMS);
        let protocol = channel.stream_protocol();
        self.on_each_stream(protocol, move |peer, stream, share| {
            let sender = sender.clone();
            async move {
                let stream = MessageStream::new(peer, stream, Some(share));
                // Nobody accepts any more where this fails; the stream is dropped then.
                let _ = sender.send((peer, stream)).await;
            }
        });
        receiver
    }

    /// Opens a stream to a member's web room: HTTP/1, one request a stream.
    pub async fn open_web(&self, peer: PeerId, timeout: Duration) -> Result<ByteStream, MeshError> {
        let deadline = Instant::now() + timeout;
        let stream = self.open_stream(peer, WEB_PROTOCOL, deadline).await?;
        Ok(ByteStream::new(peer, stream, None))
    }

    /// Streams that members open to this node's web room.
    pub fn accept_web(&self) -> mpsc::Receiver<ByteStream> {
        let (sender, receiver) = mpsc::channel(MAX_WAITING_STREAMS);
        self.on_each_stream(WEB_PROTOCOL, move |peer, stream, share| {
            let sender = sender.clone();
            async move {
                let stream = ByteStream::new(peer, stream, Some(share));
                // Nobody accepts any more where this fails; the stream is dropped then.
                let _ = sender.send(stream).await;
            }
        });
        receiver
    }

    /// Serves the join protocol, the only one that reaches peers that are not members.
    pub fn serve_join(&self, admission: Arc<dyn Admission>) {
        let mut control = self.inner.strangers.join.clone();
        let Ok(mut incoming) = control.accept(JOIN_PROTOCOL) else {
            tracing::error!("the join protocol is served already");
            return;
        };
        let farm = self.inner.farm.subscribe();
        let tasks = self.inner.tasks.clone();
        let stop = self.inner.stop.clone();
        let places = Arc::new(Semaphore::new(MAX_JOINS_AT_A_TIME));
        self.spawn(async move {
            while let Some((peer, stream)) = incoming.next().await {
                let Ok(place) = places.clone().try_acquire_owned() else {
                    tracing::warn!(%peer, "too many peers ask to join at once, turning one away");
                    continue;
                };
                let beacon = farm.borrow().clone();
                let admission = admission.clone();
                tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
                    let served = join::serve(peer, stream, beacon, &*admission);
                    let ended = tokio::time::timeout(SERVING_STRANGER, served).await;
                    tracing::debug!(%peer, ?ended, "a stream of the join protocol ended");
                    drop(place);
                }));
            }
        });
    }

    /// Joins the ticket's farm: checks the farm's identity first, then shows the secret.
    /// Answers the bytes that the farm's [`Admission::admit`] gave.
    ///
    /// Tries the ticket's members in turn, then the members of that farm that mDNS has found.
    pub async fn join(&self, ticket: &Ticket, name: &str) -> Result<Vec<u8>, JoinError> {
        // The farm makes a member's connection anew, and the answer that tells the joiner so may
        // be lost with the old one. Asking again gets the same answer.
        for _ in 1..JOIN_ROUNDS {
            match self.ask_everyone_to_join(ticket, name).await {
                Err(JoinError::Unreachable(reason)) => {
                    tracing::debug!(%reason, "asking the farm once more");
                    tokio::time::sleep(JOIN_PAUSE).await;
                }
                decided => return decided,
            }
        }
        self.ask_everyone_to_join(ticket, name).await
    }

    async fn ask_everyone_to_join(
        &self,
        ticket: &Ticket,
        name: &str,
    ) -> Result<Vec<u8>, JoinError> {
        let mut reasons = Vec::new();
        let mut other_farm = None;
        let mut tried = BTreeSet::from([self.inner.own]);
        loop {
            let next = self
                .join_candidates(ticket)
                .into_iter()
                .find(|(peer, _)| !tried.contains(peer));
            let Some((peer, addresses)) = next else {
                break;
            };
            tried.insert(peer);
            match self.join_through(ticket, name, peer, &addresses).await {
                Ok(welcome) => return Ok(welcome),
                Err(Attempt::Final(error)) => return Err(error),
                Err(Attempt::OtherFarm) => other_farm = Some(peer),
                Err(Attempt::TryOther(reason)) => reasons.push(format!("{peer}: {reason}")),
            }
        }
        match other_farm {
            Some(peer) => Err(JoinError::OtherFarm { peer }),
            None if reasons.is_empty() => Err(JoinError::Unreachable(
                "the ticket names no other node".to_owned(),
            )),
            None => Err(JoinError::Unreachable(reasons.join("; "))),
        }
    }

    fn join_candidates(&self, ticket: &Ticket) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let farms = self.inner.farms.borrow();
        let neighbours = farms
            .iter()
            .filter(|found| found.beacon.farm == ticket.farm)
            .map(|found| (found.peer, found.addresses.clone()));
        ticket.members.iter().cloned().chain(neighbours).collect()
    }

    async fn join_through(
        &self,
        ticket: &Ticket,
        name: &str,
        peer: PeerId,
        addresses: &[Multiaddr],
    ) -> Result<Vec<u8>, Attempt> {
        let request = JoinRequest {
            secret: ticket.secret,
            name: name.to_owned(),
            addresses: self.addresses().iter().map(ToString::to_string).collect(),
        };
        let stream = self
            .inner
            .strangers
            .open_join_stream(peer, addresses)
            .await
            .map_err(Attempt::TryOther)?;
        join_through(stream, ticket.farm, self.inner.own, request).await
    }

    /// Ends all tasks and connections, and waits until they have ended.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
    }

    /// Connects first, since opening a stream to a peer whose dial is lost would hang
    /// (rust-libp2p #6157).
    async fn open_stream(
        &self,
        peer: PeerId,
        protocol: StreamProtocol,
        deadline: Instant,
    ) -> Result<Stream, MeshError> {
        let connected = || async {
            if self.inner.connected.borrow().contains(&peer) {
                return Ok(());
            }
            let (answer, connected) = oneshot::channel();
            let command = Command::Connect { peer, answer };
            connect(&self.inner.strangers.commands, command, connected).await
        };
        let opened = until_taken(&self.inner.streams, peer, protocol, connected);
        let reason = match timeout_at(deadline, opened).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(reason)) => reason,
            Err(_) => "no connection in time".to_owned(),
        };
        Err(MeshError::Unreachable { peer, reason })
    }

    /// Runs `on_stream` for every stream of that protocol, in a task of its own: the loop that
    /// accepts must not lag, since libp2p-stream drops streams then ([`super::opening`]).
    fn on_each_stream<F, T>(&self, protocol: StreamProtocol, on_stream: F)
    where
        F: Fn(PeerId, Stream, OwnedSemaphorePermit) -> T + Clone + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let mut control = self.inner.streams.clone();
        let Ok(mut incoming) = control.accept(protocol.clone()) else {
            tracing::error!(%protocol, "this protocol is served already");
            return;
        };
        let shares = self.inner.shares.clone();
        let tasks = self.inner.tasks.clone();
        let stop = self.inner.stop.clone();
        self.spawn(async move {
            while let Some((peer, mut stream)) = incoming.next().await {
                let Some(share) = shares.take(peer) else {
                    tracing::warn!(%peer, %protocol, "a member has too many streams open");
                    continue;
                };
                let served = on_stream.clone();
                let served = async move {
                    match take(&mut stream).await {
                        Ok(()) => served(peer, stream, share).await,
                        Err(error) => tracing::debug!(%peer, %error, "a stream ended unserved"),
                    }
                };
                tasks.spawn(stop.clone().run_until_cancelled_owned(served));
            }
        });
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.inner.stop.clone();
        self.inner.tasks.spawn(stop.run_until_cancelled_owned(task));
    }
}

async fn connect(
    commands: &mpsc::Sender<Command>,
    command: Command,
    connected: oneshot::Receiver<Result<(), String>>,
) -> Result<(), String> {
    let stopped = || "the mesh of this node is stopped".to_owned();
    commands.send(command).await.map_err(|_| stopped())?;
    connected.await.map_err(|_| stopped())?
}

async fn open(
    mut control: Control,
    peer: PeerId,
    protocol: StreamProtocol,
) -> Result<Stream, String> {
    control
        .open_stream(peer, protocol)
        .await
        .map_err(|error| error.to_string())
}

#[cfg(test)]
impl Mesh {
    /// Opens a stream of any protocol over the connection that is there.
    pub(super) async fn open_any_for_test(
        &self,
        peer: PeerId,
        protocol: &'static str,
    ) -> Result<(), String> {
        let protocol = StreamProtocol::new(protocol);
        let opened = open(self.inner.streams.clone(), peer, protocol);
        tokio::time::timeout(Duration::from_secs(5), opened)
            .await
            .map_err(|_| "timed out".to_owned())?
            .map(drop)
    }
}
