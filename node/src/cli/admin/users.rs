//! `user …`: accounts.

use serde_json::{Value, json};

use super::{invitations, quota};
use crate::cli::CliError;
use crate::cli::account::{new_password, quota_words};
use crate::cli::api_types::{Account, Settings, role_word};
use crate::cli::args::{
    Group, PasswordOptions, RoleArg, UserCommand, UserCreateArgs, UserQuotaArgs,
};
use crate::cli::client::Client;
use crate::cli::names;
use crate::cli::output::{self, Output, Tone, Width, age, cell, toned, utc_time};

/// Does one `user` command.
pub async fn users(group: &Group<UserCommand>, output: &Output) -> Result<(), CliError> {
    let client = &Client::connect(&group.client, output)?;
    match &group.command {
        UserCommand::List => list(client, output).await,
        UserCommand::Create(args) => create(args, client, output).await,
        UserCommand::Show(name) => {
            let account = names::account(client, &name.user).await?;
            let answer: Value = client.get(&path_of(&account)).await?;
            show(answer, client, output).await
        }
        UserCommand::Role(args) => {
            let change = json!({ "role": role_name(args.role) });
            let said = format!("is {} now", role_name(args.role));
            change_account(&args.user.user, &change, &said, client, output).await
        }
        UserCommand::Disable(name) => {
            let said = "cannot sign in any more";
            change_account(&name.user, &json!({"disabled": true}), said, client, output).await
        }
        UserCommand::Enable(name) => {
            let said = "can sign in again";
            change_account(
                &name.user,
                &json!({"disabled": false}),
                said,
                client,
                output,
            )
            .await
        }
        UserCommand::Password(args) => {
            set_password(&args.user.user, args.password, client, output).await
        }
        UserCommand::Quota(args) => change_quota(args, client, output).await,
        UserCommand::Delete(name) => delete(&name.user, client, output).await,
        UserCommand::Invite(args) => invitations::invite(args, client, output).await,
        UserCommand::Invitations(args) => match &args.revoke {
            None => invitations::list(client, output).await,
            Some(invitation) => invitations::revoke(invitation, client, output).await,
        },
    }
}

fn path_of(account: &Account) -> String {
    format!("/api/users/{}", account.id)
}

/// As the API takes it.
pub fn role_name(role: RoleArg) -> &'static str {
    match role {
        RoleArg::Admin => "admin",
        RoleArg::Member => "member",
        RoleArg::Viewer => "viewer",
    }
}

fn words(account: &Account) -> &str {
    account.email.as_deref().unwrap_or(&account.name)
}

async fn list(client: &Client, output: &Output) -> Result<(), CliError> {
    if output.is_json() {
        output.json(&json!({ "users": names::all_account_values(client).await? }));
        return Ok(());
    }
    let mut table = output::table(&[
        ("id", Width::Fixed),
        ("name", Width::Flexible),
        ("e-mail", Width::Flexible),
        ("role", Width::Fixed),
        ("signs in", Width::Flexible),
        ("jobs", Width::Fixed),
        ("stores", Width::Fixed),
        ("made", Width::Fixed),
    ]);
    for account in names::all_accounts(client).await? {
        let tone = match account.disabled {
            true => Tone::Bad,
            false => Tone::Plain,
        };
        table.add_row(vec![
            cell(account.id.to_string()),
            cell(&account.name),
            cell(account.email.as_deref().unwrap_or("-")),
            cell(role_word(account.role)),
            toned(signs_in(&account), tone),
            cell(account.usage.jobs.to_string()),
            cell(output::bytes(account.usage.bytes)),
            cell(age(account.created_at_ms)),
        ]);
    }
    output.table(&table);
    Ok(())
}

/// With what the account signs in, if it may.
fn signs_in(account: &Account) -> String {
    if account.disabled {
        return "disabled".to_owned();
    }
    let providers = account
        .identities
        .iter()
        .map(|identity| identity.name.as_str());
    let ways: Vec<&str> = account
        .has_password
        .then_some("password")
        .into_iter()
        .chain(providers)
        .collect();
    match ways.is_empty() {
        true => "-".to_owned(),
        false => ways.join(", "),
    }
}

async fn create(args: &UserCreateArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let role = match args.admin {
        true => RoleArg::Admin,
        false => args.role,
    };
    let password = new_password(args.password, &args.email).await?;
    let mut body = json!({
        "email": args.email, "password": password, "role": role_name(role),
    });
    if let Some(name) = &args.name {
        body["name"] = json!(name);
    }
    let answer: Value = client.create("/api/users", &body).await?;
    if let Some(account) = output.shown::<Account>(answer)? {
        let role = role_word(account.role);
        output.line(&format!("made the account {} ({role})", words(&account)));
    }
    Ok(())
}

async fn show(answer: Value, client: &Client, output: &Output) -> Result<(), CliError> {
    let Some(account): Option<Account> = output.shown(answer)? else {
        return Ok(());
    };
    output.line(&format!("id        {}", account.id));
    output.line(&format!("name      {}", account.name));
    let email = account.email.as_deref().unwrap_or("-");
    output.line(&format!("e-mail    {email}"));
    output.line(&format!("role      {}", role_word(account.role)));
    output.line(&format!("signs in  {}", signs_in(&account)));
    let made = utc_time(account.created_at_ms);
    output.line(&format!(
        "made      {made} ({} ago)",
        age(account.created_at_ms)
    ));
    let quota = match account.quota {
        Some(quota) => quota,
        None => client.get::<Settings>("/api/settings").await?.default_quota,
    };
    for line in quota_words(&quota, &account.usage) {
        output.line(&line);
    }
    output.line(match account.quota {
        Some(_) => "quota     the account's own",
        None => "quota     the farm's default",
    });
    Ok(())
}

/// `said` goes on after the account's name.
async fn change_account(
    text: &str,
    change: &Value,
    said: &str,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let account = names::account(client, text).await?;
    let answer: Value = client.patch(&path_of(&account), change).await?;
    if let Some(account) = output.shown::<Account>(answer)? {
        output.line(&format!("{} {said}", words(&account)));
    }
    Ok(())
}

async fn set_password(
    text: &str,
    options: PasswordOptions,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let account = names::account(client, text).await?;
    let password = new_password(options, words(&account)).await?;
    let change = json!({ "password": password });
    let answer: Value = client.patch(&path_of(&account), &change).await?;
    if let Some(account) = output.shown::<Account>(answer)? {
        let who = words(&account);
        output.line(&format!("{who} has a new password; the sessions are over"));
    }
    Ok(())
}

async fn change_quota(
    args: &UserQuotaArgs,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let account = names::account(client, &args.user.user).await?;
    let path = path_of(&account);
    let before = match account.quota {
        Some(quota) => quota,
        None => client.get::<Settings>("/api/settings").await?.default_quota,
    };
    let answer: Value = match quota::changed(before, args.quota) {
        Some(quota) => {
            let change = json!({ "quota": quota::to_json(&quota) });
            client.patch(&path, &change).await?
        }
        None if args.default => client.patch(&path, &json!({ "quota": null })).await?,
        None => client.get(&path).await?,
    };
    show(answer, client, output).await
}

async fn delete(text: &str, client: &Client, output: &Output) -> Result<(), CliError> {
    let account = names::account(client, text).await?;
    client.remove(&path_of(&account)).await?;
    output.done(
        &json!({ "deleted": account.id }),
        &format!("the account {} is deleted; its jobs stay", words(&account)),
    );
    Ok(())
}
