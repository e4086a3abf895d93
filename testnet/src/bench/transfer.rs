//! How fast a scene file goes in and comes out over HTTP, against nginx with the same file on the
//! same disk.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;

use super::nginx::Nginx;
use super::{LAST_ROUND_STARTS, Report, Row, Samples, large_scene};
use crate::api::NewJob;
use crate::farm::{Farm, FarmOptions};
use crate::{Result, TestnetError};

const SCENE_BYTES: u64 = 2 << 30;
const ROUNDS: usize = 5;
const PEER: &str = "nginx";
/// One transfer takes some seconds; on a machine whose disk is busy, half a minute.
const TRANSFER_DEADLINE: Duration = Duration::from_secs(120);
const SCENE: &str = "scene.blend";
const MEBIBYTE: f64 = (1 << 20) as f64;

const UPLOAD_IS_TIMED: &str = "\
curl sends a .blend of 2 GiB that does not compress over loopback, from its start to its end. Ours \
is `curl -F file=@scene.blend` to POST /api/jobs/{id}/upload on a farm of one node: the answer \
comes when the file is checked, cut, hashed and fsynced, and its job has started. nginx is \
`curl -T scene.blend`, a PUT that nginx writes to the page cache and never fsyncs; `fsynced` adds \
an fsync of its file, after which it has promised what ours has. Each round has a fresh farm, since known chunks are not written again, and a fresh file on nginx; before each \
transfer the disk has nothing left to write. The order turns from round to round.";

const DOWNLOAD_IS_TIMED: &str = "\
curl reads a .blend of 2 GiB over loopback and throws it away, from its start to its end. Ours is \
GET /api/jobs/{id}/files/{file}/download on a farm of one node, which checks each chunk against its \
hash before it leaves; nginx sends the same bytes by sendfile and checks nothing. Both read from \
the page cache. The order turns from round to round.";

/// In which direction the file travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Upload,
    Download,
}

/// Runs the bench of that direction against nginx, its one peer.
pub(super) async fn run(direction: Direction, against: Option<&str>) -> Result<Report> {
    if let Some(other) = against.filter(|peer| *peer != PEER) {
        return Err(TestnetError::Usage(format!(
            "this bench has no peer '{other}'; it has {PEER}"
        )));
    }
    let dir = tempfile::Builder::new()
        .prefix("jiggablend-bench-")
        .tempdir()
        .map_err(TestnetError::io("making a temporary folder"))?;
    let nginx = Nginx::start(dir.path()).await?;
    let scene = nginx.file(SCENE);
    let writing = scene.clone();
    tokio::task::spawn_blocking(move || large_scene::write(&writing, SCENE_BYTES, 1))
        .await
        .expect("writing a scene does not panic")?;
    let (ours, theirs, fsynced) = match direction {
        Direction::Upload => {
            let (ours, theirs, fsynced) = uploads(&nginx, &scene).await?;
            (ours, theirs, Some(fsynced))
        }
        Direction::Download => {
            let (ours, theirs) = downloads(&nginx, &scene).await?;
            (ours, theirs, None)
        }
    };
    Ok(report(direction, &ours, &theirs, fsynced.as_ref()))
}

/// Ours, nginx's, and nginx's with an fsync.
async fn uploads(nginx: &Nginx, scene: &Path) -> Result<(Samples, Samples, Samples)> {
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    let mut fsynced = Samples::default();
    let started = Instant::now();
    for round in 0..ROUNDS {
        if started.elapsed() > LAST_ROUND_STARTS {
            break;
        }
        let farm = Farm::start_with(1, without_rendering()).await?;
        for turn in 0..2 {
            sync_disks().await;
            if (round + turn) % 2 == 0 {
                ours.push(upload_to_farm(&farm, scene).await?);
            } else {
                let mut put = curl();
                put.arg("-T").arg(scene).arg(nginx.url("uploaded.blend"));
                let putting = Instant::now();
                theirs.push(rate(put).await?);
                let uploaded = nginx.file("uploaded.blend");
                fsync(&uploaded).await?;
                fsynced.push(mebibytes_per_second(putting.elapsed().as_secs_f64()));
                std::fs::remove_file(&uploaded)
                    .map_err(TestnetError::io(format!("removing {}", uploaded.display())))?;
            }
        }
        farm.stop().await?;
        tell_round(round, &ours, &theirs);
    }
    Ok((ours, theirs, fsynced))
}

async fn downloads(nginx: &Nginx, scene: &Path) -> Result<(Samples, Samples)> {
    let (mut ours, mut theirs) = (Samples::default(), Samples::default());
    let farm = Farm::start_with(1, without_rendering()).await?;
    upload_to_farm(&farm, scene).await?;
    let api = farm.api(1);
    let jobs = api.jobs().await?;
    let job = jobs.first().ok_or_else(|| TestnetError::Answer {
        doing: "asking for the bench's job".into(),
        reason: "there is none".into(),
    })?;
    let files = api.files(&job.id, Some("scene")).await?;
    let file = files.first().ok_or_else(|| TestnetError::Answer {
        doing: "asking for the bench's scene".into(),
        reason: "the job has none".into(),
    })?;
    let our_url = format!("{}{}", api.url(), file.url);
    sync_disks().await;
    let started = Instant::now();
    for round in 0..ROUNDS {
        if started.elapsed() > LAST_ROUND_STARTS {
            break;
        }
        for turn in 0..2 {
            if (round + turn) % 2 == 0 {
                let mut get = curl();
                get.arg("-H").arg(authorization(&farm)).arg(&our_url);
                ours.push(rate(get).await?);
            } else {
                let mut get = curl();
                get.arg(nginx.url(SCENE));
                theirs.push(rate(get).await?);
            }
        }
        tell_round(round, &ours, &theirs);
    }
    farm.stop().await?;
    Ok((ours, theirs))
}

/// Makes a job and gives it its scene; MiB a second of the upload.
async fn upload_to_farm(farm: &Farm, scene: &Path) -> Result<f64> {
    let api = farm.api(1);
    let job = api.create_job(&NewJob::default()).await?;
    let url = format!("{}/api/jobs/{}/upload", api.url(), job.summary.id);
    let mut form = OsString::from("file=@");
    form.push(scene);
    let mut upload = curl();
    upload.arg("-H").arg(authorization(farm));
    upload.arg("-F").arg(form).arg(url);
    rate(upload).await
}

fn authorization(farm: &Farm) -> String {
    format!("Authorization: Bearer {}", farm.node(1).token())
}

/// A curl that fails where the answer is no success, and tells how long it took.
fn curl() -> Command {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--fail-with-body"])
        .args(["--output", "/dev/null"])
        .args([
            "--write-out",
            "%{time_total} %{size_upload} %{size_download}",
        ])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Runs it; MiB a second of the scene. An error where less than the scene has travelled.
async fn rate(mut curl: Command) -> Result<f64> {
    let running = tokio::time::timeout(TRANSFER_DEADLINE, curl.output());
    let output = running
        .await
        .map_err(|_| TestnetError::Timeout {
            what: "curl to send or fetch the scene".into(),
            waited: TRANSFER_DEADLINE,
            last_seen: "it still runs".into(),
        })?
        .map_err(TestnetError::io("starting curl"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let mut numbers = said.split_whitespace().map(str::parse::<f64>);
    let (seconds, sent, received) = (numbers.next(), numbers.next(), numbers.next());
    match (output.status.success(), seconds, sent, received) {
        (true, Some(Ok(seconds)), Some(Ok(sent)), Some(Ok(received)))
            if sent.max(received) >= SCENE_BYTES as f64 =>
        {
            Ok(mebibytes_per_second(seconds))
        }
        _ => Err(TestnetError::Program {
            program: "curl".into(),
            status: output.status.to_string(),
            last_words: format!("{said} {}", String::from_utf8_lossy(&output.stderr)),
        }),
    }
}

fn mebibytes_per_second(seconds: f64) -> f64 {
    SCENE_BYTES as f64 / MEBIBYTE / seconds
}

async fn fsync(path: &Path) -> Result<()> {
    let failed = || TestnetError::io(format!("fsyncing {}", path.display()));
    let file = tokio::fs::File::open(path).await.map_err(failed())?;
    file.sync_all().await.map_err(failed())
}

/// Nothing is left to write, so that no transfer pays for what came before it.
async fn sync_disks() {
    tokio::task::spawn_blocking(nix::unistd::sync)
        .await
        .expect("sync does not panic");
}

fn without_rendering() -> FarmOptions {
    FarmOptions {
        arguments: vec!["--no-render".into()],
        ..FarmOptions::default()
    }
}

fn tell_round(round: usize, ours: &Samples, theirs: &Samples) {
    eprintln!(
        "round {}: median of ours {:.0} MiB/s, of {PEER} {:.0} MiB/s",
        round + 1,
        ours.median(),
        theirs.median()
    );
}

fn report(
    direction: Direction,
    ours: &Samples,
    theirs: &Samples,
    fsynced: Option<&Samples>,
) -> Report {
    let (bench, what_is_timed) = match direction {
        Direction::Upload => ("upload", UPLOAD_IS_TIMED),
        Direction::Download => ("download", DOWNLOAD_IS_TIMED),
    };
    let rate = |metric, what: &str, samples: &Samples, peer| Row {
        metric,
        what: what.to_owned(),
        samples: samples.clone(),
        unit: "MiB/s",
        peer,
        bar: None,
    };
    let ratio = |metric, what: String, theirs: &Samples, bar| Row {
        metric,
        what,
        samples: ours.over(theirs),
        unit: "ratio",
        peer: Some(PEER),
        bar,
    };
    let against = format!("rate over {PEER}'s");
    let mut rows = vec![
        rate("rate", "one node", ours, None),
        rate("peer_rate", "the peer", theirs, Some(PEER)),
        ratio("vs_peer", against.clone(), theirs, Some("at least 0.6")),
    ];
    if let Some(fsynced) = fsynced {
        let what = format!("{against}, fsynced");
        rows.push(rate(
            "peer_rate_fsynced",
            "the peer, fsynced",
            fsynced,
            Some(PEER),
        ));
        rows.push(ratio("vs_peer_fsynced", what, fsynced, None));
    }
    Report {
        bench,
        what_is_timed: what_is_timed.to_owned(),
        rows,
    }
}
