//! `session …`: one's own sessions in browsers.

use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::api_types::{Session, SessionList};
use crate::cli::args::{Group, SessionCommand};
use crate::cli::client::Client;
use crate::cli::names::{Names, pick};
use crate::cli::output::{self, Output, Width, cell};

/// Does one `session` command.
pub async fn sessions(group: &Group<SessionCommand>, output: &Output) -> Result<(), CliError> {
    let client = Client::connect_to_account(&group.client, output)?;
    match &group.command {
        SessionCommand::List => list(&client, output).await,
        SessionCommand::End(args) => match &args.session {
            Some(session) => end(session, &client, output).await,
            None => end_all(&client, output).await,
        },
    }
}

async fn list(client: &Client, output: &Output) -> Result<(), CliError> {
    let raw: Value = client.get("/api/auth/sessions").await?;
    let Some(list): Option<SessionList> = output.shown(raw)? else {
        return Ok(());
    };
    let mut table = output::table(&[
        ("id", Width::Fixed),
        ("began", Width::Fixed),
        ("good until", Width::Flexible),
        ("from", Width::Fixed),
        ("browser", Width::Flexible),
    ]);
    for session in &list.sessions {
        table.add_row(vec![
            cell(&session.id),
            cell(output::age(session.created_at_ms)),
            cell(output::good_until(Some(session.expires_at_ms))),
            cell(session.from.as_deref().unwrap_or("-")),
            cell(&session.agent),
        ]);
    }
    output.table(&table);
    Ok(())
}

async fn end(text: &str, client: &Client, output: &Output) -> Result<(), CliError> {
    let list: SessionList = client.get("/api/auth/sessions").await?;
    let names = |session: &Session| Names {
        id: session.id.clone(),
        others: Vec::new(),
    };
    let command = "jiggablend session list";
    let session = pick(&list.sessions, text, names, "session", command)?;
    client
        .remove(&format!("/api/auth/sessions/{}", session.id))
        .await?;
    output.done(
        &json!({ "ended": [session.id] }),
        &format!("the session {} is over", session.id),
    );
    Ok(())
}

async fn end_all(client: &Client, output: &Output) -> Result<(), CliError> {
    let list: SessionList = client.get("/api/auth/sessions").await?;
    let ids: Vec<&str> = list
        .sessions
        .iter()
        .filter(|session| !session.is_this_one)
        .map(|session| session.id.as_str())
        .collect();
    client.remove("/api/auth/sessions").await?;
    let words = match ids.len() {
        0 => "there was no session to end".to_owned(),
        1 => "one session is over".to_owned(),
        more => format!("{more} sessions are over"),
    };
    output.done(&json!({ "ended": ids }), &words);
    Ok(())
}
