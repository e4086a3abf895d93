//! Starting and stopping the web port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiggablend_raft::{JobLog, NodeId, Roles, TimestampMs};
use jiggablend_transfer::Content;
use tokio_util::sync::CancellationToken;

use crate::LiveBoard;

/// What the web port needs of its node.
#[derive(Clone)]
pub struct WebConfig {
    pub node: NodeId,
    /// `ENABLE_LOCAL_AUTH`: sign-in with e-mail and password.
    pub local_auth: bool,
    /// The largest scene file that is taken.
    pub max_upload_bytes: u64,
}

/// Makes tickets. The node implements it: a ticket names mesh addresses.
#[async_trait]
pub trait TicketMaker: Send + Sync + 'static {
    async fn make(
        &self,
        actor: jiggablend_raft::Actor,
        roles: Roles,
        ttl: Duration,
        reusable: bool,
    ) -> Result<(String, TimestampMs), jiggablend_raft::ProposeError>;
}

/// The web port of a node.
pub struct WebServer {
    pub config: WebConfig,
    pub log: JobLog,
    pub content: Content,
    pub live: LiveBoard,
    pub tickets: Arc<dyn TicketMaker>,
}

impl WebServer {
    /// Serves until `stop` is cancelled, then lets requests in flight finish (streams are ended).
    pub async fn serve(
        self,
        _listener: tokio::net::TcpListener,
        _stop: CancellationToken,
    ) -> std::io::Result<()> {
        todo!()
    }
}

/// Makes the test user of `LOCAL_TEST_EMAIL` and `LOCAL_TEST_PASSWORD` where no account has that
/// e-mail address. Called by the node when it has a leader.
pub async fn ensure_test_user(
    _log: &JobLog,
    _email: &str,
    _password: &str,
) -> Result<(), jiggablend_raft::ProposeError> {
    todo!()
}

/// The address that a browser on this machine would use.
pub fn local_url(address: SocketAddr) -> String {
    format!("http://localhost:{}", address.port())
}
