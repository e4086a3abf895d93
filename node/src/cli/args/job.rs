//! `job …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiggablend_raft::FrameList;

#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Hand a .blend to the farm
    #[command(after_help = "Examples:
  jiggablend job submit cat.blend
  jiggablend job submit cat.blend --frames 1-100x5 --name \"cat, every fifth\"
  jiggablend job submit cat.blend --download frames/     wait, then fetch the frames")]
    Submit(JobSubmitArgs),
    /// List jobs, newest first
    #[command(after_help = "Examples:
  jiggablend job list --state active
  jiggablend job list --owner me --search \"cat\" --sort name")]
    List(JobListArgs),
    /// Show one job, failures first
    Show(JobName),
    /// Follow a job until it is over; the exit code says how it ended
    Watch(JobName),
    /// Cancel a job
    Cancel(JobName),
    /// Fetch a job's frames and video; files that are there already are skipped
    #[command(after_help = "Examples:
  jiggablend job download last
  jiggablend job download 4f1e02ab --out frames/ --frames
  jiggablend job download last --archive zip             all frames in one file")]
    Download(JobDownloadArgs),
    /// List every try at each of a job's tasks: where, how long, how it ended
    Attempts(JobAttemptsArgs),
    /// Print what Blender said
    #[command(after_help = "Examples:
  jiggablend job log last                    of what failed or runs
  jiggablend job log last --frame 12 --tail 50
  jiggablend job log last --frame 12 --follow")]
    Log(JobLogArgs),
    /// Let somebody see a job, or manage it
    #[command(after_help = "Examples:
  jiggablend job share last ada@example.org
  jiggablend job share last Ada --manage")]
    Share(JobShareArgs),
    /// Take a share back
    Unshare(JobUnshareArgs),
    /// List with whom a job is shared
    Shares(JobName),
}

impl JobCommand {
    /// What the user calls the job, where the command is about one that exists.
    pub fn job_name(&self) -> Option<&str> {
        match self {
            Self::Submit(_) | Self::List(_) => None,
            Self::Show(name) | Self::Watch(name) | Self::Cancel(name) | Self::Shares(name) => {
                Some(&name.job)
            }
            Self::Download(download) => Some(&download.job.job),
            Self::Attempts(attempts) => Some(&attempts.job.job),
            Self::Log(log) => Some(&log.job.job),
            Self::Share(share) => Some(&share.job.job),
            Self::Unshare(unshare) => Some(&unshare.job.job),
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct JobSubmitArgs {
    /// The scene file
    #[arg(value_name = "SCENE.blend")]
    pub scene: PathBuf,
    /// The job's name [default: the scene file's name]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Frames: 12, 1-250, 1-100x5, 3,7,9 [default: the scene's own range]
    #[arg(long, value_name = "FRAMES", allow_hyphen_values = true)]
    pub frames: Option<FrameList>,
    /// Make no video of the frames
    #[arg(long)]
    pub no_video: bool,
    /// Wait until the job is over; the exit code says how it ended
    #[arg(long)]
    pub wait: bool,
    /// Wait, then fetch frames and video into this folder
    #[arg(long, value_name = "DIR")]
    pub download: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum JobStateArg {
    AwaitingScene,
    Active,
    Done,
    Failed,
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum JobSortArg {
    Newest,
    Oldest,
    Name,
    State,
    Finished,
}

#[derive(Debug, Clone, Args)]
pub struct JobListArgs {
    /// At most this many jobs
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    /// Only jobs in this state
    #[arg(long, value_name = "STATE")]
    pub state: Option<JobStateArg>,
    /// Only the jobs of this one: me, an e-mail address, a name, a user's id [default: all that one may see]
    #[arg(long, value_name = "WHO")]
    pub owner: Option<String>,
    /// Only jobs with these words in their name or owner
    #[arg(long, value_name = "WORDS")]
    pub search: Option<String>,
    /// In which order
    #[arg(long, value_name = "ORDER")]
    pub sort: Option<JobSortArg>,
}

/// Names one job. Ids are made from the time: jobs of the same minute begin alike, so that the
/// end of an id (which `job list` shows) tells them apart sooner than its beginning.
#[derive(Debug, Clone, Args)]
pub struct JobName {
    /// The job's id, its beginning or its end, or `last` for the newest
    #[arg(value_name = "ID")]
    pub job: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ArchiveArg {
    Zip,
    Tar,
}

#[derive(Debug, Clone, Args)]
pub struct JobDownloadArgs {
    #[command(flatten)]
    pub job: JobName,
    /// The folder to put the files into, or the file with --archive [default: a new one with the job's name]
    #[arg(long, value_name = "PATH")]
    pub out: Option<PathBuf>,
    /// Only the video
    #[arg(long)]
    pub video: bool,
    /// Only the frames
    #[arg(long)]
    pub frames: bool,
    /// All frames in one file
    #[arg(long, value_name = "FORMAT", conflicts_with = "video")]
    pub archive: Option<ArchiveArg>,
}

#[derive(Debug, Clone, Args)]
pub struct JobAttemptsArgs {
    #[command(flatten)]
    pub job: JobName,
    #[command(flatten)]
    pub task: TaskName,
}

/// Names one task of a job.
#[derive(Debug, Clone, Copy, Args)]
pub struct TaskName {
    /// Of this frame
    #[arg(long, value_name = "FRAME", allow_negative_numbers = true)]
    pub frame: Option<i32>,
    /// Of the video
    #[arg(long, conflicts_with = "frame")]
    pub video: bool,
}

#[derive(Debug, Clone, Args)]
pub struct JobLogArgs {
    #[command(flatten)]
    pub job: JobName,
    #[command(flatten)]
    pub task: TaskName,
    /// The attempt's number, as `job attempts` shows it [default: the newest]
    #[arg(long, value_name = "N")]
    pub attempt: Option<u64>,
    /// Only the last so many lines
    #[arg(long, value_name = "LINES", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub tail: Option<u32>,
    /// Go on with what is said until the attempt is over
    #[arg(long)]
    pub follow: bool,
}

#[derive(Debug, Clone, Args)]
pub struct JobShareArgs {
    #[command(flatten)]
    pub job: JobName,
    /// A name where only one has it, a user's id, or for admins an e-mail address
    #[arg(value_name = "USER")]
    pub user: String,
    /// Let them cancel it too, not only look
    #[arg(long)]
    pub manage: bool,
}

#[derive(Debug, Clone, Args)]
pub struct JobUnshareArgs {
    #[command(flatten)]
    pub job: JobName,
    /// With whom it is shared: a name, a user's id, or for admins an e-mail address
    #[arg(value_name = "USER")]
    pub user: String,
}
