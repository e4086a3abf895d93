//! Starting and stopping the web port.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiggablend_raft::{JobLog, NodeId, Roles};
use jiggablend_transfer::Content;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::auth::ProviderConfig;
use crate::connections::{self, Certificates, Doors};
use crate::events::Feeder;
use crate::upload::sweep_parts;
use crate::{LiveBoard, Neighbours, RunnerGateway, RunningLogs, neighbours, routes};

/// How long work whose client has gone may take once the port stops.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// What the web port needs of its node.
#[derive(Clone)]
pub struct WebConfig {
    pub node: NodeId,
    /// `ENABLE_LOCAL_AUTH`: sign-in with e-mail and password.
    pub local_auth: bool,
    /// The largest scene file that is taken.
    pub max_upload_bytes: u64,
    /// Where files are that are being sent in pieces.
    pub uploads: std::path::PathBuf,
    /// On how many nodes an upload is kept before it is acknowledged.
    pub copies: usize,
    /// The web port speaks TLS with it; plainly only to programs on this machine.
    pub certificates: Option<Arc<Certificates>>,
    /// Proxies whose `X-Forwarded-…` headers are believed.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// Where webhooks may leave public hosts, they may reach this machine too: for tests.
    pub webhooks_to_this_machine: bool,
}

/// A ticket to make.
#[derive(Debug, Clone, Copy)]
pub struct TicketOrder {
    /// Random: whoever knows it is let in. The farm keeps its hash.
    pub secret: [u8; 32],
    pub roles: Roles,
    pub ttl: Duration,
    pub reusable: bool,
}

/// Makes tickets, on behalf of a client at the address `from`. The node implements it: a ticket
/// names mesh addresses.
#[async_trait]
pub trait TicketMaker: Send + Sync + 'static {
    /// The ticket's text. Where the farm has a ticket of that secret already, that one stays as it
    /// is, and the text is of it.
    async fn make(
        &self,
        actor: jiggablend_raft::Actor,
        from: Option<IpAddr>,
        order: TicketOrder,
    ) -> Result<String, jiggablend_raft::ProposeError>;
}

/// The web port of a node.
pub struct WebServer {
    pub config: WebConfig,
    pub log: JobLog,
    pub content: Content,
    pub live: LiveBoard,
    pub tickets: Arc<dyn TicketMaker>,
    /// Where people may sign in beside local accounts.
    pub providers: Vec<ProviderConfig>,
    pub runners: Arc<dyn RunnerGateway>,
    pub neighbours: Arc<dyn Neighbours>,
    pub running_logs: Arc<dyn RunningLogs>,
}

impl WebServer {
    /// Serves until `stop` is cancelled, then lets requests in flight finish, for ten seconds at
    /// most (streams are ended).
    pub async fn serve(
        self,
        listener: tokio::net::TcpListener,
        stop: CancellationToken,
    ) -> std::io::Result<()> {
        let doors = Doors::new(
            self.config.certificates.clone(),
            self.config.trusted_proxies.clone(),
        );
        let feeder = Feeder::new(&self.log, &self.live);
        let app = App::new(self, feeder.feed(), stop.clone())?;
        let feeding = tokio::spawn(feeder.run(app.clone()));
        let router = routes::router(app.clone());
        let neighbours = neighbours::serve(app.clone(), router.clone());
        let clients = connections::serve(listener, doors, router, stop.clone());
        let in_touch = app.in_touch.keep(stop.clone());
        tokio::join!(clients, neighbours, sweep_parts(app.clone()), in_touch);
        app.tasks.close();
        if timeout(STOP_WITHIN, app.tasks.wait()).await.is_err() {
            tracing::warn!("an upload was cut off, since it took too long to finish");
        }
        feeding.await.map_err(std::io::Error::other)?;
        Ok(())
    }
}
