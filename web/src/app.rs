//! What every handler can reach.

use std::io;
use std::ops::Deref;
use std::sync::Arc;

use jiggablend_raft::{Action, Actor, Command, Effect, JobLog, ProposeError};
use jiggablend_transfer::Content;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::auth::{LoginLimits, Passwords};
use crate::events::Feed;
use crate::files::Previews;
use crate::runners::Presence;
use crate::upload::Parts;
use crate::{LiveBoard, Neighbours, RunnerGateway, TicketMaker, WebConfig, WebServer};

/// Uploads at the same time; each holds a thread that checks its bytes.
const MAX_UPLOADS: usize = 64;
/// Archives that are packed at the same time.
const MAX_ARCHIVES: usize = 32;
const MAX_EVENT_STREAMS: usize = 4096;
/// Calls on their way to other nodes at the same time.
const MAX_FORWARDED: usize = 512;

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
    pub(crate) passwords: Passwords,
    pub(crate) login_limits: LoginLimits,
    pub(crate) uploads: Arc<Semaphore>,
    pub(crate) parts: Parts,
    pub(crate) archives: Arc<Semaphore>,
    pub(crate) previews: Previews,
    pub(crate) event_streams: Arc<Semaphore>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) forwarded: Arc<Semaphore>,
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
        let parts = Parts::open(&server.config.uploads)?;
        Ok(Self(Arc::new(Shared {
            config: server.config,
            log: server.log,
            content: server.content,
            live: server.live,
            tickets: server.tickets,
            gateway: server.runners,
            runners: Presence::default(),
            neighbours: server.neighbours,
            passwords: Passwords::new(),
            login_limits: LoginLimits::default(),
            uploads: Arc::new(Semaphore::new(MAX_UPLOADS)),
            parts,
            archives: Arc::new(Semaphore::new(MAX_ARCHIVES)),
            previews: Previews::default(),
            event_streams: Arc::new(Semaphore::new(MAX_EVENT_STREAMS)),
            feed,
            forwarded: Arc::new(Semaphore::new(MAX_FORWARDED)),
            stop,
        })))
    }

    /// Proposes `action` at the clock of now; returns when this node's state has it.
    pub(crate) async fn propose(
        &self,
        actor: Actor,
        action: Action,
    ) -> Result<Effect, ProposeError> {
        let command = Command::new(actor, action);
        self.log.propose(command).await
    }
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}
