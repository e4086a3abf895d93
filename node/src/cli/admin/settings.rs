//! `settings …`.

use jiggablend_raft::Registration;
use serde_json::{Map, Value, json};

use super::quota;
use crate::cli::CliError;
use crate::cli::api_types::{Settings, role_word};
use crate::cli::args::{DefaultRoleArg, Group, RegistrationArg, SettingsCommand, SettingsSetArgs};
use crate::cli::client::Client;
use crate::cli::output::{Output, bytes};

const SETTINGS: &str = "/api/settings";

/// Does one `settings` command.
pub async fn settings(group: &Group<SettingsCommand>, output: &Output) -> Result<(), CliError> {
    let client = Client::connect(&group.client, output)?;
    let answer: Value = match &group.command {
        SettingsCommand::Show => client.get(SETTINGS).await?,
        SettingsCommand::Set(args) => {
            // A quota is one value: what is not named of it stays as it is.
            let before: Settings = client.get(SETTINGS).await?;
            let changes = changes(args, &before);
            if changes.is_empty() {
                return Err(CliError::Usage(
                    "nothing to change was named; `jiggablend settings set --help` lists what there is".to_owned(),
                ));
            }
            client.patch(SETTINGS, &Value::Object(changes)).await?
        }
    };
    if let Some(settings) = output.shown(answer)? {
        for line in lines(&settings) {
            output.line(&line);
        }
    }
    Ok(())
}

fn changes(args: &SettingsSetArgs, before: &Settings) -> Map<String, Value> {
    let registration = args.registration.map(|who| match who {
        RegistrationArg::Open => "open",
        RegistrationArg::Invitation => "invitation",
        RegistrationArg::Closed => "closed",
    });
    let default_role = args.default_role.map(|role| match role {
        DefaultRoleArg::Member => "member",
        DefaultRoleArg::Viewer => "viewer",
    });
    let public_url = args.public_url.as_deref().map(|url| match url {
        "none" => Value::Null,
        url => json!(url),
    });
    let quota = quota::changed(before.default_quota, args.quota);
    let named = [
        ("farm_name", args.farm_name.as_ref().map(|name| json!(name))),
        ("registration", registration.map(|who| json!(who))),
        ("default_role", default_role.map(|role| json!(role))),
        ("public_url", public_url),
        (
            "webhooks_to_private_addresses",
            args.webhooks_to_private_addresses
                .map(|allowed| json!(allowed)),
        ),
        ("default_quota", quota.as_ref().map(quota::to_json)),
    ];
    named
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

fn lines(settings: &Settings) -> Vec<String> {
    let registration = match settings.registration {
        Registration::Open => "open: anybody may make an account",
        Registration::Invitation => "by invitation",
        Registration::Closed => "closed: admins make the accounts",
    };
    let quota = &settings.default_quota;
    let limit = |limit: Option<String>| limit.unwrap_or_else(|| "no limit".to_owned());
    let count = |count: Option<u32>| limit(count.map(|count| count.to_string()));
    let webhooks = match settings.webhooks_to_private_addresses {
        true => "anywhere",
        false => "not into private networks",
    };
    vec![
        format!("farm          {}", settings.farm_name),
        format!("registration  {registration}"),
        format!("new accounts  {}", role_word(settings.default_role)),
        format!("may store     {}", limit(quota.bytes.map(bytes))),
        format!("may run       {} jobs at a time", count(quota.jobs)),
        format!(
            "may render    {} frames at a time",
            count(quota.frames_in_flight)
        ),
        format!(
            "address       {}",
            settings.public_url.as_deref().unwrap_or("each node's own")
        ),
        format!("webhooks go   {webhooks}"),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use jiggablend_raft::{Quota, UserRole};

    use super::*;
    use crate::cli::args::{Arguments, Command};
    use clap::Parser as _;

    fn changed_by(line: &str) -> Value {
        let before = Settings {
            farm_name: "barn".to_owned(),
            registration: Registration::Invitation,
            default_role: UserRole::Member,
            default_quota: Quota {
                bytes: Some(5),
                jobs: Some(6),
                frames_in_flight: None,
            },
            public_url: None,
            webhooks_to_private_addresses: false,
        };
        let line = format!("jiggablend settings set {line}");
        let parsed = Arguments::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Settings(Group {
            command: SettingsCommand::Set(args),
            ..
        }) = parsed.command
        else {
            panic!("not a set");
        };
        Value::Object(changes(&args, &before))
    }

    #[test]
    fn only_what_was_named_is_sent_and_a_quota_as_a_whole() {
        assert_eq!(changed_by(""), json!({}));
        assert_eq!(
            changed_by("--registration closed --public-url none"),
            json!({"registration": "closed", "public_url": null})
        );
        assert_eq!(
            changed_by("--jobs none --default-role viewer"),
            json!({
                "default_role": "viewer",
                "default_quota": {"bytes": 5, "jobs": null, "frames_in_flight": null},
            })
        );
    }
}
