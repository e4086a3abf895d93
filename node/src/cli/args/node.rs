//! `node …`: what runs here, and which nodes the farm has.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand};

use super::values::parse_duration;
use super::{ClientOptions, DataDir};
use crate::cli::DoorOptions;

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
    /// Take a node out of the farm for good, or a runner over HTTP
    #[command(after_help = "Examples:
  jiggablend node remove attic
  jiggablend node remove 4")]
    Remove(NodeRemoveArgs),
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
    /// With --http: believe the certificates of this CA too, or this self-signed one: a PEM file
    #[arg(long, value_name = "FILE", env = "JIGGABLEND_CA")]
    pub ca: Option<PathBuf>,
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

/// `node remove`.
#[derive(Debug, Clone, Args)]
pub struct NodeRemoveArgs {
    /// The node's number, or its name where only one has it
    #[arg(value_name = "NODE")]
    pub node: String,
    #[command(flatten)]
    pub client: ClientOptions,
}
