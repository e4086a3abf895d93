//! Meshes in one process over real sockets on loopback, for tests.
#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use tokio::time::timeout;

use crate::{Identity, Member, Mesh, MeshConfig};

pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn config(identity: Identity, port: u16) -> MeshConfig {
    MeshConfig {
        identity,
        port,
        listen: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        mdns: false,
        farm: None,
    }
}

pub(crate) fn identity() -> Identity {
    let folder = tempfile::tempdir().unwrap();
    Identity::load_or_create(&folder.path().join("node.key")).unwrap()
}

pub(crate) async fn mesh() -> Mesh {
    Mesh::start(config(identity(), 0)).await.unwrap()
}

pub(crate) fn member(mesh: &Mesh) -> Member {
    Member {
        peer: mesh.peer_id(),
        addresses: mesh.addresses(),
    }
}

fn member_over(mesh: &Mesh, transport: Transport) -> Member {
    let is_tcp = |address: &Multiaddr| address.iter().any(|part| matches!(part, Protocol::Tcp(_)));
    let wanted = |address: &Multiaddr| is_tcp(address) == (transport == Transport::Tcp);
    let mut member = member(mesh);
    member.addresses.retain(wanted);
    assert_eq!(member.addresses.len(), 1);
    member
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Quic,
}

pub(crate) async fn farm_of(meshes: &[&Mesh], transport: Transport) {
    let members: Vec<Member> = meshes
        .iter()
        .map(|mesh| member_over(mesh, transport))
        .collect();
    for mesh in meshes {
        mesh.set_members(members.clone());
    }
    for mesh in meshes {
        wait_for_connected(mesh, meshes.len() - 1).await;
    }
}

pub(crate) async fn wait_for_connected(mesh: &Mesh, count: usize) {
    let mut connected = mesh.connected();
    timeout(DEADLINE, connected.wait_for(|peers| peers.len() == count))
        .await
        .expect("connected in time")
        .unwrap();
}
