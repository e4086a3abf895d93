//! `webhook …`.

use clap::{Args, Subcommand, ValueEnum};

/// What a call's body looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShapeArg {
    Json,
    Discord,
    Slack,
}

/// What a webhook is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum WebhookEventArg {
    JobStarted,
    JobDone,
    JobFailed,
    JobCancelled,
    NodeJoined,
    NodeRemoved,
}

#[derive(Debug, Subcommand)]
pub enum WebhookCommand {
    /// List one's own webhooks
    List,
    /// Make a webhook; its secret is shown once
    #[command(after_help = "Examples:
  jiggablend webhook create https://example.org/hook --event job_done,job_failed
  jiggablend webhook create https://discord.com/api/webhooks/… --shape discord --all-jobs")]
    Create(WebhookCreateArgs),
    /// Change a webhook; what is not named stays as it is
    #[command(after_help = "Examples:
  jiggablend webhook update nightly --enabled false
  jiggablend webhook update nightly --to https://example.org/other")]
    Update(WebhookUpdateArgs),
    /// Make a call as a test; `webhook deliveries` shows how it went
    Test(WebhookName),
    /// Show the newest calls and how they went
    Deliveries(WebhookName),
    /// Delete a webhook
    Delete(WebhookName),
}

/// Names a webhook.
#[derive(Debug, Clone, Args)]
pub struct WebhookName {
    /// The webhook's id, a part of it, or its name
    #[arg(value_name = "WEBHOOK")]
    pub webhook: String,
}

#[derive(Debug, Clone, Args)]
pub struct WebhookCreateArgs {
    /// The address to call
    #[arg(value_name = "ADDRESS")]
    pub to: String,
    /// Its name [default: the address's host]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What a call's body looks like
    #[arg(long, value_name = "SHAPE", default_value = "json")]
    pub shape: ShapeArg,
    /// What it is called for, again or with commas for more
    #[arg(
        long = "event",
        value_name = "EVENT",
        value_delimiter = ',',
        default_value = "job_done,job_failed"
    )]
    pub events: Vec<WebhookEventArg>,
    /// For everybody's jobs and the farm's nodes, not only for one's own jobs; for admins
    #[arg(long)]
    pub all_jobs: bool,
}

#[derive(Debug, Clone, Args)]
pub struct WebhookUpdateArgs {
    #[command(flatten)]
    pub webhook: WebhookName,
    /// The address to call
    #[arg(long, value_name = "ADDRESS")]
    pub to: Option<String>,
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// What a call's body looks like
    #[arg(long, value_name = "SHAPE")]
    pub shape: Option<ShapeArg>,
    /// What it is called for, again or with commas for more
    #[arg(long = "event", value_name = "EVENT", value_delimiter = ',')]
    pub events: Vec<WebhookEventArg>,
    /// Whether it is for everybody's jobs and the farm's nodes; for admins
    #[arg(long, value_name = "true|false")]
    pub all_jobs: Option<bool>,
    /// Whether it is called at all
    #[arg(long, value_name = "true|false")]
    pub enabled: Option<bool>,
}
