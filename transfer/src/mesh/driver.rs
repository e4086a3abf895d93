//! The task that owns the swarm: it keeps members connected and tells the rest of the mesh.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use futures::StreamExt;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionId, DialError, Swarm, SwarmEvent};
use libp2p::{Multiaddr, PeerId, identify, kad, mdns, ping};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::address_book::{Whereabouts, dial_rounds, first_dial_after};
use super::behaviour::{Behaviour, BehaviourEvent, MemberProtocolsEvent};
use super::calls::StreamPool;
use super::{FarmBeacon, Member};

/// How often due dials and overdue strangers are looked for.
const TICK: Duration = Duration::from_millis(50);
/// How long the connections may take to close when the mesh is stopped.
const LEAVING: Duration = Duration::from_millis(500);
/// After so many failures in a row the other members are asked where that one is.
const FAILURES_BEFORE_ASKING: u32 = 3;
/// A call to a member whose dial failed so short a time ago fails with it.
const FRESH_FAILURE: Duration = Duration::from_millis(100);
/// Addresses taken from one message of a peer.
const MAX_ADDRESSES_PER_WORD: usize = 16;
/// Peers on the local network that are asked for their farm.
const MAX_NEIGHBOURS: usize = 256;

/// What the mesh asks of its driver.
pub(super) enum Command {
    /// Be connected to a member.
    Connect {
        peer: PeerId,
        answer: oneshot::Sender<Result<(), String>>,
    },
    /// Be connected to a peer that need not be a member, at these addresses.
    ConnectStranger {
        peer: PeerId,
        addresses: Vec<Multiaddr>,
        answer: oneshot::Sender<Result<(), String>>,
    },
}

/// What the driver tells the mesh.
pub(super) struct Reports {
    pub(super) connected: watch::Sender<BTreeSet<PeerId>>,
    pub(super) addresses: Arc<RwLock<Vec<Multiaddr>>>,
    pub(super) addresses_changed: watch::Sender<usize>,
    /// Peers of the local network, to be asked for their farm.
    pub(super) neighbours: watch::Sender<HashMap<PeerId, Vec<Multiaddr>>>,
    pub(super) pool: Arc<StreamPool>,
}

/// A dial under way, and the addresses that are tried when it fails.
struct Dial {
    peer: PeerId,
    next_rounds: VecDeque<Vec<Multiaddr>>,
}

type Waiter = oneshot::Sender<Result<(), String>>;

pub(super) struct Driver {
    swarm: Swarm<Behaviour>,
    own: PeerId,
    commands: mpsc::Receiver<Command>,
    member_list: watch::Receiver<Arc<Vec<Member>>>,
    farm: watch::Receiver<Option<FarmBeacon>>,
    reports: Reports,
    stop: CancellationToken,
    members: HashMap<PeerId, Whereabouts>,
    dials: HashMap<ConnectionId, Dial>,
    waiting: HashMap<PeerId, Vec<Waiter>>,
    last_failure: HashMap<PeerId, (Instant, String)>,
}

impl Driver {
    pub(super) fn new(
        swarm: Swarm<Behaviour>,
        commands: mpsc::Receiver<Command>,
        member_list: watch::Receiver<Arc<Vec<Member>>>,
        farm: watch::Receiver<Option<FarmBeacon>>,
        reports: Reports,
        stop: CancellationToken,
    ) -> Self {
        Self {
            own: *swarm.local_peer_id(),
            swarm,
            commands,
            member_list,
            farm,
            reports,
            stop,
            members: HashMap::new(),
            dials: HashMap::new(),
            waiting: HashMap::new(),
            last_failure: HashMap::new(),
        }
    }

    /// Runs until it is stopped, then closes the connections.
    pub(super) async fn run(mut self) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let stop = self.stop.clone();
        loop {
            // A list that was set before a command was sent is in force before the command is.
            if self.member_list.has_changed().unwrap_or(false) {
                self.take_member_list();
            }
            tokio::select! {
                () = stop.cancelled() => break,
                event = self.swarm.select_next_some() => self.on_event(event),
                Some(command) = self.commands.recv() => {
                    if self.member_list.has_changed().unwrap_or(false) {
                        self.take_member_list();
                    }
                    self.on_command(command);
                }
                Ok(()) = self.member_list.changed() => self.take_member_list(),
                _ = tick.tick() => self.on_tick(Instant::now()),
            }
        }
        // Nobody else is told of a QUIC connection's end when its process leaves.
        let _ = tokio::time::timeout(LEAVING, self.close_connections()).await;
    }

    async fn close_connections(&mut self) {
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            // An error says that the connection is gone already.
            let _ = self.swarm.disconnect_peer_id(peer);
        }
        while self.swarm.connected_peers().next().is_some() {
            self.swarm.select_next_some().await;
        }
    }

    fn take_member_list(&mut self) {
        let list = self.member_list.borrow_and_update().clone();
        let now = Instant::now();
        let listed: HashSet<PeerId> = list.iter().map(|member| member.peer).collect();
        let gone: Vec<PeerId> = self
            .members
            .keys()
            .filter(|peer| !listed.contains(peer))
            .copied()
            .collect();
        for peer in gone {
            self.members.remove(&peer);
            self.last_failure.remove(&peer);
            self.kademlia().remove_peer(&peer);
            self.reports.pool.forget(peer);
            self.answer_waiting(peer, Err("it is not a member".to_owned()));
        }
        let own = self.own;
        for member in list.iter().filter(|member| member.peer != own) {
            let first_dial = now + first_dial_after(self.own, member.peer);
            self.members
                .entry(member.peer)
                .or_insert_with(|| Whereabouts::new(Vec::new(), first_dial))
                .set_listed(member.addresses.clone());
            for address in &member.addresses {
                self.kademlia().add_address(&member.peer, address.clone());
            }
        }
        self.swarm.behaviour_mut().members.set_members(listed);
        self.report_connected();
    }

    fn kademlia(&mut self) -> &mut kad::Behaviour<kad::store::MemoryStore> {
        &mut self.swarm.behaviour_mut().members.inner_mut().kademlia
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Connect { peer, answer } => self.connect_member(peer, answer),
            Command::ConnectStranger {
                peer,
                addresses,
                answer,
            } => self.connect_stranger(peer, addresses, answer),
        }
    }

    fn connect_member(&mut self, peer: PeerId, answer: Waiter) {
        // Nobody waits any more where sending an answer fails; that is fine.
        if !self.members.contains_key(&peer) {
            let _ = answer.send(Err("it is not a member of this farm".to_owned()));
            return;
        }
        if self.is_connected(peer) {
            let _ = answer.send(Ok(()));
            return;
        }
        if let Some((at, reason)) = self.last_failure.get(&peer)
            && at.elapsed() < FRESH_FAILURE
        {
            let _ = answer.send(Err(reason.clone()));
            return;
        }
        self.waiting.entry(peer).or_default().push(answer);
        self.dial_member(peer);
    }

    fn connect_stranger(&mut self, peer: PeerId, addresses: Vec<Multiaddr>, answer: Waiter) {
        if peer == self.own {
            let _ = answer.send(Err("it is this node itself".to_owned()));
            return;
        }
        if self.swarm.is_connected(&peer) {
            let _ = answer.send(Ok(()));
            return;
        }
        self.waiting.entry(peer).or_default().push(answer);
        if !self.is_dialling(peer) {
            self.dial(peer, dial_rounds(addresses));
        }
    }

    fn is_connected(&self, peer: PeerId) -> bool {
        self.swarm.behaviour().members.has_open_connection(peer)
    }

    fn is_dialling(&self, peer: PeerId) -> bool {
        self.dials.values().any(|dial| dial.peer == peer)
    }

    fn dial_member(&mut self, peer: PeerId) {
        if self.is_dialling(peer) {
            return;
        }
        let Some(whereabouts) = self.members.get(&peer) else {
            return;
        };
        let rounds = dial_rounds(whereabouts.addresses());
        self.dial(peer, rounds);
    }

    fn dial(&mut self, peer: PeerId, mut rounds: VecDeque<Vec<Multiaddr>>) {
        let Some(addresses) = rounds.pop_front() else {
            self.on_dial_failed(peer, "no address of it is known".to_owned());
            return;
        };
        // Connections of another kind may exist (gated ones, that are being closed), so the
        // condition is ours to check. A new port each time: the listener's own may still be
        // bound to a dead connection of the same two addresses.
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::Always)
            .addresses(addresses)
            .allocate_new_port()
            .build();
        let connection = options.connection_id();
        let dial = Dial {
            peer,
            next_rounds: rounds,
        };
        self.dials.insert(connection, dial);
        if let Err(error) = self.swarm.dial(options) {
            self.on_dial_error(connection, &error);
        }
    }

    fn on_dial_error(&mut self, connection: ConnectionId, error: &DialError) {
        let Some(dial) = self.dials.remove(&connection) else {
            return;
        };
        if dial.next_rounds.is_empty() {
            self.on_dial_failed(dial.peer, one_line(error));
        } else {
            self.dial(dial.peer, dial.next_rounds);
        }
    }

    fn on_dial_failed(&mut self, peer: PeerId, reason: String) {
        tracing::debug!(%peer, reason, "dialling failed");
        self.answer_waiting(peer, Err(reason.clone()));
        let Some(whereabouts) = self.members.get_mut(&peer) else {
            return;
        };
        whereabouts.on_failure(Instant::now());
        let ask_others = whereabouts.failures % FAILURES_BEFORE_ASKING == 0;
        self.last_failure.insert(peer, (Instant::now(), reason));
        if ask_others && !self.reports.connected.borrow().is_empty() {
            self.kademlia().get_closest_peers(peer);
        }
    }

    fn answer_waiting(&mut self, peer: PeerId, answer: Result<(), String>) {
        for waiter in self.waiting.remove(&peer).unwrap_or_default() {
            let _ = waiter.send(answer.clone());
        }
    }

    fn on_tick(&mut self, now: Instant) {
        self.swarm.behaviour_mut().members.close_overdue(now);
        let due: Vec<PeerId> = self
            .members
            .iter()
            .filter(|(_, whereabouts)| whereabouts.next_dial <= now)
            .map(|(peer, _)| *peer)
            .collect();
        for peer in due {
            if !self.is_connected(peer) {
                self.dial_member(peer);
            }
        }
    }

    fn on_event(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                ..
            } => self.on_established(peer_id, connection_id),
            SwarmEvent::ConnectionClosed { peer_id, cause, .. } => {
                tracing::debug!(peer = %peer_id, ?cause, "connection closed");
                self.on_closed(peer_id);
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                error,
                ..
            } => self.on_dial_error(connection_id, &error),
            SwarmEvent::NewListenAddr { address, .. } => {
                self.change_addresses(|known| known.push(address));
            }
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                self.change_addresses(|known| known.retain(|other| *other != address));
            }
            SwarmEvent::ListenerError { error, .. } => {
                tracing::warn!(%error, "a listener of the mesh had an error");
            }
            SwarmEvent::Behaviour(BehaviourEvent::Mdns(event)) => self.on_mdns(event),
            SwarmEvent::Behaviour(BehaviourEvent::Members(event)) => self.on_member_event(event),
            _ => {}
        }
    }

    fn on_established(&mut self, peer: PeerId, connection: ConnectionId) {
        self.dials.remove(&connection);
        let is_member = self.members.contains_key(&peer);
        let is_open = self.swarm.behaviour().members.is_open(connection);
        if is_member != is_open {
            // The member list changed under it; the gate is closing it.
            return;
        }
        tracing::debug!(%peer, is_member, "connected");
        self.last_failure.remove(&peer);
        if let Some(whereabouts) = self.members.get_mut(&peer) {
            whereabouts.on_success();
            self.report_connected();
        }
        self.answer_waiting(peer, Ok(()));
    }

    fn on_closed(&mut self, peer: PeerId) {
        if self.is_connected(peer) {
            return;
        }
        self.reports.pool.forget(peer);
        if let Some(whereabouts) = self.members.get_mut(&peer) {
            whereabouts.on_loss(Instant::now());
        }
        self.report_connected();
    }

    fn report_connected(&self) {
        let gate = &self.swarm.behaviour().members;
        let connected: BTreeSet<PeerId> = self
            .members
            .keys()
            .filter(|peer| gate.has_open_connection(**peer))
            .copied()
            .collect();
        self.reports.connected.send_if_modified(|known| {
            let changed = *known != connected;
            *known = connected;
            changed
        });
    }

    fn change_addresses(&self, change: impl FnOnce(&mut Vec<Multiaddr>)) {
        let mut addresses = self
            .reports
            .addresses
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        change(&mut addresses);
        // Whoever dials from elsewhere should not begin with addresses that only work here.
        addresses.sort_by_key(is_loopback);
        let count = addresses.len();
        drop(addresses);
        self.reports.addresses_changed.send_replace(count);
    }

    fn on_mdns(&mut self, event: mdns::Event) {
        match event {
            mdns::Event::Discovered(found) => {
                for (peer, address) in found {
                    self.on_neighbour(peer, address);
                }
            }
            mdns::Event::Expired(gone) => self.reports.neighbours.send_modify(|neighbours| {
                for (peer, _) in gone {
                    neighbours.remove(&peer);
                }
            }),
        }
    }

    fn on_neighbour(&mut self, peer: PeerId, address: Multiaddr) {
        if self.members.contains_key(&peer) {
            self.learn(peer, address);
        } else if self.farm.borrow().is_none() {
            self.reports.neighbours.send_if_modified(|neighbours| {
                if neighbours.len() >= MAX_NEIGHBOURS && !neighbours.contains_key(&peer) {
                    return false;
                }
                let addresses = neighbours.entry(peer).or_default();
                let is_new =
                    !addresses.contains(&address) && addresses.len() < MAX_ADDRESSES_PER_WORD;
                if is_new {
                    addresses.push(address);
                }
                is_new
            });
        }
    }

    /// Takes note of a member's address, and dials it now where the member is not connected.
    fn learn(&mut self, peer: PeerId, address: Multiaddr) {
        let is_connected = self.is_connected(peer);
        let Some(whereabouts) = self.members.get_mut(&peer) else {
            return;
        };
        let address = without_peer(address);
        if whereabouts.learn(address.clone()) && !is_connected {
            whereabouts.next_dial = Instant::now();
        }
        self.kademlia().add_address(&peer, address);
    }

    fn on_member_event(&mut self, event: MemberProtocolsEvent) {
        match event {
            MemberProtocolsEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                for address in info.listen_addrs.into_iter().take(MAX_ADDRESSES_PER_WORD) {
                    self.learn(peer_id, address);
                }
            }
            MemberProtocolsEvent::Ping(ping::Event {
                peer,
                connection,
                result: Err(failure),
            }) => {
                // A member that has not yet read that this node is one too serves no ping to it.
                if matches!(failure, ping::Failure::Unsupported) {
                    return;
                }
                tracing::info!(%peer, %failure, "a member does not answer, closing the connection");
                self.swarm.close_connection(connection);
            }
            MemberProtocolsEvent::Kademlia(kad::Event::OutboundQueryProgressed {
                result: kad::QueryResult::GetClosestPeers(result),
                ..
            }) => self.on_peers_found(result),
            _ => {}
        }
    }

    fn on_peers_found(&mut self, result: kad::GetClosestPeersResult) {
        let peers = match result {
            Ok(found) => found.peers,
            Err(kad::GetClosestPeersError::Timeout { peers, .. }) => peers,
        };
        for found in peers {
            for address in found.addrs.into_iter().take(MAX_ADDRESSES_PER_WORD) {
                self.learn(found.peer_id, address);
            }
        }
    }
}

fn is_loopback(address: &Multiaddr) -> bool {
    address.iter().any(|part| match part {
        Protocol::Ip4(ip) => ip.is_loopback(),
        Protocol::Ip6(ip) => ip.is_loopback(),
        _ => false,
    })
}

/// mDNS and Kademlia may end an address with `/p2p/…`; the dial names the peer already.
fn without_peer(mut address: Multiaddr) -> Multiaddr {
    if matches!(address.iter().last(), Some(Protocol::P2p(_))) {
        address.pop();
    }
    address
}

/// libp2p's dial errors list their addresses on lines of their own.
fn one_line(error: &DialError) -> String {
    let text = error.to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
