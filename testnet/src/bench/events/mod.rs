//! Live events at scale: a thousand clients while five hundred frames a second complete.
//!
//! [`client`] reads the streams as cheaply as it can, [`payloads`] knows what was said, and
//! [`verdict`] compares with what was applied.

mod client;
mod payloads;
mod verdict;

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Report, Row, Samples};
use crate::load_protocol::{Applied, Ready, Request, Run};
use crate::{Result, TestnetError, program};
use client::Client;
use payloads::Payloads;
use verdict::Verdict;

const CLIENTS: usize = 1000;
/// Every second client is an operator, who sees all jobs; the others are these members' in turn,
/// who see their own.
const MEMBERS: usize = 4;
const JOBS: usize = 8;
const FRAMES_PER_SECOND: u32 = 500;
const SECONDS: u32 = 20;
const ROUNDS: usize = 3;
/// The load's program answers this long after the last frame at the latest.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// What the last frames' events take to come, at the most.
const SETTLE: Duration = Duration::from_secs(2);

const WHAT_IS_TIMED: &str = "\
1,000 clients of GET /api/events in one process, half of them an operator's, half of four \
members who own the jobs; in another process a farm of one node (raft, transfer and web as in a \
node, without Blender), into whose job log leases and commits are proposed so that 500 frames a \
second complete, each a second after its lease. `p99_late_ms` is from the moment at which a commit's \
entry was applied to the moment at which a client has read the event that shows the frame as done, \
over all clients and frames; `missed` counts frames that a client was to see and did not see by the event's \
id, or saw in another order than they were committed. `kb_per_client` is the peak of the node's \
resident memory, less that of another node under the same load without clients.";

pub(super) async fn run(against: Option<&str>) -> Result<Report> {
    if let Some(peer) = against {
        return Err(TestnetError::Usage(format!(
            "the bench events has no peer '{peer}'; it has none"
        )));
    }
    let names = [
        "p99_late_ms",
        "median_late_ms",
        "missed",
        "kb_per_client",
        "frames_per_second",
    ];
    let mut samples = vec![Samples::default(); names.len()];
    for round in 1..=ROUNDS {
        let found = one_round().await?;
        eprintln!("round {round}: {found:?}");
        let values = [
            found.verdict.p99_late_ms,
            found.verdict.median_late_ms,
            found.verdict.missed as f64,
            found.kb_per_client,
            found.verdict.frames_per_second,
        ];
        for (samples, value) in samples.iter_mut().zip(values) {
            samples.push(value);
        }
    }
    let what = [
        ("99th percentile of lateness", "ms", Some("at most 250")),
        ("median lateness", "ms", None),
        ("frames not seen, or not in order", "frames", Some("0")),
        ("memory of the node a client", "KiB", Some("at most 64")),
        ("frames that completed", "1/s", Some("500")),
    ];
    let rows =
        names
            .into_iter()
            .zip(what)
            .zip(samples)
            .map(|((metric, (what, unit, bar)), samples)| Row {
                metric,
                what: what.to_owned(),
                samples,
                unit,
                peer: None,
                bar,
            });
    Ok(Report {
        bench: "events",
        what_is_timed: WHAT_IS_TIMED.to_owned(),
        rows: rows.collect(),
    })
}

#[derive(Debug)]
struct Found {
    verdict: Verdict,
    kb_per_client: f64,
}

/// The most memory that a node takes under the load when nobody listens, in KiB.
async fn peak_without_clients() -> Result<u64> {
    let mut node = LoadNode::start().await?;
    let stop = CancellationToken::new();
    let peak = watch_memory(node.pid(), stop.clone());
    let measured = async {
        let applied = node.complete(SECONDS).await;
        stop.cancel();
        applied
    };
    let (applied, peak_kib) = tokio::join!(measured, peak);
    applied?;
    node.stop().await?;
    peak_kib
}

async fn one_round() -> Result<Found> {
    let without_clients = peak_without_clients().await?;
    let mut node = LoadNode::start().await?;
    let payloads = Arc::new(Payloads::default());
    let stop = CancellationToken::new();
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let (member, credential) = match number % 2 {
            0 => (None, format!("Authorization: Bearer {}", node.ready.token)),
            _ => {
                let member = number / 2 % MEMBERS;
                let secret = &node.ready.sessions[member];
                (Some(member), format!("Cookie: jiggablend_session={secret}"))
            }
        };
        let client = Client::open(&node.ready.url, &credential, member).await?;
        clients.spawn(client.read(payloads.clone(), stop.clone()));
    }
    let peak = watch_memory(node.pid(), stop.clone());
    let measured = async {
        let applied = node.complete(SECONDS).await?;
        tokio::time::sleep(SETTLE).await;
        stop.cancel();
        Ok::<Applied, TestnetError>(applied)
    };
    let (applied, peak_kib) = tokio::join!(measured, peak);
    let applied = applied?;
    let mut read = Vec::new();
    while let Some(client) = clients.join_next().await {
        let client = client.map_err(|error| unreadable(error.to_string()))?;
        read.push(client?);
    }
    node.stop().await?;
    let verdict = Verdict::of(&applied, MEMBERS, &payloads, &read);
    Ok(Found {
        verdict,
        kb_per_client: peak_kib?.saturating_sub(without_clients) as f64 / CLIENTS as f64,
    })
}

fn unreadable(reason: impl Into<String>) -> TestnetError {
    TestnetError::Answer {
        doing: "reading the live stream".into(),
        reason: reason.into(),
    }
}

/// The most resident memory that the process had until `stop`, in KiB.
async fn watch_memory(pid: u32, stop: CancellationToken) -> Result<u64> {
    let mut peak = resident_kib(pid)?;
    while tokio::time::timeout(Duration::from_millis(250), stop.cancelled())
        .await
        .is_err()
    {
        peak = peak.max(resident_kib(pid)?);
    }
    Ok(peak)
}

fn resident_kib(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status =
        std::fs::read_to_string(&path).map_err(TestnetError::io(format!("reading {path}")))?;
    status
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .ok_or_else(|| TestnetError::Answer {
            doing: format!("reading {path}"),
            reason: "it says nothing of VmRSS".into(),
        })
}

/// `jiggablend-load node` as a process.
struct LoadNode {
    child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    ready: Ready,
    _dir: tempfile::TempDir,
}

impl LoadNode {
    async fn start() -> Result<Self> {
        let dir = tempfile::tempdir().map_err(TestnetError::io("making a temporary folder"))?;
        let mut child = Command::new(program::load()?)
            .args(["node", "--members", &MEMBERS.to_string(), "--data"])
            .arg(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(TestnetError::io("starting jiggablend-load"))?;
        let stdin = child.stdin.take().expect("it is piped");
        let stdout = child.stdout.take().expect("it is piped");
        let mut lines = BufReader::new(stdout).lines();
        let ready = next_line(&mut lines, ANSWER_WITHIN).await?;
        Ok(Self {
            child,
            stdin,
            lines,
            ready,
            _dir: dir,
        })
    }

    fn pid(&self) -> u32 {
        self.child.id().unwrap_or_default()
    }

    /// Completes frames for so long.
    async fn complete(&mut self, seconds: u32) -> Result<Applied> {
        let run = Request::Run(Run {
            jobs: JOBS,
            per_second: FRAMES_PER_SECOND,
            seconds,
        });
        let line = serde_json::to_string(&run).expect("plain data") + "\n";
        self.stdin
            .write_all(line.as_bytes())
            .await
            .map_err(TestnetError::io("telling jiggablend-load to run"))?;
        let within = Duration::from_secs(u64::from(seconds)) + ANSWER_WITHIN;
        next_line(&mut self.lines, within).await
    }

    async fn stop(mut self) -> Result<()> {
        drop(self.stdin);
        let ended = tokio::time::timeout(ANSWER_WITHIN, self.child.wait()).await;
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            other => Err(TestnetError::Program {
                program: "jiggablend-load node".into(),
                status: format!("{other:?}"),
                last_words: "see above".into(),
            }),
        }
    }
}

async fn next_line<T: serde::de::DeserializeOwned>(
    lines: &mut Lines<BufReader<ChildStdout>>,
    within: Duration,
) -> Result<T> {
    let doing = "listening to jiggablend-load";
    let line = tokio::time::timeout(within, lines.next_line())
        .await
        .map_err(|_| TestnetError::Timeout {
            what: "jiggablend-load's answer".into(),
            waited: within,
            last_seen: "silence".into(),
        })?
        .map_err(TestnetError::io(doing))?;
    let line = line.ok_or_else(|| TestnetError::Answer {
        doing: doing.into(),
        reason: "it ended; see above".into(),
    })?;
    serde_json::from_str(&line).map_err(|error| TestnetError::Answer {
        doing: doing.into(),
        reason: error.to_string(),
    })
}
