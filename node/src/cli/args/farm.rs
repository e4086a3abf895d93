//! `cluster …`, `runner …` and `ticket …`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::values::parse_duration;

#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Show the leader, who votes, and every node
    Status,
    /// Make a ticket and print the whole join command for the next machine
    #[command(after_help = "Examples:
  jiggablend cluster ticket
  jiggablend cluster ticket --ttl 2h --reusable --runner-only     for a fleet of runners")]
    Ticket(NewTicketArgs),
}

#[derive(Debug, Clone, Args)]
pub struct NewTicketArgs {
    /// How long the ticket is good: 90s, 15m, 2h, 1d
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = parse_duration)]
    pub ttl: Duration,
    /// Let many nodes join with it, not only one
    #[arg(long)]
    pub reusable: bool,
    /// Nodes that join with it render but never vote
    #[arg(long)]
    pub runner_only: bool,
}

#[derive(Debug, Subcommand)]
pub enum TicketCommand {
    /// List the tickets that are still good
    List,
    /// Make a ticket and print the whole join command for the next machine
    #[command(after_help = "Examples:
  jiggablend ticket create
  jiggablend ticket create --ttl 2h --reusable --runner-only     for a fleet of runners")]
    Create(NewTicketArgs),
    /// Let nobody join with a ticket any more; nodes that joined stay
    Revoke(RevokeTicketArgs),
}

#[derive(Debug, Clone, Args)]
pub struct RevokeTicketArgs {
    /// The ticket's id, as `jiggablend ticket list` shows it
    #[arg(value_name = "ID")]
    pub ticket: String,
}

#[derive(Debug, Subcommand)]
pub enum RunnerCommand {
    /// List the machines that render, of the mesh and over HTTP, and what they are at
    List,
    /// Registration tokens: with one, a runner comes in over HTTP alone
    #[command(subcommand)]
    Token(RunnerTokenCommand),
}

#[derive(Debug, Subcommand)]
pub enum RunnerTokenCommand {
    /// Make a registration token; it is shown once
    #[command(after_help = "Examples:
  jiggablend runner token create \"cloud fleet\" --reusable --ttl 30d
  jiggablend runner token create attic --json")]
    Create(RunnerTokenCreateArgs),
    /// List the registration tokens
    List,
    /// Let no runner register with a token any more; runners that registered stay
    Revoke(RunnerTokenRevokeArgs),
}

#[derive(Debug, Clone, Args)]
pub struct RunnerTokenCreateArgs {
    /// What it is for
    #[arg(value_name = "NAME")]
    pub name: String,
    /// How long runners may register with it: 15m, 2h, 30d
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = parse_duration)]
    pub ttl: Duration,
    /// Let many runners register with it, not only one
    #[arg(long)]
    pub reusable: bool,
}

#[derive(Debug, Clone, Args)]
pub struct RunnerTokenRevokeArgs {
    /// The token's id, a part of it, or its name
    #[arg(value_name = "TOKEN-ID")]
    pub registration_token: String,
}
