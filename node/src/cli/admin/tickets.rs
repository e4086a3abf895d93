//! `ticket …` and `cluster ticket`: with a ticket a machine joins the farm.

use jiggablend_raft::TimestampMs;
use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::api_types::{NewTicket, Ticket, TicketList};
use crate::cli::args::{Group, NewTicketArgs, TicketCommand};
use crate::cli::client::Client;
use crate::cli::names::{Names, pick};
use crate::cli::output::{self, Output, Width, cell, duration, since, utc_time};

/// Does one `ticket` command.
pub async fn tickets(group: &Group<TicketCommand>, output: &Output) -> Result<(), CliError> {
    let client = Client::connect(&group.client, output)?;
    match &group.command {
        TicketCommand::List => list(&client, output).await,
        TicketCommand::Create(args) => new_ticket(args, &client, output).await,
        TicketCommand::Revoke(args) => revoke(&args.ticket, &client, output).await,
    }
}

/// Makes a ticket and prints the join command of the next machine.
pub async fn new_ticket(
    args: &NewTicketArgs,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let body = json!({
        "ttl_seconds": args.ttl.as_secs(),
        "reusable": args.reusable,
        "voter": !args.runner_only,
        "runner": true,
    });
    let mut answer: Value = client.create("/api/tickets", &body).await?;
    let ticket = answer["ticket"].as_str().unwrap_or_default();
    let command = format!("jiggablend node join {ticket}");
    answer["command"] = json!(command);
    let Some(ticket): Option<NewTicket> = output.shown(answer)? else {
        return Ok(());
    };
    output.note(&explanation(&ticket, args.reusable));
    output.line(&command);
    Ok(())
}

fn explanation(ticket: &NewTicket, reusable: bool) -> String {
    let who = match reusable {
        true => "any number of machines",
        false => "one machine",
    };
    let good_for = duration(since(TimestampMs::now(), ticket.expires_at_ms));
    let until = utc_time(ticket.expires_at_ms);
    format!("lets {who} into the farm for {good_for} (until {until}); it is shown only once:")
}

async fn list(client: &Client, output: &Output) -> Result<(), CliError> {
    let Some(list): Option<TicketList> = output.shown(client.get("/api/tickets").await?)? else {
        return Ok(());
    };
    let mut table = output::table(&[
        ("id", Width::Fixed),
        ("for", Width::Flexible),
        ("made", Width::Fixed),
        ("by", Width::Flexible),
        ("good for", Width::Fixed),
    ]);
    for ticket in &list.tickets {
        table.add_row(vec![
            cell(&ticket.id),
            cell(lets_in(ticket)),
            cell(output::age(ticket.created_at_ms)),
            cell(maker(&ticket.created_by)),
            cell(output::good_until(Some(ticket.expires_at_ms))),
        ]);
    }
    output.table(&table);
    Ok(())
}

fn lets_in(ticket: &Ticket) -> &'static str {
    match (ticket.reusable, ticket.voter) {
        (false, true) => "one node",
        (true, true) => "any number of nodes",
        (false, false) => "one runner",
        (true, false) => "any number of runners",
    }
}

/// A name, or what else there is.
fn maker(by: &Value) -> String {
    let words = by["name"].as_str().or(by["id"].as_str()).or(by.as_str());
    words.unwrap_or("-").to_owned()
}

async fn revoke(text: &str, client: &Client, output: &Output) -> Result<(), CliError> {
    let list: TicketList = client.get("/api/tickets").await?;
    let names = |ticket: &Ticket| Names {
        id: ticket.id.clone(),
        others: Vec::new(),
    };
    let ticket = pick(
        &list.tickets,
        text,
        names,
        "ticket",
        "jiggablend ticket list",
    )?;
    client
        .remove(&format!("/api/tickets/{}", ticket.id))
        .await?;
    output.done(
        &json!({ "revoked": ticket.id }),
        &format!("nobody joins with the ticket {} any more", ticket.id),
    );
    Ok(())
}
