//! A farm of one with its web port, on which frames complete at a given rate.
//!
//! Speaks JSON by lines: says where it is, then takes `{"run": {...}}` from stdin and answers with
//! what was applied when. Ends with its stdin.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiggablend_raft::{
    Action, Actor, Change, Command, FarmId, JobId, JobLog, JobLogConfig, NewNode, Owner,
    ProposeError, Roles, RunnerFacts, SecretHash, TaskId, TimeoutProfile, TimestampMs, UserId,
    UserRole,
};
use jiggablend_testnet::load_protocol::{Applied, Ready, Request, Run, Sample};
use jiggablend_transfer::{Content, ContentStore, Identity, Mesh, MeshConfig};
use jiggablend_web::{LiveBoard, WebConfig, WebServer};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::alone::Alone;
use crate::commands::{NODE, commit, lease, new_job, of_farm};

/// A frame "renders" so long: between its lease and its commit.
const RENDER_TIME: Duration = Duration::from_secs(1);
/// Tasks that one command leases.
const LEASES_AT_ONCE: usize = 25;
/// Proposals that are under way at most.
const MAX_PROPOSALS: usize = 512;

#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// Where the node keeps everything
    #[arg(long)]
    data: std::path::PathBuf,
    /// Sessions of how many members, who own the jobs in turn
    #[arg(long)]
    members: usize,
}

pub(crate) async fn run(arguments: NodeArgs) -> anyhow::Result<()> {
    let data = &arguments.data;
    let identity = Identity::load_or_create(&data.join("identity.key"))?;
    let mesh = MeshConfig {
        identity,
        port: 0,
        listen: vec![std::net::Ipv4Addr::LOCALHOST.into()],
        mdns: false,
        farm: None,
    };
    let mesh = Mesh::start(mesh).await?;
    let content = Content::new(ContentStore::open(&data.join("content"))?, mesh.clone());
    let config = JobLogConfig {
        node: NODE,
        peer_id: mesh.peer_id().to_string(),
        farm: None,
        dir: data.join("log"),
        db: data.join("farm.duckdb"),
        timeouts: TimeoutProfile::Lan,
        snapshot_every: 10_000,
        expect_log: false,
    };
    let log = JobLog::open(config, Arc::new(Alone)).await?;
    let token = "jbo_of-the-bench";
    create_farm(&log, &mesh, token).await?;
    let mut members = Vec::new();
    for number in 0..arguments.members {
        members.push(create_member(&log, number).await?);
    }

    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let ready = Ready {
        url: format!("http://{}", listener.local_addr()?),
        token: token.to_owned(),
        sessions: members.iter().map(|(_, secret)| secret.clone()).collect(),
    };
    let server = WebServer {
        config: WebConfig {
            node: NODE,
            local_auth: false,
            max_upload_bytes: 0,
            uploads: data.join("uploads"),
            copies: 1,
            certificates: None,
            trusted_proxies: Vec::new(),
            webhooks_to_this_machine: false,
        },
        log: log.clone(),
        content,
        live: LiveBoard::default(),
        tickets: Arc::new(Alone),
        runners: Arc::new(Alone),
        neighbours: Arc::new(Alone),
        running_logs: Arc::new(Alone),
        providers: Vec::new(),
    };
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.serve(listener, stop.clone()));
    println!("{}", serde_json::to_string(&ready)?);

    let owners: Vec<UserId> = members.iter().map(|(user, _)| *user).collect();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let Request::Run(run) = serde_json::from_str(&line)?;
        let applied = complete_frames(&log, &owners, run).await?;
        println!("{}", serde_json::to_string(&applied)?);
    }
    stop.cancel();
    serving.await??;
    log.shutdown().await;
    mesh.shutdown().await;
    Ok(())
}

async fn create_farm(log: &JobLog, mesh: &Mesh, token: &str) -> anyhow::Result<()> {
    let public_key = [7; 32];
    let first_node = NewNode {
        name: "bench".into(),
        peer_id: mesh.peer_id().to_string(),
        addresses: Vec::new(),
        roles: Roles {
            voter: true,
            runner: true,
        },
    };
    let created = Action::FarmCreated {
        farm: FarmId::of_public_key(&public_key),
        name: "bench".into(),
        public_key,
        secret_key: [8; 32],
        first_node,
    };
    log.create_farm(Command::new(Actor::Node(NODE), created))
        .await?;
    let announced = Action::NodeAnnounced {
        node: NODE,
        addresses: Vec::new(),
        web_address: None,
        version: env!("CARGO_PKG_VERSION").into(),
        runner: RunnerFacts::default(),
        operator_token: SecretHash::of(token.as_bytes()),
    };
    log.propose(Command::new(Actor::Node(NODE), announced))
        .await?;
    Ok(())
}

/// A member's account with a session; answers the session's secret.
async fn create_member(log: &JobLog, number: usize) -> anyhow::Result<(UserId, String)> {
    let user = UserId::new();
    let created = Action::UserCreated {
        user,
        name: format!("member {number}"),
        email: Some(format!("member-{number}@bench.example")),
        password_hash: Some("nobody signs in with it".into()),
        identity: None,
        role: UserRole::Member,
    };
    log.propose(of_farm(created)).await?;
    let secret = format!("session-of-member-{number}");
    let session = Action::SessionCreated {
        session: SecretHash::of(secret.as_bytes()),
        user,
        expires_at: TimestampMs::now().plus(Duration::from_secs(3600)),
        agent: "bench".into(),
    };
    log.propose(of_farm(session)).await?;
    Ok((user, secret))
}

/// Makes jobs, leases their tasks in turn and commits each a second later, `run.per_second` of
/// them, evenly. Answers when each commit was applied.
async fn complete_frames(log: &JobLog, owners: &[UserId], run: Run) -> anyhow::Result<Applied> {
    let total = (run.per_second * run.seconds) as usize;
    let frames_per_job = total.div_ceil(run.jobs);
    let mut jobs: Vec<JobId> = Vec::new();
    for number in 0..run.jobs {
        let owner = match owners {
            [] => Owner::Operator(NODE),
            owners => Owner::User(owners[number % owners.len()]),
        };
        let name = format!("shot {number:03}");
        let (job, commands) = new_job(owner, &name, u32::try_from(frames_per_job)?)?;
        for command in commands {
            log.propose(command).await?;
        }
        jobs.push(job);
    }
    let tasks = (0..total).map(|number| TaskId {
        job: jobs[number % jobs.len()],
        index: (number / jobs.len()) as u32,
    });
    let mut to_lease: VecDeque<TaskId> = tasks.collect();
    let watching = tokio::spawn(watch_commits(log.clone(), jobs.clone(), total));

    let begin = Instant::now() + Duration::from_millis(100);
    let each = Duration::from_secs(1) / run.per_second;
    let mut running: VecDeque<(Instant, TaskId)> = VecDeque::new();
    let mut proposals = FuturesUnordered::new();
    let mut leased = 0;
    while leased < total || !running.is_empty() {
        let lease_at = begin + each * leased as u32;
        let is_lease = leased < total && running.front().is_none_or(|(at, _)| lease_at < *at);
        let (at, command) = if is_lease {
            let count = LEASES_AT_ONCE.min(to_lease.len());
            let batch: Vec<TaskId> = to_lease.drain(..count).collect();
            for (offset, task) in batch.iter().enumerate() {
                running.push_back((lease_at + RENDER_TIME + each * offset as u32, *task));
            }
            leased += batch.len();
            (lease_at, lease(batch))
        } else {
            let (at, task) = running.pop_front().expect("it was looked at");
            (at, commit(task))
        };
        while proposals.len() >= MAX_PROPOSALS {
            proposed(proposals.next().await)?;
        }
        sleep_until(at).await;
        let log = log.clone();
        proposals.push(tokio::spawn(async move { log.propose(command).await }));
    }
    while !proposals.is_empty() {
        proposed(proposals.next().await)?;
    }
    let commits = watching.await??;
    Ok(Applied {
        jobs: jobs.iter().map(ToString::to_string).collect(),
        commits,
    })
}

type Proposed = Result<Result<jiggablend_raft::Effect, ProposeError>, tokio::task::JoinError>;

fn proposed(ended: Option<Proposed>) -> anyhow::Result<()> {
    if let Some(ended) = ended {
        ended
            .context("a proposal broke off")?
            .context("a proposal was refused")?;
    }
    Ok(())
}

/// Notes when each of the jobs' commits was applied, until there are `total`.
async fn watch_commits(log: JobLog, jobs: Vec<JobId>, total: usize) -> anyhow::Result<Vec<Sample>> {
    let mut events = log.subscribe();
    let mut commits = Vec::with_capacity(total);
    while commits.len() < total {
        let applied = events
            .recv()
            .await
            .context("the bench's own watcher fell behind")?;
        let at_ns = jiggablend_testnet::load_protocol::monotonic_ns();
        let is_commit = applied
            .changes
            .iter()
            .any(|change| matches!(change, Change::File(..)));
        for change in applied.changes.iter().filter(|_| is_commit) {
            let Change::Task(id) = change else { continue };
            let Some(job) = jobs.iter().position(|job| *job == id.job) else {
                continue;
            };
            commits.push(Sample {
                index: applied.index,
                job: job as u32,
                task: id.index,
                at_ns,
            });
        }
    }
    Ok(commits)
}
