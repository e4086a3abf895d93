//! What a farm of one node adds to rendering: a job of 24 short frames against Blender alone.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;

use super::{LAST_ROUND_STARTS, Report, Row, Samples};
use crate::api::NewJob;
use crate::events::EventStream;
use crate::farm::Farm;
use crate::program::blender;
use crate::scenes::{Recipe, Scene};
use crate::{Result, TestnetError};

const FRAMES: u32 = 24;
const ROUNDS: usize = 5;

/// One run of either takes a few seconds, half a minute at most on a machine that is busy.
const RUN_DEADLINE: Duration = Duration::from_secs(120);

const WHAT_IS_TIMED: &str = "\
A job of 24 frames (240x135, Cycles, 16 samples, about 0.2 s each) on a farm of one node with one \
slot and no video, from the first request (`POST /api/jobs`) over the upload of the scene file to \
the event which says that the job is done: its last frame is checked, fsynced and committed. Each \
round is a fresh job, so the start of its Blender is in the time; the node runs already. \
`blender_a` is `blender -b FILE -o … -a` from launch to exit; `launch_per_frame` is \
`blender -b FILE -o … -f N` for each of the 24 frames, one after the other. All write the same \
PNGs to the same disk; the order turns from round to round.";

/// What takes a turn in each round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Contender {
    Ours,
    BlenderA,
    LaunchPerFrame,
}

/// Runs the bench; `against` names one peer, `None` means both.
pub(super) async fn run(against: Option<&str>) -> Result<Report> {
    let peers = match against {
        None => vec![Contender::BlenderA, Contender::LaunchPerFrame],
        Some("blender_a") => vec![Contender::BlenderA],
        Some("launch_per_frame") => vec![Contender::LaunchPerFrame],
        Some(other) => {
            return Err(TestnetError::Usage(format!(
                "the bench render has no peer '{other}'; it has blender_a and launch_per_frame"
            )));
        }
    };
    let contenders: Vec<Contender> = std::iter::once(Contender::Ours).chain(peers).collect();

    let farm = Farm::start(1).await?;
    let scene = farm.dir().join("short.blend");
    Recipe::of(Scene::Short).frames(FRAMES).make(&scene).await?;

    let mut samples = vec![Samples::default(); contenders.len()];
    let started = Instant::now();
    for round in 0..ROUNDS {
        if started.elapsed() > LAST_ROUND_STARTS {
            break;
        }
        for turn in 0..contenders.len() {
            let which = (round + turn) % contenders.len();
            let seconds = match contenders[which] {
                Contender::Ours => ours(&farm, &scene).await?,
                Contender::BlenderA => blender_a(&scene).await?,
                Contender::LaunchPerFrame => launch_per_frame(&scene).await?,
            };
            eprintln!(
                "round {}: {:?} {seconds:.2} s",
                round + 1,
                contenders[which]
            );
            samples[which].push(seconds);
        }
    }
    farm.stop().await?;
    Ok(report(&contenders, &samples))
}

fn report(contenders: &[Contender], samples: &[Samples]) -> Report {
    let mut rows = Vec::new();
    let seconds = |metric, what: &str, samples: &Samples, peer| Row {
        metric,
        what: what.to_owned(),
        samples: samples.clone(),
        unit: "s",
        peer,
        bar: None,
    };
    rows.push(seconds("job", "the job on one node", &samples[0], None));
    for (contender, theirs) in contenders.iter().zip(samples) {
        let (peer, absolute, ratio, bar) = match contender {
            Contender::Ours => continue,
            Contender::BlenderA => ("blender_a", "blender_a", "vs_blender_a", "at most 1.25"),
            Contender::LaunchPerFrame => (
                "launch_per_frame",
                "launch_per_frame",
                "vs_launch_per_frame",
                "at most 0.5",
            ),
        };
        rows.push(seconds(absolute, "the peer", theirs, Some(peer)));
        rows.push(Row {
            metric: ratio,
            what: format!("job over {peer}"),
            samples: samples[0].over(theirs),
            unit: "ratio",
            peer: Some(peer),
            bar: Some(bar),
        });
    }
    Report {
        bench: "render",
        what_is_timed: WHAT_IS_TIMED.to_owned(),
        rows,
    }
}

/// Seconds from the first request to the event that says the job is done.
async fn ours(farm: &Farm, scene: &Path) -> Result<f64> {
    let api = farm.api(1);
    let mut events = EventStream::open(api, None).await?;
    let new = NewJob {
        name: "bench".into(),
        frames: Some(format!("1-{FRAMES}")),
        video: false,
    };
    let started = Instant::now();
    let job = api.submit(scene, &new).await?;
    loop {
        let left = RUN_DEADLINE.saturating_sub(started.elapsed());
        let event = events.next(left).await?;
        let changes = event.data["changes"].as_array().into_iter().flatten();
        let state = changes
            .filter(|change| change["job"]["id"] == *job)
            .find_map(|change| change["job"]["state"].as_str());
        match state {
            Some("done") => return Ok(started.elapsed().as_secs_f64()),
            Some("failed" | "cancelled") => {
                let why = api.job(&job).await?.in_one_line();
                return Err(TestnetError::Hopeless {
                    what: "the bench's job".into(),
                    why,
                });
            }
            _ => {}
        }
    }
}

async fn blender_a(scene: &Path) -> Result<f64> {
    let started = Instant::now();
    run_blender(scene, &["-a"], FRAMES as usize).await?;
    Ok(started.elapsed().as_secs_f64())
}

async fn launch_per_frame(scene: &Path) -> Result<f64> {
    let started = Instant::now();
    for frame in 1..=FRAMES {
        run_blender(scene, &["-f", &frame.to_string()], 1).await?;
    }
    Ok(started.elapsed().as_secs_f64())
}

/// Renders into a fresh folder and makes sure that the pictures are there.
async fn run_blender(scene: &Path, what: &[&str], pictures: usize) -> Result<()> {
    let out = tempfile::tempdir().map_err(TestnetError::io("making a temporary folder"))?;
    let mut command = Command::new(blender());
    command
        .arg("--background")
        .arg(scene)
        .arg("-o")
        .arg(out.path().join("####"))
        .args(what)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let status = tokio::time::timeout(RUN_DEADLINE, command.status())
        .await
        .map_err(|_| TestnetError::Timeout {
            what: "blender to render".into(),
            waited: RUN_DEADLINE,
            last_seen: format!("{what:?}"),
        })?
        .map_err(TestnetError::io("starting blender"))?;
    let made = std::fs::read_dir(out.path()).map_or(0, Iterator::count);
    if !status.success() || made != pictures {
        return Err(TestnetError::Program {
            program: format!("blender {}", what.join(" ")),
            status: status.to_string(),
            last_words: format!("it made {made} of {pictures} pictures"),
        });
    }
    Ok(())
}
