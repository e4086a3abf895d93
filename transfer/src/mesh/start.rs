//! Building the swarm and making it listen.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, Swarm, SwarmBuilder, noise, quic, tcp, yamux};

use super::behaviour::Behaviour;
use super::{MeshConfig, MeshError};

/// Handshake of a dial, or of an accepted connection.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// The gate ends the connections that must end; members' connections stay.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
const QUIC_STREAM_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
const QUIC_CONNECTION_WINDOW_BYTES: u32 = 128 * 1024 * 1024;
/// How often another free port is looked for, when someone else was faster.
const PORT_ATTEMPTS: usize = 16;

/// A swarm that listens on every address of the configuration, over TCP and QUIC on one port.
pub(super) fn listening_swarm(config: &MeshConfig) -> Result<Swarm<Behaviour>, MeshError> {
    let attempts = if config.port == 0 { PORT_ATTEMPTS } else { 1 };
    let mut last_error = None;
    for _ in 0..attempts {
        let mut swarm = build(config)?;
        match listen(&mut swarm, config) {
            Ok(()) => return Ok(swarm),
            Err(error) => last_error = Some(error),
        }
    }
    Err(last_error.expect("there was at least one attempt"))
}

fn build(config: &MeshConfig) -> Result<Swarm<Behaviour>, MeshError> {
    let failed = |reason: &dyn std::fmt::Display| MeshError::Io {
        doing: "starting the mesh".to_owned(),
        reason: reason.to_string(),
    };
    let keypair = config.identity.keypair();
    let behaviour = Behaviour::new(keypair, config.mdns).map_err(|error| failed(&error))?;
    let swarm = SwarmBuilder::with_existing_identity(keypair.clone())
        .with_tokio()
        .with_tcp(
            tcp::Config::default().nodelay(true),
            noise::Config::new,
            yamux::Config::default,
        )
        .map_err(|error| failed(&error))?
        .with_quic_config(quic_windows)
        .with_behaviour(|_| behaviour)
        .map_err(|error| failed(&error))?
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE_TIMEOUT))
        .with_connection_timeout(CONNECTION_TIMEOUT)
        .build();
    Ok(swarm)
}

/// Flow control that keeps a heartbeat from waiting behind bulk bytes. libp2p's own windows let two
/// busy streams use up the whole connection's, and all other streams then wait for it: a ping
/// waited for 15 MB to go through. Here no set of streams that the node really opens can do that.
fn quic_windows(mut config: quic::Config) -> quic::Config {
    config.max_stream_data = QUIC_STREAM_WINDOW_BYTES;
    config.max_connection_data = QUIC_CONNECTION_WINDOW_BYTES;
    config
}

fn listen(swarm: &mut Swarm<Behaviour>, config: &MeshConfig) -> Result<(), MeshError> {
    let failed = |port: u16, reason: String| MeshError::Listen { port, reason };
    let mut port = config.port;
    let mut listening = 0;
    let mut reasons = Vec::new();
    for ip in &config.listen {
        let attempt = claim_port(*ip, port)
            .map_err(|error| error.to_string())
            .and_then(|free| {
                port = free;
                listen_on(swarm, *ip, free)
            });
        match attempt {
            Ok(()) => listening += 1,
            Err(reason) => reasons.push(format!("{ip}: {reason}")),
        }
    }
    let reasons = reasons.join("; ");
    if listening == 0 {
        return Err(failed(port, reasons));
    }
    if !reasons.is_empty() {
        // A host without IPv6, usually.
        tracing::warn!(reasons, "the mesh does not listen on all addresses");
    }
    Ok(())
}

fn listen_on(swarm: &mut Swarm<Behaviour>, ip: IpAddr, port: u16) -> Result<(), String> {
    let tcp = Multiaddr::from(ip).with(Protocol::Tcp(port));
    let quic = Multiaddr::from(ip)
        .with(Protocol::Udp(port))
        .with(Protocol::QuicV1);
    for address in [tcp, quic] {
        swarm.listen_on(address).map_err(|error| {
            let text = error.to_string();
            text.split_whitespace().collect::<Vec<_>>().join(" ")
        })?;
    }
    Ok(())
}

/// A port that is free for TCP and UDP on that address: `wanted`, or any where that is 0.
///
/// libp2p's TCP listener sets SO_REUSEPORT, with which a second node would quietly share the port
/// of the first. So it is claimed without that option before.
fn claim_port(ip: IpAddr, wanted: u16) -> std::io::Result<u16> {
    let tcp = TcpListener::bind(SocketAddr::new(ip, wanted))?;
    let port = tcp.local_addr()?.port();
    let _udp = UdpSocket::bind(SocketAddr::new(ip, port))?;
    Ok(port)
}
