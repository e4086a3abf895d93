//! `audit`.

use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::api_types::AuditEntry;
use crate::cli::args::AuditArgs;
use crate::cli::client::Client;
use crate::cli::names::{self, query_value};
use crate::cli::output::{self, Output, Width, cell, utc_time};

/// The most entries that the API lists in one answer.
const PAGE: usize = 1_000;

pub async fn audit(args: &AuditArgs, output: &Output) -> Result<(), CliError> {
    let client = Client::connect(&args.client, output)?;
    let filter = filter(args, &client).await?;
    let entries = newest(args, &filter, &client).await?;
    if output.is_json() {
        output.json(&json!({ "entries": entries }));
        return Ok(());
    }
    let mut table = output::table(&[
        ("number", Width::Fixed),
        ("at", Width::Fixed),
        ("who", Width::Flexible),
        ("from", Width::Fixed),
        ("did", Width::Fixed),
        ("to", Width::Flexible),
        ("detail", Width::Flexible),
    ]);
    for entry in entries {
        let entry: AuditEntry = serde_json::from_value(entry)
            .map_err(|error| CliError::Refused(format!("cannot understand an entry: {error}")))?;
        table.add_row(vec![
            cell(entry.number.to_string()),
            cell(utc_time(entry.at_ms)),
            cell(entry.actor.name.as_deref().unwrap_or(&entry.actor.id)),
            cell(entry.from.as_deref().unwrap_or("-")),
            cell(&entry.action),
            cell(&entry.subject),
            cell(&entry.detail),
        ]);
    }
    output.table(&table);
    Ok(())
}

async fn filter(args: &AuditArgs, client: &Client) -> Result<String, CliError> {
    let actor = match &args.actor {
        None => None,
        Some(actor) => Some(actor_id(actor, client).await?),
    };
    let pairs = [
        ("actor", actor.as_ref()),
        ("action", args.action.as_ref()),
        ("subject", args.subject.as_ref()),
    ];
    let pairs = pairs
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    Ok(pairs
        .map(|(name, value)| format!("&{name}={}", query_value(value)))
        .collect())
}

/// An actor's id as the audit log has it.
async fn actor_id(text: &str, client: &Client) -> Result<String, CliError> {
    let is_id = text == "farm" || text.starts_with("node-") || text.parse::<uuid::Uuid>().is_ok();
    match is_id {
        true => Ok(text.to_owned()),
        false => Ok(names::account(client, text).await?.id.to_string()),
    }
}

async fn newest(args: &AuditArgs, filter: &str, client: &Client) -> Result<Vec<Value>, CliError> {
    let limit = args.limit as usize;
    let mut entries: Vec<Value> = Vec::new();
    let mut before = args.before;
    while entries.len() < limit {
        let page_limit = (limit - entries.len()).min(PAGE);
        let from = before.map(|number| format!("&before={number}"));
        let from = from.unwrap_or_default();
        let path = format!("/api/audit?limit={page_limit}{from}{filter}");
        let mut page: Value = client.get(&path).await?;
        if let Some(page_entries) = page["entries"].as_array_mut() {
            entries.append(page_entries);
        }
        before = page["next_before"].as_u64();
        if before.is_none() {
            break;
        }
    }
    entries.truncate(limit);
    Ok(entries)
}
