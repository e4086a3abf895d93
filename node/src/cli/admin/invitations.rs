//! `user invite` and `user invitations`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::users::role_name;
use crate::cli::CliError;
use crate::cli::api_types::{Invitation, InvitationList, role_word};
use crate::cli::args::UserInviteArgs;
use crate::cli::client::Client;
use crate::cli::names::{Names, pick};
use crate::cli::output::{self, Output, Width, cell};

const INVITATIONS: &str = "/api/invitations";

#[derive(Deserialize)]
struct NewInvitation {
    link: String,
    #[serde(flatten)]
    view: Invitation,
}

pub async fn invite(
    args: &UserInviteArgs,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let mut body = json!({
        "role": role_name(args.role), "ttl_seconds": args.ttl.as_secs(),
        "reusable": args.reusable,
    });
    if let Some(email) = &args.email {
        body["email"] = json!(email);
    }
    let answer: Value = client.create(INVITATIONS, &body).await?;
    let Some(new): Option<NewInvitation> = output.shown(answer)? else {
        return Ok(());
    };
    output.note(&format!(
        "lets {} make an account ({}) for {}; it is shown only once:",
        whom(&new.view),
        role_word(new.view.role),
        output::good_until(Some(new.view.expires_at_ms))
    ));
    output.line(&new.link);
    Ok(())
}

fn whom(invitation: &Invitation) -> String {
    match (&invitation.email, invitation.reusable) {
        (Some(email), _) => email.clone(),
        (None, true) => "anybody who has it".to_owned(),
        (None, false) => "one person".to_owned(),
    }
}

pub async fn list(client: &Client, output: &Output) -> Result<(), CliError> {
    let Some(list): Option<InvitationList> = output.shown(client.get(INVITATIONS).await?)? else {
        return Ok(());
    };
    let mut table = output::table(&[
        ("id", Width::Fixed),
        ("for", Width::Flexible),
        ("role", Width::Fixed),
        ("used", Width::Fixed),
        ("good for", Width::Fixed),
    ]);
    for invitation in &list.invitations {
        table.add_row(vec![
            cell(invitation.id.to_string()),
            cell(whom(invitation)),
            cell(role_word(invitation.role)),
            cell(invitation.used_by.len().to_string()),
            cell(output::good_until(Some(invitation.expires_at_ms))),
        ]);
    }
    output.table(&table);
    Ok(())
}

pub async fn revoke(text: &str, client: &Client, output: &Output) -> Result<(), CliError> {
    let list: InvitationList = client.get(INVITATIONS).await?;
    let names = |invitation: &Invitation| Names {
        id: invitation.id.to_string(),
        others: invitation.email.clone().into_iter().collect(),
    };
    let command = "jiggablend user invitations";
    let invitation = pick(&list.invitations, text, names, "invitation", command)?;
    client
        .remove(&format!("{INVITATIONS}/{}", invitation.id))
        .await?;
    output.done(
        &json!({ "revoked": invitation.id }),
        &format!("the invitation {} is revoked", invitation.id),
    );
    Ok(())
}
