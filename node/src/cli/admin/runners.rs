//! `runner …`: the machines that render, and the tokens with which those register that speak only
//! HTTP.

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::api_types::{RegistrationToken, RegistrationTokenList, Runner, RunnerList};
use crate::cli::args::{Group, RunnerCommand, RunnerTokenCommand, RunnerTokenCreateArgs};
use crate::cli::client::Client;
use crate::cli::cluster::works_on;
use crate::cli::names::{Names, pick};
use crate::cli::output::{self, Output, Tone, Width, cell, toned};

const TOKENS: &str = "/api/admin/registration-tokens";

/// Does one `runner` command.
pub async fn runners(group: &Group<RunnerCommand>, output: &Output) -> Result<(), CliError> {
    let client = Client::connect(&group.client, output)?;
    match &group.command {
        RunnerCommand::List => list(&client, output).await,
        RunnerCommand::Token(RunnerTokenCommand::Create(args)) => {
            create_token(args, &client, output).await
        }
        RunnerCommand::Token(RunnerTokenCommand::List) => list_tokens(&client, output).await,
        RunnerCommand::Token(RunnerTokenCommand::Revoke(args)) => {
            revoke_token(&args.registration_token, &client, output).await
        }
    }
}

async fn list(client: &Client, output: &Output) -> Result<(), CliError> {
    let raw: Value = client.get("/api/admin/runners").await?;
    let Some(list): Option<RunnerList> = output.shown(raw)? else {
        return Ok(());
    };
    let mut table = output::table(&[
        ("id", Width::Fixed),
        ("name", Width::Flexible),
        ("by", Width::Fixed),
        ("state", Width::Fixed),
        ("blender", Width::Fixed),
        ("slots", Width::Fixed),
        ("heard", Width::Fixed),
        ("works on", Width::Flexible),
    ]);
    for runner in &list.runners {
        let node = &runner.node;
        table.add_row(vec![
            cell(node.id.to_string()),
            cell(&node.name),
            cell(&runner.reach),
            toned(&runner.state, tone(runner)),
            cell(node.runner.blender_version.as_deref().unwrap_or("-")),
            cell(node.runner.slots.to_string()),
            cell(runner.last_heard_at_ms.map_or("-".to_owned(), output::age)),
            cell(works_on(node)),
        ]);
    }
    output.table(&table);
    Ok(())
}

fn tone(runner: &Runner) -> Tone {
    match runner.state.as_str() {
        "working" => Tone::Busy,
        "idle" => Tone::Good,
        "away" | "unable" => Tone::Bad,
        _ => Tone::Plain,
    }
}

#[derive(Deserialize)]
struct NewRegistrationToken {
    token: String,
    #[serde(flatten)]
    view: RegistrationToken,
}

async fn create_token(
    args: &RunnerTokenCreateArgs,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let body = json!({
        "name": args.name, "ttl_seconds": args.ttl.as_secs(), "reusable": args.reusable,
    });
    let answer: Value = client.create(TOKENS, &body).await?;
    let Some(new): Option<NewRegistrationToken> = output.shown(answer)? else {
        return Ok(());
    };
    let who = match new.view.reusable {
        true => "any number of runners register",
        false => "one runner registers",
    };
    let good_for = output::good_until(new.view.expires_at_ms);
    output.note(&format!(
        "with it {who} within {good_for}, for example by `jiggablend node join --http {} --token -`; it is shown only once:",
        client.current_url()
    ));
    output.line(&new.token);
    Ok(())
}

async fn list_tokens(client: &Client, output: &Output) -> Result<(), CliError> {
    let raw: Value = client.get(TOKENS).await?;
    let Some(list): Option<RegistrationTokenList> = output.shown(raw)? else {
        return Ok(());
    };
    let mut table = output::table(&[
        ("id", Width::Fixed),
        ("name", Width::Flexible),
        ("for", Width::Flexible),
        ("used", Width::Fixed),
        ("made", Width::Fixed),
        ("good for", Width::Fixed),
    ]);
    for token in &list.registration_tokens {
        table.add_row(vec![
            cell(token.id.to_string()),
            cell(&token.name),
            cell(if token.reusable {
                "any number"
            } else {
                "one runner"
            }),
            cell(token.used.to_string()),
            cell(output::age(token.created_at_ms)),
            cell(output::good_until(token.expires_at_ms)),
        ]);
    }
    output.table(&table);
    Ok(())
}

async fn revoke_token(text: &str, client: &Client, output: &Output) -> Result<(), CliError> {
    let list: RegistrationTokenList = client.get(TOKENS).await?;
    let names = |token: &RegistrationToken| Names {
        id: token.id.to_string(),
        others: vec![token.name.clone()],
    };
    let command = "jiggablend runner token list";
    let token = pick(
        &list.registration_tokens,
        text,
        names,
        "registration token",
        command,
    )?;
    client.remove(&format!("{TOKENS}/{}", token.id)).await?;
    output.done(
        &json!({ "revoked": token.id }),
        &format!(
            "no runner registers with {} ({}) any more",
            token.name, token.id
        ),
    );
    Ok(())
}
