//! `token …`: one's own API tokens.

use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::api_types::{ApiToken, ApiTokenList, NewToken, scope_word};
use crate::cli::args::{Group, ScopeArg, TokenCommand, TokenCreateArgs};
use crate::cli::client::Client;
use crate::cli::names::{Names, pick};
use crate::cli::output::{self, Output, Width, cell, utc_time};

/// Does one `token` command.
pub async fn tokens(group: &Group<TokenCommand>, output: &Output) -> Result<(), CliError> {
    let client = Client::connect_to_account(&group.client, output)?;
    match &group.command {
        TokenCommand::List => list(&client, output).await,
        TokenCommand::Create(args) => create(args, &client, output).await,
        TokenCommand::Revoke(args) => revoke(&args.api_token, &client, output).await,
    }
}

async fn list(client: &Client, output: &Output) -> Result<(), CliError> {
    let Some(list): Option<ApiTokenList> = output.shown(client.get("/api/tokens").await?)? else {
        return Ok(());
    };
    let mut table = output::table(&[
        ("id", Width::Fixed),
        ("name", Width::Flexible),
        ("scopes", Width::Flexible),
        ("made", Width::Fixed),
        ("good until", Width::Flexible),
    ]);
    for token in &list.tokens {
        let scopes: Vec<&str> = token
            .scopes
            .iter()
            .map(|scope| scope_word(*scope))
            .collect();
        table.add_row(vec![
            cell(token.id.to_string()),
            cell(&token.name),
            cell(scopes.join(", ")),
            cell(output::age(token.created_at_ms)),
            cell(output::good_until(token.expires_at_ms)),
        ]);
    }
    output.table(&table);
    Ok(())
}

fn scope_name(scope: ScopeArg) -> &'static str {
    match scope {
        ScopeArg::Read => "read",
        ScopeArg::Jobs => "jobs",
        ScopeArg::Admin => "admin",
        ScopeArg::Metrics => "metrics",
    }
}

async fn create(args: &TokenCreateArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let scopes: std::collections::BTreeSet<&str> =
        args.scopes.iter().map(|scope| scope_name(*scope)).collect();
    let mut body = json!({ "name": args.name, "scopes": scopes });
    if !args.no_expiry {
        body["ttl_seconds"] = json!(args.ttl.as_secs());
    }
    let answer: Value = client.create("/api/tokens", &body).await?;
    let Some(token): Option<NewToken> = output.shown(answer)? else {
        return Ok(());
    };
    let until = match token.expires_at_ms {
        Some(at) => format!("good until {}", utc_time(at)),
        None => "good until it is revoked".to_owned(),
    };
    output.note(&format!("{until}; it is shown only once:"));
    output.line(&token.token);
    Ok(())
}

async fn revoke(text: &str, client: &Client, output: &Output) -> Result<(), CliError> {
    let list: ApiTokenList = client.get("/api/tokens").await?;
    let names = |token: &ApiToken| Names {
        id: token.id.to_string(),
        others: vec![token.name.clone()],
    };
    let token = pick(&list.tokens, text, names, "token", "jiggablend token list")?;
    client.remove(&format!("/api/tokens/{}", token.id)).await?;
    output.done(
        &json!({ "revoked": token.id }),
        &format!("the token {} ({}) is revoked", token.name, token.id),
    );
    Ok(())
}
