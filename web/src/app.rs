//! What every handler can reach.

use std::ops::Deref;
use std::sync::Arc;

use jiggablend_raft::{Action, Actor, Command, Effect, JobLog, ProposeError};
use jiggablend_transfer::Content;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::auth::{LoginLimits, Passwords};
use crate::events::Feed;
use crate::metrics::RequestMetrics;
use crate::runners::Presence;
use crate::{LiveBoard, RunnerGateway, TicketMaker, WebConfig, WebServer};

/// Uploads at the same time; each holds a thread that checks its bytes.
const MAX_UPLOADS: usize = 64;
const MAX_EVENT_STREAMS: usize = 4096;

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
    pub(crate) passwords: Passwords,
    pub(crate) login_limits: LoginLimits,
    pub(crate) uploads: Arc<Semaphore>,
    pub(crate) event_streams: Arc<Semaphore>,
    pub(crate) feed: Arc<Feed>,
    pub(crate) request_metrics: RequestMetrics,
    /// Cancelled when the web port stops: streams end.
    pub(crate) stop: CancellationToken,
}

impl App {
    pub(crate) fn new(server: WebServer, feed: Arc<Feed>, stop: CancellationToken) -> Self {
        Self(Arc::new(Shared {
            config: server.config,
            log: server.log,
            content: server.content,
            live: server.live,
            tickets: server.tickets,
            gateway: server.runners,
            runners: Presence::default(),
            passwords: Passwords::new(),
            login_limits: LoginLimits::default(),
            uploads: Arc::new(Semaphore::new(MAX_UPLOADS)),
            event_streams: Arc::new(Semaphore::new(MAX_EVENT_STREAMS)),
            feed,
            request_metrics: RequestMetrics::default(),
            stop,
        }))
    }

    pub(crate) fn open_event_streams(&self) -> usize {
        MAX_EVENT_STREAMS - self.event_streams.available_permits()
    }

    pub(crate) fn running_uploads(&self) -> usize {
        MAX_UPLOADS - self.uploads.available_permits()
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
