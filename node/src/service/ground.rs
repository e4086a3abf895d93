//! What a node stands on before it knows its farm: directory, identity, ports, and its log.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use jiggablend_raft::{JobLog, JobLogConfig, NodeId, TimeoutProfile};
use jiggablend_transfer::{ContentStore, Identity, Mesh, MeshConfig};
use jiggablend_web::{Certificates, TlsFiles};
use tokio::net::TcpListener;

use super::entry::{beacon, introduced_members};
use super::sign_in::SignInSettings;
use crate::cli::{DoorOptions, NodeOptions};
use crate::data_dir::{DataDir, Membership};
use crate::mesh_transport::{MeshTransport, serve_job_log};

/// Entries of the job log between two snapshots.
const SNAPSHOT_EVERY: u64 = 10_000;

/// See the module.
pub(super) struct Ground {
    pub(super) data: DataDir,
    pub(super) sign_in: SignInSettings,
    pub(super) store: ContentStore,
    pub(super) mesh: Mesh,
    pub(super) certificates: Option<Arc<Certificates>>,
    pub(super) web: TcpListener,
    pub(super) web_address: SocketAddr,
}

impl Ground {
    pub(super) async fn prepare(options: &NodeOptions) -> anyhow::Result<Self> {
        raise_file_limit();
        let sign_in = SignInSettings::from_environment()?;
        let certificates = certificates(&options.doors)?;
        let data = DataDir::open(
            &options.data.path(),
            options.db.clone(),
            options.storage.clone(),
        )?;
        if let Some(membership) = data.membership()? {
            data.ensure_storage_is_of(membership.farm)?;
        }
        let store = ContentStore::open(data.storage())?;
        let identity = Identity::load_or_create(&data.identity_key())?;
        let web = bind_web(options.bind, options.port).await?;
        let web_address = web.local_addr()?;
        let farm = data.membership()?.as_ref().map(beacon);
        let mesh = Mesh::start(MeshConfig {
            identity,
            port: options.mesh_port,
            listen: vec![options.bind],
            mdns: !options.no_mdns,
            farm,
        })
        .await?;
        Ok(Self {
            data,
            sign_in,
            store,
            mesh,
            certificates,
            web,
            web_address,
        })
    }

    pub(super) async fn open_log(
        &self,
        options: &NodeOptions,
        node: NodeId,
        membership: Option<&Membership>,
    ) -> anyhow::Result<JobLog> {
        if let Some(membership) = membership {
            self.mesh.set_farm(beacon(membership));
            self.mesh.set_members(introduced_members(membership));
        }
        let config = JobLogConfig {
            node,
            peer_id: self.mesh.peer_id().to_string(),
            farm: membership.map(|membership| membership.farm),
            expect_log: membership.is_some_and(|membership| membership.has_log),
            dir: self.data.log(),
            db: self.data.db().to_owned(),
            timeouts: if options.wan {
                TimeoutProfile::Wan
            } else {
                TimeoutProfile::Lan
            },
            snapshot_every: SNAPSHOT_EVERY,
        };
        let transport = Arc::new(MeshTransport::new(self.mesh.clone()));
        let log = JobLog::open(config, transport).await?;
        serve_job_log(&self.mesh, log.clone());
        Ok(log)
    }
}

fn certificates(doors: &DoorOptions) -> anyhow::Result<Option<Arc<Certificates>>> {
    let (Some(certificate), Some(key)) = (doors.tls_cert.clone(), doors.tls_key.clone()) else {
        return Ok(None);
    };
    let certificates = Certificates::read(TlsFiles { certificate, key })?;
    Ok(Some(Arc::new(certificates)))
}

/// Clients' connections and the chunks of uploads are open files; many systems give a process 1,024
/// unless it asks for more.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most));
    if let Err(error) = raised {
        tracing::warn!("cannot raise the limit of open files: {error}");
    }
}

async fn bind_web(address: IpAddr, port: u16) -> anyhow::Result<TcpListener> {
    match TcpListener::bind((address, port)).await {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => bail!(
            "the web port {port} is in use by another program; stop that, or choose another port with --port"
        ),
        Err(error) => {
            Err(error).with_context(|| format!("cannot listen on {address}, web port {port}"))
        }
    }
}

/// The page's address for programs on this machine, which need no TLS.
pub(super) fn local_url(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("http://127.0.0.1:{}", address.port())
    } else {
        format!("http://{address}")
    }
}

/// The page's address for others: what the owner says, or the first address that is not loopback.
pub(super) fn public_url(options: &NodeOptions, mesh: &Mesh, address: SocketAddr) -> String {
    let scheme = options.doors.scheme();
    if let Some(host) = &options.advertise {
        return format!("{scheme}://{host}:{}", address.port());
    }
    if !address.ip().is_unspecified() {
        return format!("{scheme}://{address}");
    }
    let reachable = mesh
        .addresses()
        .iter()
        .filter_map(ip_of)
        .find(|ip| !ip.is_loopback() && !ip.is_unspecified())
        .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    format!("{scheme}://{}", SocketAddr::new(reachable, address.port()))
}

fn ip_of(address: &jiggablend_transfer::Multiaddr) -> Option<IpAddr> {
    let text = address.to_string();
    let mut parts = text.split('/').skip(1);
    match (parts.next()?, parts.next()?) {
        ("ip4" | "ip6", ip) => ip.parse().ok(),
        _ => None,
    }
}
