//! Starts the rooms of a node in order, tells its owner, and stops them in the opposite order.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jiggablend_raft::{Actor, JobLog, JobLogConfig, NodeId, Roles, SecretHash, TimeoutProfile};
use jiggablend_transfer::{Content, ContentStore, Identity, Mesh, MeshConfig, Ticket};
use jiggablend_web::{LiveBoard, TicketMaker as _, WebConfig, WebServer, ensure_test_user};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::announce::Announcer;
use super::entry::{
    FIRST_NODE, beacon, create_farm, describe_farms_nearby, introduced_members, join_farm,
};
use super::housekeeping::Housekeeper;
use super::local_auth::LocalAuth;
use crate::admission::FarmDoor;
use crate::cli::{Endpoint, NodeJoinArgs, NodeOptions, NodeStartArgs};
use crate::data_dir::{DataDir, Membership};
use crate::leader::Duties;
use crate::link::{NodeInbox, NodeSide, Switchboard};
use crate::mesh_transport::{MeshTransport, serve_job_log};
use crate::outbox::LogOutbox;
use crate::runner::{Runner, RunnerConfig};

/// The largest scene file that is taken.
const MAX_UPLOAD_BYTES: u64 = 64 << 30;

/// Entries of the job log between two snapshots.
const SNAPSHOT_EVERY: u64 = 10_000;

/// The ticket that a first node prints is good for as long as it takes to walk to the next machine.
const FIRST_TICKET_TTL: Duration = Duration::from_secs(15 * 60);

/// A node that stops gives its rooms this long.
const STOP_TIME: Duration = Duration::from_secs(10);

/// A joined node has the farm's log within this time, or says what it waits for.
const PATIENCE_BEFORE_A_WORD: Duration = Duration::from_secs(5);

/// `node start`: goes on with the farm of its data directory, or makes a new one.
pub(crate) async fn start(arguments: NodeStartArgs) -> anyhow::Result<()> {
    let NodeStartArgs { farm_name, options } = arguments;
    let ground = Ground::prepare(&options).await?;
    let known = ground.data.membership()?;
    let node = known.as_ref().map_or(FIRST_NODE, |known| known.node);
    let log = ground.open_log(&options, node, known.as_ref()).await?;
    let (membership, is_new) = match known {
        Some(membership) => (membership, false),
        None => {
            let farm_name = farm_name.unwrap_or_else(|| "farm".to_owned());
            let name = node_name(&options)?;
            let created = create_farm(&ground.data, &log, &ground.mesh, farm_name, name).await?;
            (created, true)
        }
    };
    Running::start(options, ground, membership, log, is_new)
        .await?
        .until_stopped()
        .await
}

/// `node join`: joins the ticket's farm and runs. Without a ticket, says which farms are near.
pub(crate) async fn join(arguments: NodeJoinArgs) -> anyhow::Result<()> {
    let NodeJoinArgs { ticket, options } = arguments;
    let ticket = ticket.map(read_ticket).transpose()?;
    let ground = Ground::prepare(&options).await?;
    let Some(ticket) = ticket else {
        let nearby = describe_farms_nearby(&ground.mesh).await;
        ground.mesh.shutdown().await;
        bail!("node join needs a ticket; {nearby}");
    };
    let name = node_name(&options)?;
    let membership = join_farm(&ground.data, &ground.mesh, &ticket, &name).await?;
    let log = ground
        .open_log(&options, membership.node, Some(&membership))
        .await?;
    Running::start(options, ground, membership, log, false)
        .await?
        .until_stopped()
        .await
}

/// The ticket as it was typed, or from stdin for `-`.
fn read_ticket(typed: String) -> anyhow::Result<Ticket> {
    let text = if typed == "-" {
        std::io::read_to_string(std::io::stdin()).context("cannot read the ticket from stdin")?
    } else {
        typed
    };
    Ok(text.parse()?)
}

fn node_name(options: &NodeOptions) -> anyhow::Result<String> {
    match &options.name {
        Some(name) => Ok(name.clone()),
        None => {
            let name = hostname::get().context("cannot read this host's name; give --name")?;
            Ok(name.to_string_lossy().into_owned())
        }
    }
}

/// What a node stands on before it knows its farm: directory, identity, ports.
struct Ground {
    data: DataDir,
    local_auth: LocalAuth,
    mesh: Mesh,
    web: TcpListener,
    web_address: SocketAddr,
}

impl Ground {
    async fn prepare(options: &NodeOptions) -> anyhow::Result<Self> {
        let local_auth = LocalAuth::from_environment()?;
        let data = DataDir::open(
            &options.data.path(),
            options.db.clone(),
            options.storage.clone(),
        )?;
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
            local_auth,
            mesh,
            web,
            web_address,
        })
    }

    async fn open_log(
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
            dir: self.data.log(),
            db: self.data.db().to_owned(),
            timeouts: if options.wan {
                TimeoutProfile::Wan
            } else {
                TimeoutProfile::Lan
            },
            snapshot_every: SNAPSHOT_EVERY,
            expect_log: false,
        };
        let transport = Arc::new(MeshTransport::new(self.mesh.clone()));
        let log = JobLog::open(config, transport).await?;
        serve_job_log(&self.mesh, log.clone());
        Ok(log)
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

/// The rooms of a node at work.
struct Running {
    stop: CancellationToken,
    tasks: JoinSet<()>,
    runner: Runner,
    log: JobLog,
    content: Content,
    mesh: Mesh,
    /// Keeps the directory locked until everything has stopped.
    data: DataDir,
}

impl Running {
    async fn start(
        options: NodeOptions,
        ground: Ground,
        membership: Membership,
        log: JobLog,
        is_new_farm: bool,
    ) -> anyhow::Result<Self> {
        let Ground {
            data,
            local_auth,
            mesh,
            web,
            web_address,
        } = ground;
        let node = membership.node;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let live = LiveBoard::default();
        mesh.set_farm(beacon(&membership));

        let store = ContentStore::open(data.storage())?;
        let content = Content::new(store, mesh.clone());
        let door = FarmDoor::open(node, log.clone(), mesh.clone());

        let (progress, progress_inbox) = mpsc::channel(256);
        let outbox = LogOutbox {
            node,
            log: log.clone(),
            progress,
            stop: stop.clone(),
        };
        let runner = Runner::start(
            runner_config(&options, &data),
            content.clone(),
            Arc::new(outbox),
        )
        .await;

        let (switchboard, arrivals, callbacks) = Switchboard::new(mesh.clone(), log.clone());
        tasks.spawn(switchboard.clone().run(stop.clone()));
        let duties = Duties {
            log: log.clone(),
            switchboard: switchboard.clone(),
            arrivals,
        };
        tasks.spawn(duties.run(stop.clone()));
        let node_side = NodeSide {
            node,
            switchboard,
            log: log.clone(),
            runner: runner.clone(),
            live: live.clone(),
        };
        let inbox = NodeInbox {
            callbacks,
            progress: progress_inbox,
            leadership: log.leadership(),
        };
        tasks.spawn(node_side.run(inbox, stop.clone()));
        let housekeeper = Housekeeper {
            node,
            log: log.clone(),
            mesh: mesh.clone(),
            live: live.clone(),
            introduced: introduced_members(&membership),
        };
        tasks.spawn(housekeeper.run(stop.clone()));

        let operator_token = data.operator_token()?;
        let public_url = public_url(&options, &mesh, web_address);
        let announcer = Announcer {
            node,
            log: log.clone(),
            mesh: mesh.clone(),
            runner: runner.clone(),
            web_address: public_url.clone(),
            operator_token: SecretHash::of(operator_token.as_bytes()),
        };
        tasks.spawn(announcer.run(stop.clone()));
        tasks.spawn(make_test_user(
            log.clone(),
            local_auth.clone(),
            stop.clone(),
        ));

        let server = WebServer {
            config: WebConfig {
                node,
                local_auth: local_auth.enabled,
                max_upload_bytes: MAX_UPLOAD_BYTES,
                copies: options.copies as usize,
            },
            log: log.clone(),
            content: content.clone(),
            live,
            tickets: door.clone(),
        };
        let stop_web = stop.clone();
        tasks.spawn(async move {
            if let Err(error) = server.serve(web, stop_web).await {
                error!("the web port ended: {error}");
            }
        });
        let endpoint = Endpoint {
            url: local_url(web_address),
            token: operator_token,
            node,
        };
        endpoint.write(data.root())?;

        let running = Self {
            stop,
            tasks,
            runner,
            log,
            content,
            mesh,
            data,
        };
        running
            .greet(&options, &membership, &public_url, &door, is_new_farm)
            .await?;
        Ok(running)
    }

    /// Says where the page is and, on a farm's first start, how the next machine joins.
    async fn greet(
        &self,
        options: &NodeOptions,
        membership: &Membership,
        url: &str,
        door: &FarmDoor,
        is_new_farm: bool,
    ) -> anyhow::Result<()> {
        self.wait_for_the_farm(membership.node).await;
        let facts = self.runner.facts();
        let join_command = if is_new_farm {
            let roles = Roles {
                voter: true,
                runner: true,
            };
            let actor = Actor::Operator(membership.node);
            let (ticket, _) = door.make(actor, roles, FIRST_TICKET_TTL, false).await?;
            Some(format!("jiggablend node join {ticket}"))
        } else {
            None
        };
        if options.json {
            let greeting = serde_json::json!({
                "node": membership.node.0,
                "farm": membership.farm_name,
                "fingerprint": membership.farm.fingerprint(),
                "web": url,
                "join_command": join_command,
                "blender_version": facts.blender_version,
                "why_not": facts.why_not,
            });
            println!("{greeting}");
            return Ok(());
        }
        println!(
            "node {} of the farm '{}' ({})",
            membership.node,
            membership.farm_name,
            membership.farm.fingerprint()
        );
        println!("web page: {url}");
        match (&facts.blender_version, &facts.why_not) {
            (Some(version), _) => println!("renders with Blender {version}"),
            (None, Some(why_not)) => println!("does not render: {why_not}"),
            (None, None) => println!("does not render"),
        }
        if let Some(command) = join_command {
            println!("on the next machine, within 15 minutes:\n\n  {command}\n");
        }
        Ok(())
    }

    /// Waits until this node is in the log and a leader is known. Says so where that takes long.
    async fn wait_for_the_farm(&self, node: NodeId) {
        let mut leadership = self.log.leadership();
        let ready = async {
            loop {
                let is_there = leadership.borrow_and_update().leader.is_some()
                    && self.log.read(|state| state.nodes.contains_key(&node));
                if is_there {
                    return;
                }
                // The log may arrive without a change of leader.
                let _ = timeout(Duration::from_millis(100), leadership.changed()).await;
            }
        };
        tokio::pin!(ready);
        let stopped = stop_signal();
        tokio::pin!(stopped);
        if timeout(PATIENCE_BEFORE_A_WORD, &mut ready).await.is_err() {
            info!("waiting for a majority of the farm's voters; this node goes on trying");
            tokio::select! {
                () = ready => {}
                _ = stopped => {}
            }
        }
    }

    async fn until_stopped(mut self) -> anyhow::Result<()> {
        let fault = tokio::select! {
            signal = stop_signal() => {
                info!("{signal}: this node stops");
                None
            }
            reason = self.log.stopped() => Some(reason),
            reason = self.content.store().failed() => Some(reason),
        };
        self.stop.cancel();
        let orderly = async {
            while self.tasks.join_next().await.is_some() {}
            self.runner.shutdown().await;
            self.log.shutdown().await;
            self.mesh.shutdown().await;
        };
        if timeout(STOP_TIME, orderly).await.is_err() {
            warn!(
                "some part of this node did not stop within {} s",
                STOP_TIME.as_secs()
            );
        }
        drop(self.data);
        match fault {
            None => Ok(()),
            Some(reason) => bail!("this node had to stop: {reason}"),
        }
    }
}

fn runner_config(options: &NodeOptions, data: &DataDir) -> RunnerConfig {
    RunnerConfig {
        blender: options.blender.clone(),
        render: !options.no_render,
        slots: options.slots,
        copies: options.copies as usize,
        ..RunnerConfig::new(data.scratch())
    }
}

/// The test user is made once the farm has a leader, however long that takes.
async fn make_test_user(log: JobLog, auth: LocalAuth, stop: CancellationToken) {
    let Some((email, password)) = auth.test_user else {
        return;
    };
    while let Err(error) = ensure_test_user(&log, &email, &password).await {
        warn!("cannot make the test user yet: {error}");
        tokio::select! {
            () = sleep(Duration::from_secs(1)) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// The page's address for programs on this machine.
fn local_url(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("http://127.0.0.1:{}", address.port())
    } else {
        format!("http://{address}")
    }
}

/// The page's address for others: what the owner says, or the first address that is not loopback.
fn public_url(options: &NodeOptions, mesh: &Mesh, address: SocketAddr) -> String {
    if let Some(host) = &options.advertise {
        return format!("http://{host}:{}", address.port());
    }
    if !address.ip().is_unspecified() {
        return format!("http://{address}");
    }
    let reachable = mesh
        .addresses()
        .iter()
        .filter_map(ip_of)
        .find(|ip| !ip.is_loopback() && !ip.is_unspecified())
        .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    format!("http://{}", SocketAddr::new(reachable, address.port()))
}

fn ip_of(address: &jiggablend_transfer::Multiaddr) -> Option<IpAddr> {
    let text = address.to_string();
    let mut parts = text.split('/').skip(1);
    match (parts.next()?, parts.next()?) {
        ("ip4" | "ip6", ip) => ip.parse().ok(),
        _ => None,
    }
}

/// Resolves with the name of the signal that asks the process to stop.
async fn stop_signal() -> &'static str {
    let mut terminate =
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(terminate) => terminate,
            Err(error) => {
                error!("cannot listen for SIGTERM: {error}");
                return std::future::pending().await;
            }
        };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => "interrupted",
        _ = terminate.recv() => "terminated",
    }
}
