//! What every handler can reach.

use std::io;
use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use jiggablend_raft::{Action, Actor, Command, Effect, JobLog, NodeId, Owner, ProposeError};
use jiggablend_transfer::Content;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Caller;
use crate::auth::{DevicePolls, Limits, Passwords, Providers};
use crate::events::Feed;
use crate::files::Previews;
use crate::metrics::RequestMetrics;
use crate::places::Places;
use crate::runners::{Presence, Sent};
use crate::upload::{Parts, Promised};
use crate::{LiveBoard, Neighbours, RunnerGateway, RunningLogs, TicketMaker, WebConfig, WebServer};

/// Scene files that come in at the same time; each holds a thread that checks its bytes.
const MAX_UPLOADS: usize = 64;
/// Of one user.
const MAX_UPLOADS_EACH: usize = 8;
/// What HTTP runners send at the same time.
const MAX_RUNNER_UPLOADS: usize = 64;
/// One of them.
const MAX_RUNNER_UPLOADS_EACH: usize = 8;
/// Runners' pictures that are decoded at the same time: each takes a core, and memory for all its
/// pixels.
const MAX_PICTURES: usize = 2;
/// Archives that are packed at the same time.
const MAX_ARCHIVES: usize = 32;
const MAX_EVENT_STREAMS: usize = 4096;
/// Calls on their way to other nodes at the same time.
const MAX_FORWARDED: usize = 512;
const BARRIER_TIMEOUT: Duration = Duration::from_secs(2);

/// The web port's shared state. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) config: WebConfig,
    pub(crate) log: JobLog,
    pub(crate) content: Content,
    pub(crate) live: LiveBoard,
    pub(crate) tickets: Arc<dyn TicketMaker>,
    pub(crate) gateway: Arc<dyn RunnerGateway>,
    pub(crate) runners: Presence,
    pub(crate) neighbours: Arc<dyn Neighbours>,
    pub(crate) running_logs: Arc<dyn RunningLogs>,
    pub(crate) passwords: Passwords,
    pub(crate) providers: Providers,
    pub(crate) limits: Limits,
    pub(crate) device_polls: DevicePolls,
    pub(crate) uploads: Places<Owner>,
    pub(crate) promised: Promised,
    pub(crate) parts: Parts,
    pub(crate) runner_uploads: Places<NodeId>,
    pub(crate) sent: Sent,
    pub(crate) pictures: Semaphore,
    pub(crate) archives: Arc<Semaphore>,
    pub(crate) previews: Previews,
    pub(crate) event_streams: Arc<Semaphore>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) forwarded: Arc<Semaphore>,
    pub(crate) request_metrics: RequestMetrics,
    /// What goes on when its client hangs up. Waited for when the web port stops.
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the web port stops: streams end.
    pub(crate) stop: CancellationToken,
}

impl App {
    /// An error where the folder of unfinished uploads cannot be used.
    pub(crate) fn new(
        server: WebServer,
        feed: Arc<Feed>,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let providers = Providers::new(server.providers);
        let parts = Parts::open(&server.config.uploads)?;
        Ok(Self(Arc::new(Shared {
            config: server.config,
            providers,
            log: server.log,
            content: server.content,
            live: server.live,
            tickets: server.tickets,
            gateway: server.runners,
            runners: Presence::default(),
            neighbours: server.neighbours,
            running_logs: server.running_logs,
            passwords: Passwords::new(),
            limits: Limits::default(),
            device_polls: DevicePolls::default(),
            uploads: Places::new(MAX_UPLOADS, MAX_UPLOADS_EACH),
            promised: Promised::default(),
            parts,
            runner_uploads: Places::new(MAX_RUNNER_UPLOADS, MAX_RUNNER_UPLOADS_EACH),
            sent: Sent::default(),
            pictures: Semaphore::new(MAX_PICTURES),
            archives: Arc::new(Semaphore::new(MAX_ARCHIVES)),
            previews: Previews::default(),
            event_streams: Arc::new(Semaphore::new(MAX_EVENT_STREAMS)),
            feed,
            forwarded: Arc::new(Semaphore::new(MAX_FORWARDED)),
            request_metrics: RequestMetrics::default(),
            tasks: TaskTracker::new(),
            stop,
        })))
    }

    pub(crate) fn open_event_streams(&self) -> usize {
        MAX_EVENT_STREAMS - self.event_streams.available_permits()
    }

    pub(crate) fn running_uploads(&self) -> usize {
        self.uploads.taken() + self.runner_uploads.taken()
    }

    /// Returns when this node's state has what the leader's had when this was called, or when that
    /// takes too long: for what may have been written at another node just now.
    pub(crate) async fn caught_up(&self) {
        // Without a leader this node's own state is what there is.
        let _ = tokio::time::timeout(BARRIER_TIMEOUT, self.log.read_barrier()).await;
    }

    /// Proposes `action` on the caller's behalf; returns when this node's state has it.
    pub(crate) async fn propose(
        &self,
        caller: &Caller,
        action: Action,
    ) -> Result<Effect, ProposeError> {
        self.propose_from(caller.actor(), caller.address, action)
            .await
    }

    /// Proposes `action` for a node, of itself.
    pub(crate) async fn propose_for_node(
        &self,
        node: NodeId,
        action: Action,
    ) -> Result<Effect, ProposeError> {
        self.propose_command(Command::new(Actor::Node(node), action))
            .await
    }

    /// The same for a client that is not signed in yet.
    pub(crate) async fn propose_from(
        &self,
        actor: Actor,
        address: IpAddr,
        action: Action,
    ) -> Result<Effect, ProposeError> {
        self.propose_command(Command::new(actor, action).from(address))
            .await
    }

    async fn propose_command(&self, command: Command) -> Result<Effect, ProposeError> {
        let proposed = self.log.propose(command).await;
        self.request_metrics.proposed(&proposed);
        proposed
    }
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
