//! Deliveries from a real job log to a real HTTP listener.

#![allow(clippy::unwrap_used)]

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jiggablend_raft::{
    Action, Actor, Command, Delivery, DeliveryOutcome, FarmId, JobId, JobLog, JobLogConfig,
    JobSettings, NewNode, NodeId, Owner, Roles, Settings, TimeoutProfile, TimestampMs, Transport,
    TransportError, Webhook, WebhookEvent, WebhookId, WebhookShape,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::Deliveries;
use super::signature::signature;

const NODE: NodeId = NodeId(1);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const PATIENCE: Duration = Duration::from_secs(30);

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

/// A farm's job log, and whoever leads it at the moment.
struct Farm {
    log: JobLog,
    leader: JoinSet<()>,
    _dir: tempfile::TempDir,
}

impl Farm {
    async fn start(webhooks_to_private_addresses: bool) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = JobLogConfig {
            node: NODE,
            peer_id: "peer-1".into(),
            farm: None,
            dir: dir.path().join("log"),
            db: dir.path().join("farm.duckdb"),
            timeouts: TimeoutProfile::Lan,
            snapshot_every: 10_000,
            expect_log: false,
        };
        let log = JobLog::open(config, Arc::new(Alone)).await.unwrap();
        let public_key = [7; 32];
        let created = Action::FarmCreated {
            farm: FarmId::of_public_key(&public_key),
            name: "studio".into(),
            public_key,
            secret_key: [8; 32],
            first_node: NewNode {
                name: "attic".into(),
                peer_id: "peer-1".into(),
                addresses: Vec::new(),
                roles: Roles {
                    voter: true,
                    runner: true,
                },
            },
        };
        log.create_farm(Command::new(Actor::Node(NODE), created))
            .await
            .unwrap();
        let farm = Self {
            log,
            leader: JoinSet::new(),
            _dir: dir,
        };
        let settings = Settings {
            webhooks_to_private_addresses,
            ..Settings::default()
        };
        farm.propose(Action::SettingsChanged { settings }).await;
        farm
    }

    async fn propose(&self, action: Action) {
        let command = Command::new(Actor::Operator(NODE), action);
        self.log.propose(command).await.unwrap();
    }

    async fn add_webhook(&self, url: String) -> WebhookId {
        let webhook = Webhook {
            id: WebhookId::new(),
            owner: Owner::Operator(NODE),
            name: "hook".into(),
            url,
            shape: WebhookShape::Json,
            events: [WebhookEvent::JobCancelled].into(),
            all_jobs: false,
            secret: SECRET.into(),
            enabled: true,
            created_at: TimestampMs::now(),
            failures: 0,
        };
        let id = webhook.id;
        self.propose(Action::WebhookSaved { webhook }).await;
        id
    }

    /// Something that webhooks are told of.
    async fn cancel_a_job(&self) {
        let job = JobId::new();
        self.propose(Action::JobCreated {
            job,
            name: "shot".into(),
            owner: Owner::Operator(NODE),
            settings: JobSettings::default(),
        })
        .await;
        self.propose(Action::JobCancelled { job }).await;
    }

    fn lead(&mut self) {
        self.lead_with(true);
    }

    fn lead_with(&mut self, to_this_machine: bool) {
        let deliveries = Deliveries::new(self.log.clone(), to_this_machine).unwrap();
        self.leader.spawn(deliveries.run());
    }

    async fn lose_leadership(&mut self) {
        self.leader.shutdown().await;
    }

    /// Waits for the webhook's only delivery to be so.
    async fn delivery(&self, webhook: WebhookId, holds: impl Fn(&Delivery) -> bool) -> Delivery {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let found = self
                .log
                .read(|state| state.deliveries_of(webhook).first().copied().cloned());
            match found {
                Some(delivery) if holds(&delivery) => return delivery,
                seen if tokio::time::Instant::now() > deadline => panic!("last seen: {seen:?}"),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

type Answer = fn() -> Response;

#[derive(Debug, Clone)]
struct Heard {
    path: &'static str,
    headers: HeaderMap,
    body: Bytes,
}

/// Takes webhooks, and answers each with the next of its answers.
#[derive(Clone, Default)]
struct Receiver {
    heard: Arc<Mutex<Vec<Heard>>>,
    answers: Arc<Mutex<Vec<Answer>>>,
}

impl Receiver {
    /// Answers in this order, then with 204. Returns where it listens.
    async fn start(&self, mut answers: Vec<Answer>) -> u16 {
        answers.reverse();
        *self.answers.lock().unwrap() = answers;
        let router = Router::new()
            .route("/hook", post(Self::hook))
            .route("/elsewhere", post(Self::elsewhere))
            .with_state(self.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        port
    }

    fn note(&self, path: &'static str, headers: HeaderMap, body: Bytes) -> Response {
        let heard = Heard {
            path,
            headers,
            body,
        };
        self.heard.lock().unwrap().push(heard);
        match self.answers.lock().unwrap().pop() {
            Some(answer) => answer(),
            None => StatusCode::NO_CONTENT.into_response(),
        }
    }

    async fn hook(State(this): State<Self>, headers: HeaderMap, body: Bytes) -> Response {
        this.note("/hook", headers, body)
    }

    async fn elsewhere(State(this): State<Self>, headers: HeaderMap, body: Bytes) -> Response {
        this.note("/elsewhere", headers, body)
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

fn header<'a>(heard: &'a Heard, name: &str) -> &'a str {
    heard.headers[name].to_str().unwrap()
}

#[tokio::test]
async fn what_happens_is_told_once_and_signed() {
    let mut farm = Farm::start(true).await;
    let receiver = Receiver::default();
    let port = receiver.start(Vec::new()).await;
    let webhook = farm
        .add_webhook(format!("http://localhost:{port}/hook"))
        .await;
    farm.lead();
    farm.cancel_a_job().await;

    let delivery = farm.delivery(webhook, |it| it.outcome.is_some()).await;
    let is_delivered = matches!(
        delivery.outcome,
        Some(DeliveryOutcome::Delivered { status: 204, .. })
    );
    assert!(is_delivered, "{delivery:?}");
    let heard = receiver.heard();
    assert_eq!(heard.len(), 1);
    let id = header(&heard[0], "webhook-id");
    let seconds = header(&heard[0], "webhook-timestamp").parse().unwrap();
    let signed = signature(SECRET, id, seconds, &heard[0].body);
    assert_eq!(header(&heard[0], "webhook-signature"), signed);
    assert_eq!(header(&heard[0], "content-type"), "application/json");
    let body: serde_json::Value = serde_json::from_slice(&heard[0].body).unwrap();
    assert_eq!(body["type"], "job.cancelled");
    assert_eq!(body["data"]["job"]["name"], "shot");
}

#[tokio::test]
async fn what_failed_is_sent_again_by_the_next_leader_under_the_same_id() {
    let mut farm = Farm::start(true).await;
    let receiver = Receiver::default();
    let answers: Vec<Answer> =
        vec![|| (StatusCode::SERVICE_UNAVAILABLE, "come\nback").into_response()];
    let port = receiver.start(answers).await;
    let webhook = farm
        .add_webhook(format!("http://127.0.0.1:{port}/hook"))
        .await;
    farm.lead();
    farm.cancel_a_job().await;

    let delivery = farm.delivery(webhook, |it| it.attempts == 1).await;
    assert_eq!(delivery.last_error.as_deref(), Some("the answer was 503"));
    assert_eq!(delivery.last_status, Some(503));
    assert!(delivery.outcome.is_none() && delivery.next_at > delivery.at);
    farm.lose_leadership().await;
    farm.lead();
    farm.delivery(webhook, |it| it.outcome.is_some()).await;
    let heard = receiver.heard();
    assert_eq!(heard.len(), 2);
    let ids: Vec<&str> = heard.iter().map(|it| header(it, "webhook-id")).collect();
    assert_eq!(ids[0], ids[1]);
    assert_eq!(heard[0].body, heard[1].body);
}

#[tokio::test]
async fn a_webhook_does_not_reach_the_farms_own_network() {
    let mut farm = Farm::start(false).await;
    let receiver = Receiver::default();
    let port = receiver.start(Vec::new()).await;
    farm.lead();
    // By its number, and by a name that leads there.
    for (host, said) in [
        ("127.0.0.1", "private network"),
        ("localhost", "no public address"),
    ] {
        let webhook = farm.add_webhook(format!("http://{host}:{port}/hook")).await;
        farm.propose(Action::WebhookTested { webhook }).await;
        let delivery = farm.delivery(webhook, |it| it.outcome.is_some()).await;
        let Some(DeliveryOutcome::GivenUp { error, .. }) = &delivery.outcome else {
            panic!("{delivery:?}");
        };
        assert!(error.contains(said), "{error}");
        assert_eq!(delivery.last_status, None);
    }
    assert!(receiver.heard().is_empty());
}

#[tokio::test]
async fn a_webhook_that_may_go_into_private_networks_does_not_reach_the_node_itself() {
    let mut farm = Farm::start(true).await;
    let receiver = Receiver::default();
    let port = receiver.start(Vec::new()).await;
    farm.lead_with(false);
    for host in ["127.0.0.1", "localhost", "[::1]"] {
        let webhook = farm.add_webhook(format!("http://{host}:{port}/hook")).await;
        farm.propose(Action::WebhookTested { webhook }).await;
        let delivery = farm.delivery(webhook, |it| it.outcome.is_some()).await;
        let error = delivery.last_error.unwrap();
        assert!(error.contains("never to the nodes"), "{error}");
    }
    assert!(receiver.heard().is_empty());
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let mut farm = Farm::start(true).await;
    let receiver = Receiver::default();
    let answers: Vec<Answer> = vec![|| {
        let there = [("location", "/elsewhere")];
        (StatusCode::TEMPORARY_REDIRECT, there).into_response()
    }];
    let port = receiver.start(answers).await;
    let webhook = farm
        .add_webhook(format!("http://127.0.0.1:{port}/hook"))
        .await;
    farm.lead();
    farm.propose(Action::WebhookTested { webhook }).await;
    let delivery = farm.delivery(webhook, |it| it.outcome.is_some()).await;
    assert!(delivery.last_error.unwrap().contains("307"));
    let paths: Vec<&str> = receiver.heard().iter().map(|it| it.path).collect();
    assert_eq!(paths, ["/hook"]);
}

#[tokio::test]
async fn of_an_endless_answer_nothing_but_its_status_is_read() {
    let mut farm = Farm::start(true).await;
    let receiver = Receiver::default();
    let answers: Vec<Answer> = vec![|| {
        let piece = || Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1024]));
        let endless = futures::stream::repeat_with(piece);
        let body = Body::from_stream(endless);
        (StatusCode::BAD_REQUEST, body).into_response()
    }];
    let port = receiver.start(answers).await;
    let webhook = farm
        .add_webhook(format!("http://127.0.0.1:{port}/hook"))
        .await;
    farm.lead();
    farm.propose(Action::WebhookTested { webhook }).await;
    let delivery = farm.delivery(webhook, |it| it.outcome.is_some()).await;
    let error = delivery.last_error.unwrap();
    assert_eq!(error, "the answer was 400");
    assert_eq!(delivery.last_status, Some(400));
}
