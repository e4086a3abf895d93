//! `token …`: one's own API tokens.

use std::time::Duration;

use jiggablend_raft::TimestampMs;
use serde_json::{Value, json};

use crate::cli::CliError;
use crate::cli::api_types::{ApiToken, ApiTokenList, NewToken, scope_word};
use crate::cli::args::{Group, ScopeArg, TokenCommand, TokenCreateArgs};
use crate::cli::client::Client;
use crate::cli::names::{Names, pick};
use crate::cli::output::{self, Output, Width, cell, utc_time};

/// Clocks differ by less.
const SAME_END_WITHIN: Duration = Duration::from_secs(10 * 60);

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
    if let Some(warning) = ends_earlier(args, token.expires_at_ms) {
        output.note(&format!("warning: {warning}"));
    }
    output.note(&format!("{until}; it is shown only once:"));
    output.line(&token.token);
    Ok(())
}

/// A token makes none that is good for longer than itself.
fn ends_earlier(args: &TokenCreateArgs, ends_at: Option<TimestampMs>) -> Option<String> {
    let asked = match args.no_expiry {
        true => None,
        false => Some(TimestampMs::now().plus(args.ttl)),
    };
    let is_shorter = match (ends_at, asked) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(ends_at), Some(asked)) => ends_at.plus(SAME_END_WITHIN) < asked,
    };
    let why = "the new token ends when the one does with which you are signed in, since a token makes none that is good for longer; for another one, sign in on the farm's page and make it there";
    is_shorter.then(|| why.to_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_ends_before_it_should_is_warned_of() {
        let args = |no_expiry| TokenCreateArgs {
            name: "ci".to_owned(),
            scopes: Vec::new(),
            ttl: Duration::from_secs(90 * 24 * 3600),
            no_expiry,
        };
        let soon = Some(TimestampMs::now().plus(Duration::from_secs(3600)));
        let as_asked = Some(TimestampMs::now().plus(args(false).ttl));
        assert!(ends_earlier(&args(true), soon).is_some());
        assert!(ends_earlier(&args(false), soon).is_some());
        assert!(ends_earlier(&args(false), as_asked).is_none());
        assert!(ends_earlier(&args(true), None).is_none());
    }
}
