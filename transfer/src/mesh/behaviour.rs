//! What the swarm speaks: join for everyone, the rest behind the gate.

use std::io;
use std::time::Duration;

use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{StreamProtocol, connection_limits, identify, kad, mdns, ping};

use super::gate::Gate;

const MAX_CONNECTIONS: u32 = 8 * 1024;
const MAX_CONNECTIONS_PER_PEER: u32 = 6;
const MAX_PENDING_CONNECTIONS: u32 = 256;

/// A cut link is noticed after at most the sum of the two. A killed process is noticed at once,
/// since its kernel resets the connection. The timeout leaves room for a node whose every core
/// renders.
const PING_INTERVAL: Duration = Duration::from_secs(2);
const PING_TIMEOUT: Duration = Duration::from_secs(8);
const MEMBER_QUERY_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
pub(super) struct Behaviour {
    pub(super) limits: connection_limits::Behaviour,
    pub(super) mdns: Toggle<mdns::tokio::Behaviour>,
    /// Carries the join protocol, and no other.
    pub(super) join: libp2p_stream::Behaviour,
    pub(super) members: Gate<MemberProtocols>,
}

/// What only members reach.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
pub(super) struct MemberProtocols {
    pub(super) identify: identify::Behaviour,
    pub(super) ping: ping::Behaviour,
    pub(super) kademlia: kad::Behaviour<kad::store::MemoryStore>,
    pub(super) streams: libp2p_stream::Behaviour,
}

impl Behaviour {
    pub(super) fn new(keypair: &Keypair, with_mdns: bool) -> io::Result<Self> {
        let peer = keypair.public().to_peer_id();
        let limits = connection_limits::ConnectionLimits::default()
            .with_max_established(Some(MAX_CONNECTIONS))
            .with_max_established_per_peer(Some(MAX_CONNECTIONS_PER_PEER))
            .with_max_pending_incoming(Some(MAX_PENDING_CONNECTIONS))
            .with_max_pending_outgoing(Some(MAX_PENDING_CONNECTIONS));
        let mdns = match with_mdns {
            true => Some(mdns::tokio::Behaviour::new(mdns::Config::default(), peer)?),
            false => None,
        };
        Ok(Self {
            limits: connection_limits::Behaviour::new(limits),
            mdns: mdns.into(),
            join: libp2p_stream::Behaviour::new(),
            members: Gate::new(MemberProtocols::new(keypair)),
        })
    }
}

impl MemberProtocols {
    fn new(keypair: &Keypair) -> Self {
        let identify = identify::Config::new("/jiggablend/1".to_owned(), keypair.public())
            .with_push_listen_addr_updates(true);
        let ping = ping::Config::new()
            .with_interval(PING_INTERVAL)
            .with_timeout(PING_TIMEOUT);
        Self {
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::new(ping),
            kademlia: kademlia(keypair),
            streams: libp2p_stream::Behaviour::new(),
        }
    }
}

/// Here Kademlia only tells where members are: nobody may store records, and only members, whose
/// addresses are added by hand, are in its buckets.
fn kademlia(keypair: &Keypair) -> kad::Behaviour<kad::store::MemoryStore> {
    let peer = keypair.public().to_peer_id();
    let mut config = kad::Config::new(StreamProtocol::new("/jiggablend/kad/1"));
    config
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        .set_periodic_bootstrap_interval(None)
        .set_query_timeout(MEMBER_QUERY_TIMEOUT);
    let store = kad::store::MemoryStore::new(peer);
    let mut kademlia = kad::Behaviour::with_config(peer, store, config);
    kademlia.set_mode(Some(kad::Mode::Server));
    kademlia
}
