//! `job share`, `job unshare` and `job shares`.

use jiggablend_raft::{JobId, ShareAccess};
use serde_json::{Value, json};

use super::{id, path_of};
use crate::cli::CliError;
use crate::cli::api_types::{Share, ShareList};
use crate::cli::args::JobShareArgs;
use crate::cli::client::Client;
use crate::cli::names::{self, Names, pick};
use crate::cli::output::{self, Output, Width, cell};

fn shares_path(job: JobId) -> String {
    format!("{}/shares", path_of(job))
}

pub async fn share(
    job: JobId,
    args: &JobShareArgs,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let person = names::person(client, &args.user).await?;
    let access = match args.manage {
        true => "manage",
        false => "view",
    };
    let path = format!("{}/{}", shares_path(job), person.id);
    let answer: Value = client.put(&path, &json!({ "access": access })).await?;
    let words = match args.manage {
        true => "may see and manage",
        false => "may see",
    };
    let words = format!("{} {words} job {}", person.name, id::short(job));
    output.done(&answer, &words);
    Ok(())
}

pub async fn unshare(
    job: JobId,
    text: &str,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let list: ShareList = client.get(&shares_path(job)).await?;
    let names = |share: &Share| Names {
        id: share.user.id.to_string(),
        others: vec![share.user.name.clone()],
    };
    let command = format!("jiggablend job shares {}", id::short(job));
    let by_name = pick(&list.shares, text, names, "share", &command);
    let person = match by_name {
        Ok(share) => share.user.clone(),
        // An e-mail address is not in the list, but finds its owner.
        Err(_) if text.contains('@') => names::person(client, text).await?,
        Err(error) => return Err(error),
    };
    let path = format!("{}/{}", shares_path(job), person.id);
    client.remove(&path).await?;
    let words = format!(
        "job {} is not shared with {} any more",
        id::short(job),
        person.name
    );
    output.done(&json!({ "unshared": person.id }), &words);
    Ok(())
}

pub async fn list(job: JobId, client: &Client, output: &Output) -> Result<(), CliError> {
    let raw: Value = client.get(&shares_path(job)).await?;
    let Some(list): Option<ShareList> = output.shown(raw)? else {
        return Ok(());
    };
    let mut table = output::table(&[
        ("id", Width::Fixed),
        ("name", Width::Flexible),
        ("may", Width::Fixed),
    ]);
    for share in &list.shares {
        table.add_row(vec![
            cell(share.user.id.to_string()),
            cell(&share.user.name),
            cell(match share.access {
                ShareAccess::View => "see",
                ShareAccess::Manage => "see and manage",
            }),
        ]);
    }
    output.table(&table);
    Ok(())
}
