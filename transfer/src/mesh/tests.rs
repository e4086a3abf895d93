//! Two and three meshes in one process, over real sockets on loopback.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use libp2p::PeerId;
use libp2p::identity::ed25519;
use tokio::time::timeout;

use super::*;
use crate::Ticket;
use crate::test_farm::{
    DEADLINE, Transport, config, farm_of, identity, member, mesh, wait_for_connected,
};

const CALL: Duration = Duration::from_secs(5);
/// A debug build encrypts a few megabytes a second, and others may be using the machine.
const BULK: Duration = Duration::from_secs(60);

/// Answers with what it got, an error for the request "fail", and nothing in time for "sleep".
struct Echo;

#[async_trait]
impl RequestHandler for Echo {
    async fn handle(&self, _from: PeerId, request: Bytes) -> Result<Vec<u8>, String> {
        match &request[..] {
            b"fail" => Err("as you asked".to_owned()),
            b"sleep" => std::future::pending().await,
            _ => Ok(request.to_vec()),
        }
    }
}

async fn calls_work(transport: Transport) {
    let (a, b) = (mesh().await, mesh().await);
    b.serve(Channel::JobLog, Arc::new(Echo));
    farm_of(&[&a, &b], transport).await;
    let peer = b.peer_id();

    for length in [0, 1, 1_000_000, MAX_MESSAGE_BYTES] {
        let request = vec![5; length];
        let answer = a.call(peer, Channel::JobLog, &request, BULK);
        let answer = answer.await.unwrap();
        assert!(answer == request, "{length} bytes came back changed");
    }
    let too_long = vec![5; MAX_MESSAGE_BYTES + 1];
    let refused = a.call(peer, Channel::JobLog, &too_long, CALL).await;
    assert!(matches!(refused, Err(MeshError::Io { .. })), "{refused:?}");

    let failed = a.call(peer, Channel::JobLog, b"fail", CALL).await;
    assert!(
        matches!(&failed, Err(MeshError::Remote { reason, .. }) if reason == "as you asked"),
        "{failed:?}"
    );
    let short = Duration::from_millis(50);
    let late = a.call(peer, Channel::JobLog, b"sleep", short).await;
    assert!(matches!(late, Err(MeshError::TimedOut { .. })), "{late:?}");
    let nobody = a.call(peer, Channel::Content, b"x", CALL).await;
    assert!(
        matches!(nobody, Err(MeshError::Unreachable { .. })),
        "{nobody:?}"
    );
    let stranger = a.call(PeerId::random(), Channel::JobLog, b"x", CALL).await;
    assert!(
        matches!(stranger, Err(MeshError::Unreachable { .. })),
        "{stranger:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn members_call_each_other_over_tcp() {
    calls_work(Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_call_each_other_over_quic() {
    calls_work(Transport::Quic).await;
}

async fn streams_work(transport: Transport) {
    let (a, b) = (mesh().await, mesh().await);
    let mut accepted = b.accept(Channel::Link);
    farm_of(&[&a, &b], transport).await;

    let mut outgoing = a.open(b.peer_id(), Channel::Link, CALL).await.unwrap();
    outgoing.send(b"first").await.unwrap();
    let (from, mut incoming) = timeout(DEADLINE, accepted.recv()).await.unwrap().unwrap();
    assert_eq!(from, a.peer_id());
    outgoing.send(&[3; 100_000]).await.unwrap();
    assert_eq!(incoming.receive().await.unwrap().unwrap(), "first");
    assert_eq!(incoming.receive().await.unwrap().unwrap(), vec![3; 100_000]);
    outgoing.close().await.unwrap();
    assert!(incoming.receive().await.unwrap().is_none());

    let mut outgoing = a.open(b.peer_id(), Channel::Link, CALL).await.unwrap();
    outgoing.send(b"x").await.unwrap();
    let (_, mut incoming) = timeout(DEADLINE, accepted.recv()).await.unwrap().unwrap();
    assert_eq!(incoming.receive().await.unwrap().unwrap(), "x");
    a.shutdown().await;
    assert!(
        timeout(DEADLINE, incoming.receive())
            .await
            .unwrap()
            .is_err(),
        "a node that is gone has not closed its stream in order"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn message_streams_end_in_order_or_with_an_error_over_tcp() {
    streams_work(Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn message_streams_end_in_order_or_with_an_error_over_quic() {
    streams_work(Transport::Quic).await;
}

/// libp2p-stream drops inbound streams that come while one waits to be accepted; on one thread,
/// the loop that accepts cannot come between them.
#[tokio::test]
async fn of_many_streams_that_are_opened_at_one_moment_none_is_lost() {
    const STREAMS: usize = 64;
    let (a, b) = (mesh().await, mesh().await);
    let mut accepted = b.accept(Channel::Content);
    farm_of(&[&a, &b], Transport::Tcp).await;
    let opening = (0..STREAMS).map(|_| a.open(b.peer_id(), Channel::Content, CALL));
    let opened = futures::future::join_all(opening).await;
    for (number, stream) in opened.into_iter().enumerate() {
        let mut stream = stream.unwrap();
        stream.send(&[number as u8]).await.unwrap();
        stream.close().await.unwrap();
    }
    let mut numbers = Vec::new();
    for _ in 0..STREAMS {
        let (_, mut stream) = timeout(DEADLINE, accepted.recv()).await.unwrap().unwrap();
        numbers.push(stream.receive().await.unwrap().unwrap()[0]);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (0..STREAMS as u8).collect::<Vec<_>>());
    a.shutdown().await;
    b.shutdown().await;
}

/// rust-libp2p #5410: streams that both sides write could deadlock over yamux.
async fn both_ways_load(transport: Transport, messages: usize) {
    const MESSAGE_BYTES: usize = 1024 * 1024;
    const STREAMS: usize = 4;
    let (a, b) = (mesh().await, mesh().await);
    let (mut to_a, mut to_b) = (a.accept(Channel::Content), b.accept(Channel::Content));
    farm_of(&[&a, &b], transport).await;

    let send = |from: Mesh, to: PeerId| async move {
        let message = vec![1; MESSAGE_BYTES];
        let mut streams = Vec::new();
        for _ in 0..STREAMS {
            streams.push(from.open(to, Channel::Content, CALL).await.unwrap());
        }
        for round in 0..messages {
            streams[round % STREAMS].send(&message).await.unwrap();
        }
        for stream in streams {
            stream.close().await.unwrap();
        }
    };
    async fn receive(accepted: &mut tokio::sync::mpsc::Receiver<(PeerId, MessageStream)>) -> usize {
        let mut readers = tokio::task::JoinSet::new();
        for _ in 0..STREAMS {
            let (_, mut stream) = accepted.recv().await.unwrap();
            readers.spawn(async move {
                let mut bytes = 0;
                while let Some(message) = stream.receive().await.unwrap() {
                    bytes += message.len();
                }
                bytes
            });
        }
        readers.join_all().await.into_iter().sum()
    }
    let load = async {
        tokio::join!(
            send(a.clone(), b.peer_id()),
            send(b.clone(), a.peer_id()),
            receive(&mut to_a),
            receive(&mut to_b),
        )
    };
    let ((), (), at_a, at_b) = timeout(Duration::from_secs(120), load)
        .await
        .expect("no deadlock");
    assert_eq!(at_a, messages * MESSAGE_BYTES);
    assert_eq!(at_b, messages * MESSAGE_BYTES);
}

#[tokio::test(flavor = "multi_thread")]
async fn load_both_ways_does_not_deadlock_over_tcp() {
    both_ways_load(Transport::Tcp, 64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn load_both_ways_does_not_deadlock_over_quic() {
    // Twice the windows of its streams; a debug build moves a megabyte or two a second over QUIC.
    both_ways_load(Transport::Quic, 16).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_work_again_when_the_other_node_was_started_again() {
    let (a, b) = (mesh().await, identity());
    let first = Mesh::start(config(b.clone(), 0)).await.unwrap();
    first.serve(Channel::JobLog, Arc::new(Echo));
    farm_of(&[&a, &first], Transport::Tcp).await;
    let peer = first.peer_id();
    a.call(peer, Channel::JobLog, b"x", CALL).await.unwrap();
    let port = port_of(&first);

    first.shutdown().await;
    wait_for_connected(&a, 0).await;
    let gone = a.call(peer, Channel::JobLog, b"x", CALL).await;
    assert!(
        matches!(gone, Err(MeshError::Unreachable { .. })),
        "{gone:?}"
    );

    let second = Mesh::start(config(b, port)).await.unwrap();
    second.serve(Channel::JobLog, Arc::new(Echo));
    second.set_members(vec![member(&a)]);
    wait_for_connected(&a, 1).await;
    assert_eq!(
        a.call(peer, Channel::JobLog, b"x", CALL).await.unwrap(),
        "x"
    );
}

fn port_of(mesh: &Mesh) -> u16 {
    mesh.addresses()
        .iter()
        .flat_map(|address| address.iter().collect::<Vec<_>>())
        .find_map(|part| match part {
            libp2p::multiaddr::Protocol::Tcp(port) => Some(port),
            _ => None,
        })
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_is_an_error_that_names_it() {
    let a = mesh().await;
    let port = port_of(&a);
    let second = Mesh::start(config(identity(), port)).await;
    assert!(
        matches!(&second, Err(MeshError::Listen { port: named, .. }) if *named == port),
        "{:?}",
        second.err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_member_loses_its_connection_and_cannot_call() {
    let (a, b) = (mesh().await, mesh().await);
    a.serve(Channel::JobLog, Arc::new(Echo));
    farm_of(&[&a, &b], Transport::Tcp).await;
    b.call(a.peer_id(), Channel::JobLog, b"x", CALL)
        .await
        .unwrap();
    a.set_members(vec![member(&a)]);
    wait_for_connected(&a, 0).await;
    let refused = b.call(a.peer_id(), Channel::JobLog, b"x", CALL).await;
    assert!(
        matches!(refused, Err(MeshError::Unreachable { .. })),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_moved_is_found_through_the_others() {
    let (a, b) = (mesh().await, mesh().await);
    let moving = identity();
    let before = Mesh::start(config(moving.clone(), 0)).await.unwrap();
    farm_of(&[&a, &b, &before], Transport::Tcp).await;
    before.shutdown().await;
    wait_for_connected(&a, 1).await;

    // It comes back elsewhere and knows only b; only its other side could tell a.
    let after = Mesh::start(config(moving, 0)).await.unwrap();
    after.set_members(vec![
        member(&b),
        Member {
            peer: a.peer_id(),
            addresses: vec![],
        },
    ]);
    wait_for_connected(&a, 2).await;
    wait_for_connected(&after, 2).await;
}

struct Gatekeeper {
    key: ed25519::Keypair,
    answer: Result<Vec<u8>, JoinRefusal>,
    secrets_seen: AtomicUsize,
}

impl Gatekeeper {
    fn new(answer: Result<Vec<u8>, JoinRefusal>) -> Arc<Self> {
        Arc::new(Self {
            key: ed25519::Keypair::generate(),
            answer,
            secrets_seen: AtomicUsize::new(0),
        })
    }

    fn farm(&self) -> [u8; 32] {
        *blake3::hash(&self.key.public().to_bytes()).as_bytes()
    }

    fn ticket(&self, members: &[&Mesh]) -> Ticket {
        Ticket {
            farm: self.farm(),
            members: members
                .iter()
                .map(|mesh| (mesh.peer_id(), mesh.addresses()))
                .collect(),
            secret: [4; 32],
            voter: true,
            runner: true,
            expires_at_ms: 0,
        }
    }
}

#[async_trait]
impl Admission for Gatekeeper {
    async fn prove(&self, joiner: PeerId, challenge: [u8; 32]) -> Result<FarmProof, String> {
        Ok(FarmProof {
            public_key: self.key.public().to_bytes(),
            signature: self.key.sign(&FarmProof::signed_bytes(joiner, &challenge)),
        })
    }

    async fn admit(&self, _peer: PeerId, request: JoinRequest) -> Result<Vec<u8>, JoinRefusal> {
        self.secrets_seen.fetch_add(1, Ordering::SeqCst);
        assert_eq!(request.secret, [4; 32]);
        self.answer.clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_joins_and_is_a_member_then() {
    let (farm, joiner) = (mesh().await, mesh().await);
    let gatekeeper = Gatekeeper::new(Ok(b"welcome".to_vec()));
    farm.serve_join(gatekeeper.clone());
    farm.serve(Channel::JobLog, Arc::new(Echo));
    farm.set_members(vec![member(&farm)]);

    let ticket = gatekeeper.ticket(&[&farm]).to_string().parse().unwrap();
    assert_eq!(joiner.join(&ticket, "new").await.unwrap(), b"welcome");

    // The connection of the join is still there, and is replaced by one without the gate.
    let members = vec![member(&farm), member(&joiner)];
    farm.set_members(members.clone());
    joiner.set_members(members);
    wait_for_connected(&farm, 1).await;
    wait_for_connected(&joiner, 1).await;
    let answer = joiner.call(farm.peer_id(), Channel::JobLog, b"x", CALL);
    assert_eq!(answer.await.unwrap(), "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_is_not_shown_to_another_farm() {
    let (other, joiner) = (mesh().await, mesh().await);
    let gatekeeper = Gatekeeper::new(Ok(vec![]));
    other.serve_join(gatekeeper.clone());
    let ticket = Ticket {
        farm: [1; 32],
        ..gatekeeper.ticket(&[&other])
    };
    let refused = joiner.join(&ticket, "new").await;
    assert!(
        matches!(refused, Err(JoinError::OtherFarm { peer }) if peer == other.peer_id()),
        "{refused:?}"
    );
    assert_eq!(gatekeeper.secrets_seen.load(Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_reaches_the_joiner_as_the_farm_gave_it() {
    for refusal in [
        JoinRefusal::TicketSpent,
        JoinRefusal::TicketExpired,
        JoinRefusal::TicketUnknown,
    ] {
        let (farm, joiner) = (mesh().await, mesh().await);
        let gatekeeper = Gatekeeper::new(Err(refusal.clone()));
        farm.serve_join(gatekeeper.clone());
        let answer = joiner.join(&gatekeeper.ticket(&[&farm]), "new").await;
        assert!(
            matches!(&answer, Err(JoinError::Refused(got)) if *got == refusal),
            "{answer:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_down_does_not_keep_a_node_from_joining_through_another() {
    let (down, up, joiner) = (mesh().await, mesh().await, mesh().await);
    let gatekeeper = Gatekeeper::new(Ok(b"welcome".to_vec()));
    up.serve_join(gatekeeper.clone());
    let ticket = gatekeeper.ticket(&[&down, &up]);
    down.shutdown().await;
    assert_eq!(joiner.join(&ticket, "new").await.unwrap(), b"welcome");

    up.shutdown().await;
    let nobody = joiner.join(&ticket, "new").await;
    assert!(
        matches!(nobody, Err(JoinError::Unreachable(_))),
        "{nobody:?}"
    );
}

/// I8. The stranger believes to be a member and tries all that members may.
#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_not_a_member_reaches_the_join_protocol_only() {
    let (farm, stranger) = (mesh().await, mesh().await);
    let gatekeeper = Gatekeeper::new(Err(JoinRefusal::TicketUnknown));
    farm.serve_join(gatekeeper.clone());
    let channels = [Channel::JobLog, Channel::Link, Channel::Content];
    for channel in channels {
        farm.serve(channel, Arc::new(Echo));
    }
    let mut accepted = farm.accept(Channel::Link);
    stranger.set_members(vec![member(&farm)]);
    wait_for_connected(&stranger, 1).await;

    for channel in channels {
        let refused = stranger.call(farm.peer_id(), channel, b"x", CALL).await;
        assert!(
            matches!(&refused, Err(MeshError::Unreachable { reason, .. }) if reason.contains("does not support")),
            "{channel:?}: {refused:?}"
        );
    }
    let refused = stranger.open(farm.peer_id(), Channel::Link, CALL).await;
    assert!(refused.is_err());
    assert!(accepted.try_recv().is_err());
    let libp2ps_own = [
        "/jiggablend/kad/1",
        "/ipfs/id/1.0.0",
        "/ipfs/id/push/1.0.0",
        "/ipfs/ping/1.0.0",
    ];
    for protocol in libp2ps_own {
        let refused = stranger.open_any_for_test(farm.peer_id(), protocol).await;
        assert!(
            refused
                .as_ref()
                .is_err_and(|reason| reason.contains("does not support")),
            "{protocol}: {refused:?}"
        );
    }
    assert!(farm.connected().borrow().is_empty());
    let answer = stranger.join(&gatekeeper.ticket(&[&farm]), "new").await;
    assert!(
        matches!(answer, Err(JoinError::Refused(_))),
        "the join protocol is open: {answer:?}"
    );
}

/// The same protocols as in the test above do answer a member, or that test would show nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_member_reaches_what_a_stranger_is_refused() {
    let (a, b) = (mesh().await, mesh().await);
    farm_of(&[&a, &b], Transport::Tcp).await;
    for protocol in [
        "/jiggablend/kad/1",
        "/ipfs/id/1.0.0",
        "/ipfs/id/push/1.0.0",
        "/ipfs/ping/1.0.0",
    ] {
        let opened = b.open_any_for_test(a.peer_id(), protocol).await;
        assert!(opened.is_ok(), "{protocol}: {opened:?}");
    }
}

/// Both sides write at once, more than any buffer between them holds, and read meanwhile.
async fn bytes_go_both_ways(transport: Transport) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    const LENGTH: usize = 8 << 20;
    let (a, b) = (mesh().await, mesh().await);
    let mut accepted = b.accept_web();
    farm_of(&[&a, &b], transport).await;
    let outgoing = a.open_web(b.peer_id(), CALL).await.unwrap();
    let exchange = |stream: ByteStream, byte: u8| async move {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let writing = async {
            writer.write_all(&vec![byte; LENGTH]).await.unwrap();
            writer.flush().await.unwrap();
        };
        let reading = async {
            let mut bytes = vec![0; LENGTH];
            reader.read_exact(&mut bytes).await.unwrap();
            bytes
        };
        tokio::join!(reading, writing).0
    };
    let there = async {
        let incoming = accepted.recv().await.unwrap();
        assert_eq!(incoming.peer(), a.peer_id());
        exchange(incoming, 2).await
    };
    let both = async { tokio::join!(exchange(outgoing, 1), there) };
    let (got_here, got_there) = timeout(BULK, both).await.unwrap();
    assert!(got_here.iter().all(|byte| *byte == 2));
    assert!(got_there.iter().all(|byte| *byte == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_stream_carries_both_directions_at_once_over_tcp() {
    bytes_go_both_ways(Transport::Tcp).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_stream_carries_both_directions_at_once_over_quic() {
    bytes_go_both_ways(Transport::Quic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_no_member_reaches_no_web_room() {
    let (a, b, stranger) = (mesh().await, mesh().await, mesh().await);
    let mut accepted = b.accept_web();
    farm_of(&[&a, &b], Transport::Tcp).await;
    // The stranger takes them for members; they know nothing of it.
    stranger.set_members(vec![member(&b)]);
    let refused = stranger.open_web(b.peer_id(), Duration::from_secs(2)).await;
    assert!(refused.is_err());
    assert!(accepted.try_recv().is_err());
    let let_in = a.open_web(b.peer_id(), CALL).await;
    assert!(let_in.is_ok());
}
