//! What can be typed. Help texts are for people who have never seen the program.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand};
use jiggablend_raft::FrameList;

use super::DoorOptions;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "jiggablend",
    version,
    about = "A Blender render farm without a server",
    long_about = "A Blender render farm without a server: every machine runs this one program, and any of them answers.",
    after_help = "Examples:
  jiggablend node start                      start a farm on this machine
  jiggablend node join jigga1…               let this machine join it
  jiggablend job submit cat.blend --wait     render, and wait for the frames
  jiggablend job download last               fetch the newest job's frames",
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start this machine's node, let it join a farm, ask how it is
    #[command(subcommand)]
    Node(NodeCommand),
    /// The farm: its leader, its nodes, tickets for new ones
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Submit jobs, watch them, fetch what they made
    #[command(subcommand)]
    Job(JobCommand),
}

#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// Start this machine's node; the first start makes a farm
    #[command(after_help = "Examples:
  jiggablend node start
  jiggablend node start --name attic --port 9000 --slots 2
  jiggablend node start --no-render --data /srv/jiggablend")]
    Start(NodeStartArgs),
    /// Let this machine join a farm, then run its node
    #[command(after_help = "Examples:
  jiggablend node join                       list the farms on the local network
  jiggablend node join jigga1…               join with a ticket of `jiggablend cluster ticket`
  echo jigga1… | jiggablend node join -      the same, without the ticket in the process list
  jiggablend node join --http https://farm.example:8080 --token jbg_…
                                             render over HTTP alone, without a place in the mesh")]
    Join(NodeJoinArgs),
    /// Show this machine's node: leader or not, Blender, disk
    Status(NodeStatusArgs),
}

/// `node start`.
#[derive(Debug, Clone, Args)]
pub struct NodeStartArgs {
    /// The farm's name, if this start makes one
    #[arg(long, value_name = "NAME", env = "JIGGABLEND_FARM_NAME")]
    pub farm_name: Option<String>,
    #[command(flatten)]
    pub options: NodeOptions,
}

/// `node join`.
#[derive(Debug, Clone, Args)]
pub struct NodeJoinArgs {
    /// The ticket; `-` reads it from stdin. Without one: list the farms on the local network
    #[arg(
        value_name = "TICKET",
        env = "JIGGABLEND_TICKET",
        hide_env_values = true
    )]
    pub ticket: Option<String>,
    /// Render for the farm over HTTP alone, through this node's web address; again or with commas for more
    #[arg(
        long,
        value_name = "URL",
        conflicts_with = "ticket",
        env = "JIGGABLEND_HTTP",
        value_delimiter = ','
    )]
    pub http: Vec<String>,
    /// With --http, the first time: a registration token of an admin; `-` reads it from stdin
    #[arg(
        long,
        value_name = "TOKEN",
        requires = "http",
        env = "JIGGABLEND_REGISTRATION_TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
    #[command(flatten)]
    pub options: NodeOptions,
}

/// How a node runs, whether it starts or joins.
#[derive(Debug, Clone, Args)]
pub struct NodeOptions {
    /// This node's name [default: the machine's name]
    #[arg(long, value_name = "NAME", env = "JIGGABLEND_NAME")]
    pub name: Option<String>,
    /// Port of the web page and the API; 0 takes any free one
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 8080,
        env = "JIGGABLEND_PORT"
    )]
    pub port: u16,
    #[command(flatten)]
    pub doors: DoorOptions,
    /// Port on which nodes reach each other (TCP, and UDP for QUIC); 0 takes any free one
    #[arg(
        long,
        value_name = "PORT",
        default_value_t = 4801,
        env = "JIGGABLEND_MESH_PORT"
    )]
    pub mesh_port: u16,
    #[command(flatten)]
    pub data: DataDir,
    /// The job log's database [default: in the data directory]
    #[arg(long, value_name = "FILE", env = "JIGGABLEND_DB")]
    pub db: Option<PathBuf>,
    /// Where scenes and frames are stored [default: in the data directory]
    #[arg(long, value_name = "DIR", env = "JIGGABLEND_STORAGE")]
    pub storage: Option<PathBuf>,
    /// The address to listen on, for both ports
    #[arg(
        long,
        value_name = "ADDR",
        default_value = "0.0.0.0",
        env = "JIGGABLEND_BIND"
    )]
    pub bind: std::net::IpAddr,
    /// The Blender to render with [default: the one on PATH]
    #[arg(long, value_name = "PATH", env = "JIGGABLEND_BLENDER")]
    pub blender: Option<PathBuf>,
    /// Frames to render at once
    #[arg(long, value_name = "N", default_value_t = 1, env = "JIGGABLEND_SLOTS", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub slots: u32,
    /// A frame that takes longer fails: 30m, 1h, 1d
    #[arg(long, value_name = "TIME", default_value = "1h", env = "JIGGABLEND_FRAME_TIME_LIMIT", value_parser = parse_duration)]
    pub frame_time_limit: Duration,
    /// Serve and store, but render nothing here
    #[arg(long, env = "JIGGABLEND_NO_RENDER", value_parser = FalseyValueParser::new())]
    pub no_render: bool,
    /// Don't look for nodes on the local network, and don't announce this one
    #[arg(long, env = "JIGGABLEND_NO_MDNS", value_parser = FalseyValueParser::new())]
    pub no_mdns: bool,
    /// The host name or address under which others reach this machine [default: found out]
    #[arg(long, value_name = "HOST", env = "JIGGABLEND_ADVERTISE")]
    pub advertise: Option<String>,
    /// On how many nodes every file is kept
    #[arg(long, value_name = "N", default_value_t = 2, env = "JIGGABLEND_COPIES", value_parser = clap::value_parser!(u32).range(1..=16))]
    pub copies: u32,
    /// Longer election times, for nodes that are not on one local network
    #[arg(long, env = "JIGGABLEND_WAN", value_parser = FalseyValueParser::new())]
    pub wan: bool,
    /// Print what was started as JSON
    #[arg(long)]
    pub json: bool,
}

/// `node status`.
#[derive(Debug, Clone, Args)]
pub struct NodeStatusArgs {
    #[command(flatten)]
    pub client: ClientOptions,
}

#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the leader, who votes, and every node
    Status(ClusterStatusArgs),
    /// Make a ticket and print the whole join command for the next machine
    #[command(after_help = "Examples:
  jiggablend cluster ticket
  jiggablend cluster ticket --ttl 2h --reusable --runner-only     for a fleet of runners")]
    Ticket(ClusterTicketArgs),
}

impl ClusterCommand {
    pub fn client_options(&self) -> &ClientOptions {
        match self {
            Self::Status(status) => &status.client,
            Self::Ticket(ticket) => &ticket.client,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct ClusterStatusArgs {
    #[command(flatten)]
    pub client: ClientOptions,
}

#[derive(Debug, Clone, Args)]
pub struct ClusterTicketArgs {
    /// How long the ticket is good: 90s, 15m, 2h, 1d
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = parse_duration)]
    pub ttl: Duration,
    /// Let many nodes join with it, not only one
    #[arg(long)]
    pub reusable: bool,
    /// Nodes that join with it render but never vote
    #[arg(long)]
    pub runner_only: bool,
    #[command(flatten)]
    pub client: ClientOptions,
}

#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Hand a .blend to the farm
    #[command(after_help = "Examples:
  jiggablend job submit cat.blend
  jiggablend job submit cat.blend --frames 1-100x5 --name \"cat, every fifth\"
  jiggablend job submit cat.blend --download frames/     wait, then fetch the frames")]
    Submit(JobSubmitArgs),
    /// List jobs, newest first
    List(JobListArgs),
    /// Show one job, failures first
    Show(JobShowArgs),
    /// Follow a job until it is over; the exit code says how it ended
    Watch(JobWatchArgs),
    /// Cancel a job
    Cancel(JobCancelArgs),
    /// Fetch a job's frames and video; files that are there already are skipped
    #[command(after_help = "Examples:
  jiggablend job download last
  jiggablend job download 4f1e02ab --out frames/ --frames")]
    Download(JobDownloadArgs),
}

impl JobCommand {
    pub fn client_options(&self) -> &ClientOptions {
        match self {
            Self::Submit(submit) => &submit.client,
            Self::List(list) => &list.client,
            Self::Show(show) => &show.client,
            Self::Watch(watch) => &watch.client,
            Self::Cancel(cancel) => &cancel.client,
            Self::Download(download) => &download.client,
        }
    }

    /// What the user calls the job, where the command is about one that exists.
    pub fn job_name(&self) -> Option<&str> {
        match self {
            Self::Submit(_) | Self::List(_) => None,
            Self::Show(show) => Some(&show.job.job),
            Self::Watch(watch) => Some(&watch.job.job),
            Self::Cancel(cancel) => Some(&cancel.job.job),
            Self::Download(download) => Some(&download.job.job),
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
    #[command(flatten)]
    pub client: ClientOptions,
}

#[derive(Debug, Clone, Args)]
pub struct JobListArgs {
    /// At most this many jobs
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub limit: u32,
    #[command(flatten)]
    pub client: ClientOptions,
}

/// Names one job. Ids are made from the time: jobs of the same minute begin alike, so that the
/// end of an id (which `job list` shows) tells them apart sooner than its beginning.
#[derive(Debug, Clone, Args)]
pub struct JobName {
    /// The job's id, its beginning or its end, or `last` for the newest
    #[arg(value_name = "ID")]
    pub job: String,
}

#[derive(Debug, Clone, Args)]
pub struct JobShowArgs {
    #[command(flatten)]
    pub job: JobName,
    #[command(flatten)]
    pub client: ClientOptions,
}

#[derive(Debug, Clone, Args)]
pub struct JobWatchArgs {
    #[command(flatten)]
    pub job: JobName,
    #[command(flatten)]
    pub client: ClientOptions,
}

#[derive(Debug, Clone, Args)]
pub struct JobCancelArgs {
    #[command(flatten)]
    pub job: JobName,
    #[command(flatten)]
    pub client: ClientOptions,
}

#[derive(Debug, Clone, Args)]
pub struct JobDownloadArgs {
    #[command(flatten)]
    pub job: JobName,
    /// The folder to put the files into [default: a new one with the job's name]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Only the video
    #[arg(long)]
    pub video: bool,
    /// Only the frames
    #[arg(long)]
    pub frames: bool,
    #[command(flatten)]
    pub client: ClientOptions,
}

/// Where a node keeps everything.
#[derive(Debug, Clone, Args)]
pub struct DataDir {
    /// The node's data directory [default: ~/.local/share/jiggablend]
    #[arg(long = "data", value_name = "DIR", env = "JIGGABLEND_DATA")]
    pub given: Option<PathBuf>,
}

impl DataDir {
    /// The directory that was named, or [`super::default_data_dir`].
    pub fn path(&self) -> PathBuf {
        self.given.clone().unwrap_or_else(super::default_data_dir)
    }
}

/// How a command finds the farm.
#[derive(Debug, Clone, Args)]
pub struct ClientOptions {
    /// A node's web address, again or with commas for more [default: this machine's node]
    #[arg(
        long = "url",
        value_name = "URL",
        env = "JIGGABLEND_URL",
        value_delimiter = ','
    )]
    pub urls: Vec<String>,
    /// The token to use with --url
    #[arg(
        long,
        value_name = "TOKEN",
        env = "JIGGABLEND_TOKEN",
        hide_env_values = true
    )]
    pub token: Option<String>,
    #[command(flatten)]
    pub data: DataDir,
    /// Print results as JSON on stdout and errors as JSON on stderr; no progress
    #[arg(long)]
    pub json: bool,
}

/// Reads `90s`, `15m`, `2h`, `1d`.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let hint = "write for example 90s, 15m, 2h or 1d";
    let unit_seconds = match text.chars().last() {
        Some('s') => 1,
        Some('m') => 60,
        Some('h') => 3_600,
        Some('d') => 86_400,
        _ => return Err(format!("the time has no unit; {hint}")),
    };
    let number: u64 = text[..text.len() - 1]
        .parse()
        .map_err(|_| format!("not a whole number before the unit; {hint}"))?;
    match number.checked_mul(unit_seconds) {
        Some(0) => Err(format!("the time must be more than nothing; {hint}")),
        Some(seconds) => Ok(Duration::from_secs(seconds)),
        None => Err(format!("too long; {hint}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_holds_together() {
        use clap::CommandFactory;
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_reversed_or_empty_frame_range_is_wrong_usage_and_says_what_to_write() {
        let error = parse("jiggablend job submit cat.blend --frames 10-1").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("write 1-10"), "{error}");
        assert!(parse("jiggablend job submit cat.blend --frames=").is_err());
    }

    #[test]
    fn negative_frames_are_no_options() {
        let parsed = parse("jiggablend job submit cat.blend --frames -5-10").unwrap();
        let Command::Job(JobCommand::Submit(submit)) = parsed.command else {
            panic!("not a submit");
        };
        assert_eq!(submit.frames.unwrap().frames().len(), 16);
    }

    #[test]
    fn several_urls_come_repeated_or_with_commas() {
        let parsed = parse("jiggablend job list --url http://a:1,http://b:2 --url http://c:3");
        let Command::Job(job) = parsed.unwrap().command else {
            panic!("not a job command");
        };
        assert_eq!(
            job.client_options().urls,
            ["http://a:1", "http://b:2", "http://c:3"]
        );
    }

    #[test]
    fn a_time_to_live_needs_its_unit() {
        assert_eq!(parse_duration("15m"), Ok(Duration::from_secs(900)));
        assert_eq!(parse_duration("2h"), Ok(Duration::from_secs(7_200)));
        for wrong in [
            "15",
            "",
            "m",
            "-1m",
            "0s",
            "1.5h",
            "99999999999999999999d",
            "5é",
        ] {
            assert!(parse_duration(wrong).is_err(), "{wrong} was taken");
        }
    }
}
