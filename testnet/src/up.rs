//! `testnet/up`: a farm on this machine, a scene rendered on it, and what came of it.

use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::farm::{Farm, FarmOptions};
use crate::node::{TEST_EMAIL, TEST_PASSWORD};
use crate::scenes::{Recipe, Scene};
use crate::wire::{Job, JobState};
use crate::{Result, TestnetError, command_line};

/// What `up` can be told.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// How many nodes to start
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    nodes: u8,
    /// The scene file to render [default: the sample animation, made now]
    #[arg(long, value_name = "FILE")]
    scene: Option<PathBuf>,
    /// Frames: 12, 1-10, 1-100x5, 3,7,9 [default: the scene's own range]
    #[arg(long, value_name = "FRAMES", allow_hyphen_values = true)]
    frames: Option<String>,
    /// Leave when the job is over; the exit code says whether every frame is there
    #[arg(long)]
    once: bool,
    /// Where nodes, frames and video lie; a farm that is there already goes on
    /// [default: a new folder in the cache]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Ctrl-C, or the polite signal of a service manager.
struct Interrupt {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Interrupt {
    fn listen() -> Result<Self> {
        let listening = "listening for Ctrl-C";
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).map_err(TestnetError::io(listening))?,
            terminate: signal(SignalKind::terminate()).map_err(TestnetError::io(listening))?,
        })
    }

    async fn come(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Starts the farm, renders, says where everything is, and stays until Ctrl-C.
///
/// The exit code is 1 where a frame is missing, 130 where Ctrl-C came before the job was over.
pub async fn run(arguments: UpArgs) -> Result<ExitCode> {
    let mut interrupt = Interrupt::listen()?;
    let dir = arguments.dir.clone().map_or_else(new_dir, Ok)?;
    std::fs::create_dir_all(&dir).map_err(TestnetError::io(format!("making {}", dir.display())))?;
    // Nodes run with this path in their arguments, wherever they are started.
    let dir = dir
        .canonicalize()
        .map_err(TestnetError::io(format!("finding {}", dir.display())))?;

    let mut farm = tokio::select! {
        started = start(&arguments, &dir) => started?,
        () = interrupt.come() => return Ok(ExitCode::from(130)),
    };
    let outcome = tokio::select! {
        outcome = render(&arguments, &mut farm) => outcome,
        () = interrupt.come() => {
            eprintln!("\nstopping the farm; its data stays in {}", dir.display());
            farm.stop().await?;
            return Ok(ExitCode::from(130));
        }
    };
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}\nerror: {error}", farm.log_ends(12));
            ExitCode::FAILURE
        }
    };
    if !arguments.once {
        eprintln!("the farm stays up; Ctrl-C ends it");
        interrupt.come().await;
        eprintln!("\nstopping the farm; its data stays in {}", dir.display());
    }
    farm.stop().await?;
    Ok(code)
}

/// Each run has a folder of its own, so that the frames of the last one stay where they are.
fn new_dir() -> Result<PathBuf> {
    let cache = std::env::var_os("JIGGABLEND_CACHE").map_or_else(std::env::temp_dir, PathBuf::from);
    let farms = cache.join("farms");
    let making = format!("making a folder in {}", farms.display());
    std::fs::create_dir_all(&farms).map_err(TestnetError::io(&making))?;
    let dir = tempfile::Builder::new()
        .prefix("farm-")
        .tempdir_in(&farms)
        .map_err(TestnetError::io(making))?;
    Ok(dir.keep())
}

async fn start(arguments: &UpArgs, dir: &Path) -> Result<Farm> {
    eprintln!("starting {} nodes in {}", arguments.nodes, dir.display());
    let nodes = usize::from(arguments.nodes);
    let farm = Farm::start_in(dir, nodes, FarmOptions::default()).await?;
    for (_, node) in farm.nodes() {
        eprintln!(
            "  {}  {}  pid {}",
            node.settings.name,
            node.url(),
            node.pid()
        );
    }
    eprintln!("web page (any node serves it): {}", farm.node(1).url());
    eprintln!("sign in as {TEST_EMAIL} with the password {TEST_PASSWORD}");
    Ok(farm)
}

async fn render(arguments: &UpArgs, farm: &mut Farm) -> Result<()> {
    let scene = match &arguments.scene {
        Some(scene) => scene.clone(),
        None => {
            let sample = farm.dir().join("sample.blend");
            eprintln!("making the sample animation");
            Recipe::of(Scene::Sample).make(&sample).await?;
            sample
        }
    };
    let data = farm.node(1).settings.data.clone();
    let frames_dir = farm.dir().join("frames");
    let status = submit_and_follow(arguments, &scene, &data, &frames_dir).await?;

    let newest = farm.api(1).jobs().await?.into_iter().next();
    let Some(newest) = newest else {
        return Err(TestnetError::Usage("the farm has no job: see above".into()));
    };
    let job = farm.api(1).job(&newest.id).await?;
    print_results(farm, &job, &frames_dir);
    judge(&job, status, &frames_dir)
}

/// The command line submits, shows its own progress, and fetches what was made.
async fn submit_and_follow(
    arguments: &UpArgs,
    scene: &Path,
    data: &Path,
    frames_dir: &Path,
) -> Result<ExitStatus> {
    let mut command = command_line::jiggablend()?;
    command.args(["job", "submit"]).arg(scene);
    if let Some(frames) = &arguments.frames {
        command.arg(format!("--frames={frames}"));
    }
    command.arg("--download").arg(frames_dir);
    command.arg("--data").arg(data);
    command
        .status()
        .await
        .map_err(TestnetError::io("running jiggablend job submit"))
}

fn print_results(farm: &Farm, job: &Job, frames_dir: &Path) {
    println!("frames:   {}", frames_dir.display());
    if let Some(video) = &job.video_file {
        println!("video:    {}", frames_dir.join(&video.name).display());
    }
    println!("web page: {}/", farm.node(1).url());
    println!("sign in:  {TEST_EMAIL} / {TEST_PASSWORD}");
}

/// An error where the job is not done or a file is not on disk.
fn judge(job: &Job, submitted: ExitStatus, frames_dir: &Path) -> Result<()> {
    let wanted = job.frame_tasks().count();
    let on_disk = pictures_in(frames_dir);
    if job.summary.state != JobState::Done || on_disk < wanted || !submitted.success() {
        let reason = match (&job.summary.failure, &job.summary.waiting_for) {
            (Some(failure), _) => failure.message.clone(),
            (None, Some(missing)) => format!("the job waits for {missing}"),
            (None, None) => format!("the command line ended with {submitted}"),
        };
        return Err(TestnetError::Usage(format!(
            "the job is not done, {on_disk} of {wanted} frames are in {}: {reason}",
            frames_dir.display(),
        )));
    }
    Ok(())
}

fn pictures_in(dir: &Path) -> usize {
    let is_picture = |path: PathBuf| {
        let extension = path.extension().unwrap_or_default().to_ascii_lowercase();
        ["png", "jpg", "jpeg", "exr"]
            .iter()
            .any(|known| extension == *known)
    };
    std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter(|entry| entry.as_ref().is_ok_and(|entry| is_picture(entry.path())))
        .count()
}
