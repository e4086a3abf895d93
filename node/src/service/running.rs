//! Starts the rooms of a node in order, tells its owner, and stops them in the opposite order.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use jiggablend_raft::{
    Action, Actor, Command, Epoch, JobLog, LeaseEnd, NodeId, SecretHash, TaskId,
};
use jiggablend_transfer::{Content, Mesh};
use jiggablend_web::{LiveBoard, LogLines, RunningLogs, WebConfig, WebServer, ensure_test_user};
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::announce::Announcer;
use super::entry::{
    FIRST_NODE, beacon, create_farm, describe_farms_nearby, introduced_members, join_farm,
};
use super::greeting::Greeting;
use super::ground::{Ground, local_url, public_url};
use super::housekeeping::Housekeeper;
use super::sign_in::SignInSettings;
use crate::admission::FarmDoor;
use crate::cli::{Endpoint, NodeJoinArgs, NodeOptions, NodeStartArgs};
use crate::data_dir::{DataDir, Membership};
use crate::http_node;
use crate::leader::Duties;
use crate::link::{HttpRunners, NodeInbox, NodeSide, Switchboard};
use crate::neighbours::MeshNeighbours;
use crate::outbox::LogOutbox;
use crate::runner::{MeshStorage, NodeIds, Runner, RunnerConfig};

/// The largest scene file that is taken.
const MAX_UPLOAD_BYTES: u64 = 64 << 30;

/// A node that stops gives its rooms this long.
const STOP_TIME: Duration = Duration::from_secs(10);

/// A stopping node tries this long to give its leases back.
const RELEASE_TIME: Duration = Duration::from_secs(3);

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
    let NodeJoinArgs {
        ticket,
        http,
        token,
        ca,
        options,
    } = arguments;
    if !http.is_empty() {
        return join_over_http(http, token, ca, options).await;
    }
    let ticket = match ticket {
        Some(typed) => Some(typed_or_stdin(typed, "ticket")?.parse()?),
        None => None,
    };
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

/// `node join --http`: renders for the farm without a place in its mesh.
async fn join_over_http(
    urls: Vec<String>,
    token: Option<String>,
    ca: Option<PathBuf>,
    options: NodeOptions,
) -> anyhow::Result<()> {
    let token = token
        .map(|typed| typed_or_stdin(typed, "registration token"))
        .transpose()?;
    let stop = CancellationToken::new();
    tokio::select! {
        ended = http_node::join(&urls, token, ca.as_deref(), &options, stop.clone()) => ended,
        () = async { stop_at_a_signal(stop.clone()).await; std::future::pending().await } => Ok(()),
    }
}

/// A secret as it was typed, or from stdin for `-`.
fn typed_or_stdin(typed: String, what: &str) -> anyhow::Result<String> {
    if typed != "-" {
        return Ok(typed);
    }
    let text = std::io::read_to_string(std::io::stdin())
        .with_context(|| format!("cannot read the {what} from stdin"))?;
    Ok(text.trim().to_owned())
}

/// What the user calls this node, or else what this machine is called.
pub(crate) fn node_name(options: &NodeOptions) -> anyhow::Result<String> {
    match &options.name {
        Some(name) => Ok(name.clone()),
        None => {
            let name = hostname::get().context("cannot read this host's name; give --name")?;
            Ok(name.to_string_lossy().into_owned())
        }
    }
}

/// The rooms of a node at work.
struct Running {
    node: NodeId,
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
            sign_in,
            store,
            mesh,
            certificates,
            web,
            web_address,
        } = ground;
        let node = membership.node;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(stop_at_a_signal(stop.clone()));
        let live = LiveBoard::default();
        mesh.set_farm(beacon(&membership));

        data.claim_storage(membership.farm)?;
        let content = Content::new(store, mesh.clone());
        let door = FarmDoor::open(node, log.clone(), mesh.clone());

        let (progress, progress_inbox) = mpsc::channel(256);
        let outbox = LogOutbox {
            node,
            log: log.clone(),
            progress,
            stop: stop.clone(),
        };
        let storage = MeshStorage {
            content: content.clone(),
            copies: options.copies as usize,
            node_ids: node_ids(log.clone()),
        };
        let runner = Runner::start(
            runner_config(&options, &data),
            Arc::new(storage),
            Arc::new(outbox),
        )
        .await;

        let (switchboard, arrivals, callbacks) = Switchboard::new(mesh.clone(), log.clone());
        tasks.spawn(switchboard.clone().run(stop.clone()));
        let duties = Duties {
            node,
            log: log.clone(),
            switchboard: switchboard.clone(),
            arrivals,
            webhooks_to_this_machine: options.doors.webhooks_to_this_machine,
        };
        tasks.spawn(duties.run(stop.clone()));
        let http_runners = HttpRunners::default();
        let node_side = NodeSide {
            node,
            switchboard,
            log: log.clone(),
            runner: runner.clone(),
            live: live.clone(),
            http_runners: http_runners.clone(),
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
        tasks.spawn(make_test_user(log.clone(), sign_in.clone(), stop.clone()));

        let server = WebServer {
            config: WebConfig {
                node,
                local_auth: sign_in.local_auth,
                max_upload_bytes: MAX_UPLOAD_BYTES,
                uploads: data.uploads(),
                copies: options.copies as usize,
                certificates,
                trusted_proxies: options.doors.trusted_proxies.clone(),
                webhooks_to_this_machine: options.doors.webhooks_to_this_machine,
            },
            log: log.clone(),
            content: content.clone(),
            live,
            tickets: door.clone(),
            providers: sign_in.providers,
            runners: Arc::new(http_runners),
            neighbours: Arc::new(MeshNeighbours::new(mesh.clone(), log.clone())),
            running_logs: Arc::new(RunnerLogs(runner.clone())),
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

        let greeting = Greeting {
            json: options.json,
            membership: &membership,
            url: &public_url,
            facts: runner.facts(),
        };
        tokio::select! {
            greeted = greeting.say(&log, is_new_farm.then_some(&*door)) => {
                greeted?;
                // It was waited for: the log is here.
                data.write_membership(&Membership { has_log: true, ..membership.clone() })?;
            }
            () = stop.cancelled() => {}
        }
        Ok(Self {
            node,
            stop,
            tasks,
            runner,
            log,
            content,
            mesh,
            data,
        })
    }

    /// Runs until a signal, or a fault that this node must not go on with (I11).
    async fn until_stopped(mut self) -> anyhow::Result<()> {
        let fault = tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            reason = self.log.stopped() => Some(reason),
            reason = self.content.store().failed() => Some(reason),
            ended = self.tasks.join_next() => self.fault_of(ended),
        };
        self.stop.cancel();
        let orderly = async {
            while self.tasks.join_next().await.is_some() {}
            let leases = self.runner.holding();
            self.runner.shutdown().await;
            release(&self.log, self.node, leases).await;
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

    /// A part that ends before the node stops is a fault, unless the signal came just then.
    fn fault_of(&self, ended: Option<Result<(), JoinError>>) -> Option<String> {
        if self.stop.is_cancelled() {
            return None;
        }
        Some(match ended {
            Some(Err(error)) => format!("a part of it failed: {error}"),
            Some(Ok(())) | None => "a part of it ended by itself".to_owned(),
        })
    }
}

/// The logs of this node's runner, for the web room.
struct RunnerLogs(Runner);

impl RunningLogs for RunnerLogs {
    fn lines(&self, task: TaskId, epoch: Epoch, from: u64) -> Option<LogLines> {
        let (lines, next) = self.0.log_lines(task, epoch, from)?;
        Some(LogLines { lines, next })
    }
}

/// Gives the leases back, so that the frames go elsewhere at once. The leader would find out
/// by itself, later.
async fn release(log: &JobLog, node: NodeId, leases: Vec<(TaskId, Epoch)>) {
    if leases.is_empty() {
        return;
    }
    let command = Command::new(
        Actor::Node(node),
        Action::LeasesEnded {
            leases,
            reason: LeaseEnd::Released,
        },
    );
    match timeout(RELEASE_TIME, log.propose(command)).await {
        Ok(Ok(_)) => info!("this node's leases were given back"),
        Ok(Err(error)) => warn!("cannot give this node's leases back: {error}"),
        Err(_) => warn!("cannot give this node's leases back: the farm does not answer"),
    }
}

fn runner_config(options: &NodeOptions, data: &DataDir) -> RunnerConfig {
    RunnerConfig {
        blender: options.blender.clone(),
        render: !options.no_render,
        slots: options.slots,
        attempt_limit: options.frame_time_limit,
        ..RunnerConfig::new(data.scratch())
    }
}

/// Names the nodes of peers by the job log.
fn node_ids(log: JobLog) -> NodeIds {
    Arc::new(move |peers| {
        log.read(|state| {
            peers
                .iter()
                .filter_map(|peer| state.node_by_peer(&peer.to_string()))
                .map(|node| node.id)
                .collect()
        })
    })
}

/// The test user is made once the farm has a leader, however long that takes.
async fn make_test_user(log: JobLog, sign_in: SignInSettings, stop: CancellationToken) {
    let made = async {
        let Some((email, password)) = sign_in.test_user else {
            return;
        };
        while let Err(error) = ensure_test_user(&log, &email, &password).await {
            warn!("cannot make the test user yet: {error}");
            sleep(Duration::from_secs(1)).await;
        }
    };
    tokio::select! {
        () = made => stop.cancelled().await,
        () = stop.cancelled() => {}
    }
}

async fn stop_at_a_signal(stop: CancellationToken) {
    tokio::select! {
        signal = stop_signal() => {
            info!("{signal}: this node stops");
            stop.cancel();
        }
        () = stop.cancelled() => {}
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
