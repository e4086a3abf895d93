//! The gate between members and everyone else (I8).
//!
//! It wraps all protocols that are for members. What a peer may use is decided once, when its
//! connection is established: a member's connection gets the wrapped protocols' handlers, any other
//! connection gets a handler that knows no protocol at all, so that a request for one is refused by
//! the negotiation itself, before a byte of it is parsed. The wrapped behaviours never learn that
//! such a connection exists. The join protocol is not wrapped: it is what is left.
//!
//! Because handlers cannot be exchanged on a living connection, a peer that becomes a member has
//! its gated connections closed and is dialled again; a peer that is no longer one has its
//! connections closed.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use libp2p::core::{Endpoint, transport::PortUse};
use libp2p::swarm::behaviour::{ConnectionClosed, ConnectionEstablished};
use libp2p::swarm::derive_prelude::Either;
use libp2p::swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler,
    THandler, THandlerInEvent, THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

use super::address_book::is_tcp;

/// Connections of peers that are not members, in both directions together.
const MAX_GATED_CONNECTIONS: usize = 64;
/// How long such a connection may live: enough for a join that waits for a quorum.
const GATED_CONNECTION_LIFETIME: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct TooManyStrangers;

impl fmt::Display for TooManyStrangers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too many peers that are not members are connected")
    }
}

impl std::error::Error for TooManyStrangers {}

struct Gated {
    peer: PeerId,
    since: Instant,
}

/// Serves `inner` to members only.
pub(super) struct Gate<B: NetworkBehaviour> {
    inner: B,
    members: HashSet<PeerId>,
    /// Members' connections, which `inner` knows.
    open: HashMap<ConnectionId, PeerId>,
    /// All others, which it does not know.
    gated: HashMap<ConnectionId, Gated>,
    closing: VecDeque<(PeerId, ConnectionId)>,
    waker: Option<Waker>,
}

impl<B: NetworkBehaviour> Gate<B> {
    pub(super) fn new(inner: B) -> Self {
        Self {
            inner,
            members: HashSet::new(),
            open: HashMap::new(),
            gated: HashMap::new(),
            closing: VecDeque::new(),
            waker: None,
        }
    }

    pub(super) fn inner_mut(&mut self) -> &mut B {
        &mut self.inner
    }

    /// True for a connection over which the member protocols are served.
    pub(super) fn is_open(&self, connection: ConnectionId) -> bool {
        self.open.contains_key(&connection)
    }

    pub(super) fn has_open_connection(&self, peer: PeerId) -> bool {
        self.open.values().any(|other| *other == peer)
    }

    /// Closes the connections that the new list makes wrong, in both senses.
    pub(super) fn set_members(&mut self, members: HashSet<PeerId>) {
        self.members = members;
        for (connection, gated) in &self.gated {
            if self.members.contains(&gated.peer) {
                self.closing.push_back((gated.peer, *connection));
            }
        }
        for (connection, peer) in &self.open {
            if !self.members.contains(peer) {
                self.closing.push_back((*peer, *connection));
            }
        }
        self.wake();
    }

    /// Closes the gated connections that had their time. Called every now and then.
    pub(super) fn close_overdue(&mut self, now: Instant) {
        for (connection, gated) in &self.gated {
            if now.duration_since(gated.since) > GATED_CONNECTION_LIFETIME {
                self.closing.push_back((gated.peer, *connection));
            }
        }
        if !self.closing.is_empty() {
            self.wake();
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn admit(&mut self, connection: ConnectionId, peer: PeerId) -> Result<bool, ConnectionDenied> {
        if self.members.contains(&peer) {
            self.open.insert(connection, peer);
            return Ok(true);
        }
        if self.gated.len() >= MAX_GATED_CONNECTIONS {
            return Err(ConnectionDenied::new(TooManyStrangers));
        }
        let since = Instant::now();
        self.gated.insert(connection, Gated { peer, since });
        Ok(false)
    }

    fn forget(&mut self, connection: ConnectionId) {
        self.open.remove(&connection);
        self.gated.remove(&connection);
    }

    fn open_connections(&self, peer: PeerId) -> usize {
        self.open.values().filter(|other| **other == peer).count()
    }

    /// The connection that an event of `inner` may go to: never one that it does not know.
    fn open_target(&self, peer: PeerId, wanted: NotifyHandler) -> Option<ConnectionId> {
        match wanted {
            NotifyHandler::One(connection) => self.is_open(connection).then_some(connection),
            NotifyHandler::Any => self
                .open
                .iter()
                .find(|(_, other)| **other == peer)
                .map(|(connection, _)| *connection),
        }
    }
}

type GateHandler<B> = Either<THandler<B>, dummy::ConnectionHandler>;

impl<B: NetworkBehaviour> NetworkBehaviour for Gate<B> {
    type ConnectionHandler = GateHandler<B>;
    type ToSwarm = B::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner
            .handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.admit(connection, peer)? {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        let handler = self
            .inner
            .handle_established_inbound_connection(connection, peer, local, remote)?;
        Ok(Either::Left(handler))
    }

    /// Keeps to TCP where the wrapped behaviours know a TCP address: it moves more bytes.
    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let mut known = self
            .inner
            .handle_pending_outbound_connection(connection, peer, addresses, role)?;
        if known.iter().any(is_tcp) {
            known.retain(is_tcp);
        }
        Ok(known)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        if !self.admit(connection, peer)? {
            return Ok(Either::Right(dummy::ConnectionHandler));
        }
        let handler = self
            .inner
            .handle_established_outbound_connection(connection, peer, address, role, port_use)?;
        Ok(Either::Left(handler))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(established) => {
                if !self.is_open(established.connection_id) {
                    return;
                }
                // The counts are of connections that `inner` knows.
                let others = self.open_connections(established.peer_id) - 1;
                let seen = ConnectionEstablished {
                    other_established: others,
                    ..established
                };
                self.inner
                    .on_swarm_event(FromSwarm::ConnectionEstablished(seen));
            }
            FromSwarm::ConnectionClosed(closed) => {
                let was_open = self.is_open(closed.connection_id);
                self.forget(closed.connection_id);
                if was_open {
                    let seen = ConnectionClosed {
                        remaining_established: self.open_connections(closed.peer_id),
                        ..closed
                    };
                    self.inner.on_swarm_event(FromSwarm::ConnectionClosed(seen));
                }
            }
            FromSwarm::AddressChange(change) => {
                if self.is_open(change.connection_id) {
                    self.inner.on_swarm_event(event);
                }
            }
            FromSwarm::DialFailure(failure) => {
                self.forget(failure.connection_id);
                self.inner.on_swarm_event(event);
            }
            FromSwarm::ListenFailure(failure) => {
                self.forget(failure.connection_id);
                self.inner.on_swarm_event(event);
            }
            other => self.inner.on_swarm_event(other),
        }
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {
            Either::Left(event) => self
                .inner
                .on_connection_handler_event(peer, connection, event),
            Either::Right(never) => match never {},
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some((peer_id, connection)) = self.closing.pop_front() {
            return Poll::Ready(ToSwarm::CloseConnection {
                peer_id,
                connection: CloseConnection::One(connection),
            });
        }
        while let Poll::Ready(event) = self.inner.poll(cx) {
            let ToSwarm::NotifyHandler {
                peer_id,
                handler,
                event,
            } = event
            else {
                return Poll::Ready(event.map_in(Either::Left));
            };
            if let Some(connection) = self.open_target(peer_id, handler) {
                return Poll::Ready(ToSwarm::NotifyHandler {
                    peer_id,
                    handler: NotifyHandler::One(connection),
                    event: Either::Left(event),
                });
            }
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn connect(
        gate: &mut Gate<dummy::Behaviour>,
        number: usize,
        peer: PeerId,
    ) -> Result<bool, ConnectionDenied> {
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let connection = ConnectionId::new_unchecked(number);
        let handler =
            gate.handle_established_inbound_connection(connection, peer, &address, &address)?;
        Ok(matches!(handler, Either::Left(_)))
    }

    #[test]
    fn strangers_are_bounded_and_do_not_keep_members_out() {
        let mut gate = Gate::new(dummy::Behaviour);
        let member = PeerId::random();
        gate.set_members(HashSet::from([member]));
        for number in 0..MAX_GATED_CONNECTIONS {
            let is_open = connect(&mut gate, number, PeerId::random()).unwrap();
            assert!(!is_open);
        }
        assert!(connect(&mut gate, 1000, PeerId::random()).is_err());
        assert!(connect(&mut gate, 1001, member).unwrap());
        assert!(gate.has_open_connection(member));
    }

    #[test]
    fn a_stranger_has_a_minute() {
        let mut gate = Gate::new(dummy::Behaviour);
        let stranger = PeerId::random();
        connect(&mut gate, 1, stranger).unwrap();
        let now = Instant::now();
        gate.close_overdue(now);
        assert!(gate.closing.is_empty());
        gate.close_overdue(now + GATED_CONNECTION_LIFETIME + Duration::from_secs(1));
        assert_eq!(gate.closing.len(), 1);
    }

    #[test]
    fn a_change_of_members_closes_what_it_makes_wrong_and_nothing_else() {
        let mut gate = Gate::new(dummy::Behaviour);
        let peers: Vec<PeerId> = (0..4).map(|_| PeerId::random()).collect();
        gate.set_members(HashSet::from([peers[0], peers[1]]));
        for (number, peer) in peers.iter().enumerate() {
            connect(&mut gate, number, *peer).unwrap();
        }
        gate.set_members(HashSet::from([peers[0], peers[2]]));
        let closing: HashSet<PeerId> = gate.closing.iter().map(|(peer, _)| *peer).collect();
        assert_eq!(closing, HashSet::from([peers[1], peers[2]]));
    }
}
