//! A farm of one node with its web port, and clients of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiggablend_raft::{
    Action, Actor, Command, Epoch, FarmId, JobLog, JobLogConfig, NewNode, NodeId, ProposeError,
    Roles, RunnerFacts, SecretHash, TaskId, TimeoutProfile, TimestampMs, Transport, TransportError,
};
use jiggablend_transfer::{Content, ContentStore, Identity, Mesh, MeshConfig};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::neighbours::Hallway;
use crate::{
    Certificates, LiveBoard, LogLines, ProviderConfig, RunnerCondition, RunnerGateway, RunningLogs,
    TicketMaker, TicketOrder, WebConfig, WebServer, ensure_test_user,
};

pub(super) const PATIENCE: Duration = Duration::from_secs(20);
pub(super) const NODE: NodeId = NodeId(1);
pub(super) const NEIGHBOUR: NodeId = NodeId(2);
pub(super) const ADMIN: &str = "ada@example.org";
pub(super) const MEMBER: &str = "bob@example.org";
pub(super) const OTHER_MEMBER: &str = "eve@example.org";
pub(super) const PASSWORD: &str = "correct horse battery staple";
pub(super) const OPERATOR_TOKEN: &str = "a-token-of-256-bits";
pub(super) const MAX_UPLOAD_BYTES: u64 = 4 << 20;

pub(super) struct TestNode {
    pub(super) base: String,
    pub(super) log: JobLog,
    pub(super) live: LiveBoard,
    pub(super) mesh: Mesh,
    pub(super) runners: Arc<Heard>,
    node: Parts,
    web: Web,
}

/// What the attempts that run on these nodes have printed.
#[derive(Default)]
pub(super) struct Printed(Mutex<BTreeMap<(TaskId, Epoch), Vec<String>>>);

impl RunningLogs for Printed {
    fn lines(&self, task: TaskId, epoch: Epoch, from: u64) -> Option<LogLines> {
        let printed = self.0.lock().unwrap();
        let lines = printed.get(&(task, epoch))?;
        Some(LogLines {
            lines: lines.iter().skip(from as usize).cloned().collect(),
            next: lines.len() as u64,
        })
    }
}

impl Printed {
    pub(super) fn print(&self, task: TaskId, epoch: Epoch, line: &str) {
        let mut printed = self.0.lock().unwrap();
        printed.entry((task, epoch)).or_default().push(line.into());
    }

    pub(super) fn end(&self, task: TaskId, epoch: Epoch) {
        self.0.lock().unwrap().remove(&(task, epoch));
    }
}

/// What web ports of one farm are made of.
struct Parts {
    log: JobLog,
    content: Content,
    live: LiveBoard,
    runners: Arc<Heard>,
    hallway: Hallway,
    printed: Arc<Printed>,
    setup: Setup,
    dir: Arc<tempfile::TempDir>,
}

/// A web port that serves.
pub(super) struct Web {
    base: String,
    stop: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Parts {
    fn uploads(&self, node: NodeId) -> std::path::PathBuf {
        self.dir.path().join(format!("uploads-{node}"))
    }

    async fn serve(&self, node: NodeId) -> Web {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let server = WebServer {
            config: WebConfig {
                node,
                local_auth: true,
                max_upload_bytes: MAX_UPLOAD_BYTES,
                uploads: self.uploads(node),
                copies: jiggablend_transfer::DEFAULT_COPIES,
                certificates: self.setup.certificates.clone(),
                trusted_proxies: self.setup.trusted_proxies.clone(),
                webhooks_to_this_machine: false,
            },
            log: self.log.clone(),
            content: self.content.clone(),
            live: self.live.clone(),
            tickets: Arc::new(Tickets(self.log.clone())),
            providers: self.setup.providers.clone(),
            runners: self.runners.clone(),
            neighbours: self.hallway.door_of(node),
            running_logs: self.printed.clone(),
        };
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.serve(listener, stop.clone()));
        Web {
            base,
            stop,
            serving,
        }
    }
}

impl Web {
    /// Stops it, and shows that it stops in time.
    pub(super) async fn stop(&mut self) {
        self.stop.cancel();
        let serving = tokio::time::timeout(PATIENCE, &mut self.serving);
        serving.await.expect("it stops").unwrap().unwrap();
    }

    /// The same client, but of this web port.
    pub(super) fn client_like(&self, client: &Client) -> Client {
        Client {
            base: self.base.clone(),
            ..client.clone()
        }
    }
}

/// A farm of one has nobody to call.
struct Alone;

#[async_trait]
impl Transport for Alone {
    async fn call(
        &self,
        node: NodeId,
        _peer_id: &str,
        _request: Vec<u8>,
        _timeout: Duration,
    ) -> Result<Vec<u8>, TransportError> {
        Err(TransportError(format!("node {node} is not there")))
    }
}

/// What the leader would be told of HTTP runners.
#[derive(Default)]
pub(super) struct Heard(Mutex<Vec<RunnerCondition>>);

impl RunnerGateway for Heard {
    fn heard(&self, condition: RunnerCondition) {
        self.0.lock().unwrap().push(condition);
    }
}

impl Heard {
    /// The newest word.
    pub(super) fn last(&self) -> Option<RunnerCondition> {
        self.0.lock().unwrap().last().cloned()
    }
}

struct Tickets(JobLog);

#[async_trait]
impl TicketMaker for Tickets {
    async fn make(
        &self,
        actor: Actor,
        from: Option<IpAddr>,
        order: TicketOrder,
    ) -> Result<String, ProposeError> {
        let command = Command::new(
            actor,
            Action::TicketCreated {
                ticket: SecretHash::of(&order.secret),
                roles: order.roles,
                expires_at: TimestampMs::now().plus(order.ttl),
                reusable: order.reusable,
            },
        )
        .from(from);
        self.0.propose(command).await?;
        Ok(format!("jigga1{}", hex::encode(order.secret)))
    }
}

/// What differs between the nodes of tests.
pub(super) struct Setup {
    pub(super) certificates: Option<Arc<Certificates>>,
    pub(super) trusted_proxies: Vec<ipnet::IpNet>,
    pub(super) providers: Vec<ProviderConfig>,
    /// Local accounts that are there, the first of them an admin's.
    pub(super) accounts: &'static [&'static str],
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            certificates: None,
            trusted_proxies: Vec::new(),
            providers: Vec::new(),
            accounts: &[ADMIN, MEMBER, OTHER_MEMBER],
        }
    }
}

impl TestNode {
    pub(super) async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    pub(super) async fn start_with(setup: Setup) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::load_or_create(&dir.path().join("key")).unwrap();
        let mesh = MeshConfig {
            identity,
            port: 0,
            listen: vec![std::net::Ipv4Addr::LOCALHOST.into()],
            mdns: false,
            farm: None,
        };
        let mesh = Mesh::start(mesh).await.unwrap();
        let store = ContentStore::open(&dir.path().join("content")).unwrap();
        let content = Content::new(store, mesh.clone());
        let log = JobLogConfig {
            node: NODE,
            peer_id: mesh.peer_id().to_string(),
            farm: None,
            dir: dir.path().join("raft"),
            db: dir.path().join("jobs.db"),
            timeouts: TimeoutProfile::Lan,
            snapshot_every: 10_000,
            expect_log: false,
        };
        let log = JobLog::open(log, Arc::new(Alone)).await.unwrap();
        create_farm(&log, &mesh).await;
        for email in setup.accounts {
            ensure_test_user(&log, email, PASSWORD).await.unwrap();
        }

        let node = Parts {
            log,
            content,
            live: LiveBoard::default(),
            runners: Arc::default(),
            hallway: Hallway::default(),
            printed: Arc::default(),
            setup,
            dir: Arc::new(dir),
        };
        let web = node.serve(NODE).await;
        Self {
            base: web.base.clone(),
            log: node.log.clone(),
            live: node.live.clone(),
            mesh,
            runners: node.runners.clone(),
            node,
            web,
        }
    }

    /// Stops the web port and starts it again, on another address, as after a crash of the node.
    pub(super) async fn restart_web(&mut self) {
        self.stop_web().await;
        self.web = self.node.serve(NODE).await;
        self.base = self.web.base.clone();
    }

    /// The web port of a second node, which has the same log and the same content at once.
    pub(super) async fn neighbour(&self) -> Web {
        self.node.serve(NEIGHBOUR).await
    }

    /// Nobody reaches this node's web room from another node any more.
    pub(super) fn close_door(&self) {
        self.node.hallway.close(NODE);
    }

    pub(super) fn printed(&self) -> &Printed {
        &self.node.printed
    }

    pub(super) fn content(&self) -> &Content {
        &self.node.content
    }

    /// Bytes in the folder of unfinished uploads.
    pub(super) fn unfinished_bytes(&self) -> u64 {
        let folder = std::fs::read_dir(self.node.uploads(NODE)).unwrap();
        folder
            .map(|file| file.unwrap().metadata().unwrap().len())
            .sum()
    }

    /// Where unfinished uploads lie.
    pub(super) fn uploads_folder(&self) -> std::path::PathBuf {
        self.node.uploads(NODE)
    }

    /// Stops the web port, and shows that it stops in time.
    pub(super) async fn stop_web(&mut self) {
        self.web.stop().await;
    }

    pub(super) async fn stop(mut self) {
        if !self.web.serving.is_finished() {
            self.stop_web().await;
        }
        self.log.shutdown().await;
        self.mesh.shutdown().await;
    }

    pub(super) async fn propose(&self, action: Action) {
        let command = Command::new(Actor::Node(NODE), action);
        self.log.propose(command).await.unwrap();
    }

    /// A client that is not signed in.
    pub(super) fn client(&self) -> Client {
        Client {
            http: reqwest::Client::builder()
                .cookie_store(true)
                .build()
                .unwrap(),
            base: self.base.clone(),
            token: None,
        }
    }

    /// A browser that goes where it is sent only when it is told to.
    pub(super) fn browser(&self) -> Client {
        Client {
            http: reqwest::Client::builder()
                .cookie_store(true)
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
            ..self.client()
        }
    }

    pub(super) fn operator(&self) -> Client {
        Client {
            token: Some(OPERATOR_TOKEN.to_owned()),
            ..self.client()
        }
    }

    pub(super) async fn signed_in(&self, email: &str) -> Client {
        let client = self.client();
        let (status, body) = client.login(email, PASSWORD).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        client
    }
}

async fn create_farm(log: &JobLog, mesh: &Mesh) {
    let public_key = [7; 32];
    let first_node = NewNode {
        name: "attic".into(),
        peer_id: mesh.peer_id().to_string(),
        addresses: Vec::new(),
        roles: Roles {
            voter: true,
            runner: true,
        },
    };
    let created = Command::new(
        Actor::Node(NODE),
        Action::FarmCreated {
            farm: FarmId::of_public_key(&public_key),
            name: "test farm".into(),
            public_key,
            secret_key: [8; 32],
            first_node,
        },
    );
    log.create_farm(created).await.unwrap();
    let announced = Command::new(
        Actor::Node(NODE),
        Action::NodeAnnounced {
            node: NODE,
            addresses: Vec::new(),
            web_address: None,
            version: "0.1.0".into(),
            runner: RunnerFacts::default(),
            operator_token: SecretHash::of(OPERATOR_TOKEN.as_bytes()),
        },
    );
    log.propose(announced).await.unwrap();
}

/// A browser or a command line.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    pub(super) fn with_token(self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self
        }
    }

    pub(super) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .timeout(PATIENCE);
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub(super) async fn get(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(Method::GET, path)).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        answer(self.request(Method::POST, path).json(body)).await
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        answer(self.request(Method::PATCH, path).json(body)).await
    }

    pub(super) async fn delete(&self, path: &str) -> (StatusCode, Value) {
        answer(self.request(Method::DELETE, path)).await
    }

    pub(super) async fn login(&self, email: &str, password: &str) -> (StatusCode, Value) {
        let body = json!({"email": email, "password": password});
        self.post("/api/auth/login", &body).await
    }

    /// A job that waits for its scene; answers its id.
    pub(super) async fn new_job(&self, body: &Value) -> String {
        let (status, job) = self.post("/api/jobs", body).await;
        assert_eq!(status, StatusCode::CREATED, "{job}");
        job["id"].as_str().unwrap().to_owned()
    }

    pub(super) async fn upload(&self, job: &str, bytes: Vec<u8>) -> (StatusCode, Value) {
        let part = reqwest::multipart::Part::bytes(bytes).file_name("Küche.blend");
        let form = reqwest::multipart::Form::new().part("file", part);
        let path = format!("/api/jobs/{job}/upload");
        answer(self.request(Method::POST, &path).multipart(form)).await
    }
}

pub(super) async fn answer(request: reqwest::RequestBuilder) -> (StatusCode, Value) {
    let response: Response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    (status, body)
}

/// The last part of a problem's type.
pub(super) fn problem(body: &Value) -> &str {
    let name = body["type"].as_str().unwrap_or_default();
    let name = name.strip_prefix("urn:jiggablend:problem:");
    name.unwrap_or_else(|| panic!("no problem: {body}"))
}

/// The smallest scene file: its range and `padding_bytes` of nothing.
pub(super) fn scene(first: i32, last: i32, padding_bytes: usize) -> Vec<u8> {
    let block = |code: &[u8; 4], data: &[u8]| {
        let length = i32::try_from(data.len()).unwrap();
        let head = [&code[..], &length.to_le_bytes(), &[0; 16]].concat();
        [head, data.to_vec()].concat()
    };
    let mut rend = [0; 72];
    rend[0..4].copy_from_slice(&first.to_le_bytes());
    rend[4..8].copy_from_slice(&last.to_le_bytes());
    rend[8..13].copy_from_slice(b"Scene");
    // Bytes that differ from each other, so that a wrong range is seen.
    let padding: Vec<u8> = (0..padding_bytes).map(|at| (at * 31 / 7) as u8).collect();
    [
        b"BLENDER-v304".to_vec(),
        block(b"REND", &rend),
        block(b"DATA", &padding),
        block(b"ENDB", &[]),
    ]
    .concat()
}
