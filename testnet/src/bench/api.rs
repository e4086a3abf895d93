//! The API with a farm's whole history in it: the first page of jobs, and one job of a hundred
//! frames, under 64 clients.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::Method;
use tokio::process::Command;

use super::{LAST_ROUND_STARTS, Report, Row, Samples};
use crate::api::Api;
use crate::farm::{Farm, FarmOptions};
use crate::wait::{Look, wait_for};
use crate::{Result, TestnetError, program};

const JOBS: usize = 10_000;
const FRAMES_PER_JOB: u32 = 100;
const CLIENTS: usize = 64;
const ROUNDS: usize = 5;
const RUN: Duration = Duration::from_secs(6);
/// Different jobs that are asked for, so that no cache of one helps.
const DIFFERENT_JOBS: usize = 500;
/// Writing a million frames into a log takes a minute or two.
const SEED_DEADLINE: Duration = Duration::from_secs(600);
/// A node takes the whole state from another one in this time.
const CATCH_UP_DEADLINE: Duration = Duration::from_secs(120);

const WHAT_IS_TIMED: &str = "\
wrk with 64 connections and two threads against nodes of the release build on the same machine, six \
seconds a route and round, with an operator's token and without asking for compression. The farm has \
10,000 jobs of 100 frames, 1,000,000 frames in all, written into the real job log: of ten jobs seven \
are done, one is half done, two wait. `jobs` is GET /api/jobs, the first page of 50; `job` is \
GET /api/jobs/{id} of 500 different jobs in turn. Latencies are wrk's own 99th percentiles.";

const WHAT_IS_COMPARED: &str = "\
In a farm of three nodes the leader and a follower take turns in each round; `vs_leader` is the \
follower's 99th percentile over the leader's, of both routes the greater.";

#[derive(Debug, Clone, Copy)]
struct Measured {
    p99_ms: f64,
    per_second: f64,
}

/// Both routes, measured at one node.
#[derive(Debug, Clone, Copy)]
struct Node {
    jobs: Measured,
    job: Measured,
}

/// Runs the bench at the only node, or at a follower of three nodes.
pub(super) async fn run(follower: bool, against: Option<&str>) -> Result<Report> {
    if let Some(peer) = against {
        return Err(TestnetError::Usage(format!(
            "the bench api has no peer '{peer}'; with --follower it compares with the leader"
        )));
    }
    let mut farm = seeded_farm().await?;
    let mut measured = 1;
    if follower {
        for _ in 0..2 {
            let number = farm.add_node().await?;
            wait_until_there(farm.api(number)).await?;
        }
        farm.wait_until_whole().await?;
        measured = farm.a_follower().await?;
    }
    let leader = farm.leader().await?;
    let script = write_script(farm.dir(), &job_ids(farm.api(measured)).await?)?;
    let first_page_kb = first_page_bytes(farm.api(measured)).await? as f64 / 1024.0;

    let mut samples: [Samples; 5] = Default::default();
    let mut vs_leader = Samples::default();
    let started = Instant::now();
    for round in 0..ROUNDS {
        if started.elapsed() > LAST_ROUND_STARTS {
            break;
        }
        let mut order = vec![measured];
        if follower {
            order.insert(round % 2, leader);
        }
        let mut found: Vec<(usize, Node)> = Vec::new();
        for number in order {
            let node = measure(&farm, number, &script).await?;
            eprintln!("round {}: node {number}: {node:?}", round + 1);
            found.push((number, node));
        }
        let of = |number| found.iter().find(|(of, _)| *of == number);
        let Some((_, ours)) = of(measured) else {
            continue;
        };
        let values = [
            ours.jobs.p99_ms,
            ours.job.p99_ms,
            first_page_kb,
            ours.jobs.per_second,
            ours.job.per_second,
        ];
        for (samples, value) in samples.iter_mut().zip(values) {
            samples.push(value);
        }
        if let Some((_, theirs)) = of(leader).filter(|_| follower) {
            let ratio = |ours: Measured, theirs: Measured| ours.p99_ms / theirs.p99_ms;
            vs_leader.push(ratio(ours.jobs, theirs.jobs).max(ratio(ours.job, theirs.job)));
        }
    }
    farm.stop().await?;
    Ok(report(follower, samples, vs_leader))
}

fn report(follower: bool, samples: [Samples; 5], vs_leader: Samples) -> Report {
    let what = [
        (
            "jobs_p99_ms",
            "first page of jobs",
            "ms",
            Some("at most 20"),
        ),
        (
            "job_p99_ms",
            "a job of 100 frames",
            "ms",
            Some("at most 20"),
        ),
        ("first_page_kb", "the first page", "KiB", Some("at most 50")),
        ("jobs_per_second", "first pages", "1/s", None),
        ("job_per_second", "jobs of 100 frames", "1/s", None),
    ];
    let mut rows: Vec<Row> = what
        .into_iter()
        .zip(samples)
        .map(|((metric, what, unit, bar), samples)| Row {
            metric,
            what: what.to_owned(),
            samples,
            unit,
            peer: None,
            bar,
        })
        .collect();
    let mut what_is_timed = WHAT_IS_TIMED.to_owned();
    if follower {
        what_is_timed = format!("{WHAT_IS_TIMED} {WHAT_IS_COMPARED}");
        rows.push(Row {
            metric: "vs_leader",
            what: "a follower over the leader".to_owned(),
            samples: vs_leader,
            unit: "ratio",
            peer: Some("leader"),
            bar: Some("at most 1.5"),
        });
    }
    Report {
        bench: if follower { "api --follower" } else { "api" },
        what_is_timed,
        rows,
    }
}

/// A farm of one real node whose log was filled while it did not run.
async fn seeded_farm() -> Result<Farm> {
    let options = FarmOptions {
        arguments: vec!["--no-render".into()],
        ..FarmOptions::default()
    };
    let mut farm = Farm::start_with(1, options).await?;
    let node = farm.take(1);
    let settings = node.settings.clone();
    node.stop().await?;

    let started = Instant::now();
    let mut seed = Command::new(program::load()?);
    seed.arg("seed")
        .arg("--data")
        .arg(&settings.data)
        .args(["--jobs", &JOBS.to_string()])
        .args(["--frames-per-job", &FRAMES_PER_JOB.to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let status = tokio::time::timeout(SEED_DEADLINE, seed.status())
        .await
        .map_err(|_| TestnetError::Timeout {
            what: "the farm's history to be written".into(),
            waited: SEED_DEADLINE,
            last_seen: "jiggablend-load seed".into(),
        })?
        .map_err(TestnetError::io("starting jiggablend-load"))?;
    if !status.success() {
        return Err(TestnetError::Program {
            program: "jiggablend-load seed".into(),
            status: status.to_string(),
            last_words: "see above".into(),
        });
    }
    eprintln!(
        "wrote {JOBS} jobs into the log in {} s",
        started.elapsed().as_secs()
    );
    farm.put(settings).await?;
    farm.wait_until_whole().await?;
    wait_until_there(farm.api(1)).await?;
    Ok(farm)
}

/// Waits until the node's state has all jobs.
async fn wait_until_there(api: &Api) -> Result<()> {
    wait_for("a node to have all jobs", CATCH_UP_DEADLINE, || async {
        match job_ids(api).await {
            Ok(ids) if ids.len() >= DIFFERENT_JOBS => Look::Seen(()),
            Ok(ids) => Look::NotYet(format!("{} jobs on a page", ids.len())),
            Err(error) => Look::NotYet(error.to_string()),
        }
    })
    .await
}

async fn job_ids(api: &Api) -> Result<Vec<String>> {
    let path = format!("/api/jobs?limit={DIFFERENT_JOBS}");
    let doing = "asking for jobs";
    let page: serde_json::Value = api
        .request(Method::GET, &path)
        .send()
        .await
        .and_then(reqwest::Response::error_for_status)
        .map_err(TestnetError::http(doing))?
        .json()
        .await
        .map_err(TestnetError::http(doing))?;
    let jobs = page["jobs"].as_array().into_iter().flatten();
    Ok(jobs
        .filter_map(|job| job["id"].as_str().map(str::to_owned))
        .collect())
}

async fn first_page_bytes(api: &Api) -> Result<usize> {
    let doing = "asking for the first page";
    let page = api
        .request(Method::GET, "/api/jobs")
        .send()
        .await
        .map_err(TestnetError::http(doing))?
        .bytes()
        .await
        .map_err(TestnetError::http(doing))?;
    Ok(page.len())
}

/// What wrk asks for: those jobs in turn.
fn write_script(dir: &Path, ids: &[String]) -> Result<PathBuf> {
    let ids: Vec<String> = ids.iter().map(|id| format!("\"{id}\"")).collect();
    let script = format!(
        "local ids = {{{}}}\nlocal at = 0\n\
         request = function()\n  at = at % #ids + 1\n  \
         return wrk.format(\"GET\", \"/api/jobs/\" .. ids[at])\nend\n",
        ids.join(",")
    );
    let path = dir.join("jobs.lua");
    std::fs::write(&path, script)
        .map_err(TestnetError::io(format!("writing {}", path.display())))?;
    Ok(path)
}

async fn measure(farm: &Farm, number: usize, script: &Path) -> Result<Node> {
    let node = farm.node(number);
    Ok(Node {
        jobs: wrk(node.url(), node.token(), "/api/jobs", None).await?,
        job: wrk(node.url(), node.token(), "/api/jobs", Some(script)).await?,
    })
}

async fn wrk(url: &str, token: &str, path: &str, script: Option<&Path>) -> Result<Measured> {
    let program = std::env::var_os("WRK").unwrap_or_else(|| "wrk".into());
    let mut command = Command::new(program);
    command
        .args(["--threads", "2", "--latency"])
        .args(["--connections", &CLIENTS.to_string()])
        .args(["--duration", &format!("{}s", RUN.as_secs())])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if let Some(script) = script {
        command.arg("--script").arg(script);
    }
    let output = tokio::time::timeout(RUN * 4, command.arg(format!("{url}{path}")).output())
        .await
        .map_err(|_| TestnetError::Timeout {
            what: "wrk to end".into(),
            waited: RUN * 4,
            last_seen: path.to_owned(),
        })?
        .map_err(TestnetError::io("starting wrk"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    parse_wrk(&text).ok_or_else(|| TestnetError::Program {
        program: "wrk".into(),
        status: output.status.to_string(),
        last_words: format!("{text}{}", String::from_utf8_lossy(&output.stderr)),
    })
}

/// `None` where wrk says nothing of latencies, or where some answers were errors.
fn parse_wrk(text: &str) -> Option<Measured> {
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
        line.map(str::trim)
    };
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return None;
    }
    Some(Measured {
        p99_ms: milliseconds(field("99%")?)?,
        per_second: field("Requests/sec:")?.parse().ok()?,
    })
}

/// wrk's times: `850.00us`, `12.34ms`, `1.20s`.
fn milliseconds(text: &str) -> Option<f64> {
    let units = [("us", 0.001), ("ms", 1.0), ("s", 1000.0)];
    units.into_iter().find_map(|(unit, factor)| {
        let value: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(value * factor)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const SAID: &str = "\
Running 6s test @ http://127.0.0.1:20001/api/jobs
  2 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     6.10ms    1.51ms  33.61ms   81.44%
  Latency Distribution
     50%    5.91ms
     99%   10.74ms
  62914 requests in 6.01s, 1.46GB read
Requests/sec:  10466.63
Transfer/sec:    248.28MB
";

    #[test]
    fn wrks_latency_and_rate_are_read() {
        let measured = parse_wrk(SAID).unwrap();
        assert_eq!((measured.p99_ms, measured.per_second), (10.74, 10466.63));
        assert_eq!(milliseconds("850.00us"), Some(0.85));
        assert_eq!(milliseconds("1.20s"), Some(1200.0));
    }

    #[test]
    fn answers_that_are_errors_are_no_result() {
        let said = format!("{SAID}  Non-2xx or 3xx responses: 3\n");
        assert!(parse_wrk(&said).is_none());
    }
}
