//! `whoami`.

use jiggablend_raft::{Quota, Usage};
use serde_json::Value;

use crate::cli::CliError;
use crate::cli::api_types::{Me, role_word, scope_word};
use crate::cli::args::WhoamiArgs;
use crate::cli::client::Client;
use crate::cli::output::{Output, bytes};

pub async fn whoami(args: &WhoamiArgs, output: &Output) -> Result<(), CliError> {
    let client = Client::connect(&args.client, output)?;
    let mut raw: Value = client.get("/api/auth/me").await?;
    if output.is_json() {
        raw["signed_in_by"] = client.signed_in_by().to_string().into();
        raw["url"] = client.current_url().into();
        output.json(&raw);
        return Ok(());
    }
    let me: Me = serde_json::from_value(raw)
        .map_err(|error| CliError::Refused(format!("cannot understand who one is: {error}")))?;
    for line in lines(&me) {
        output.line(&line);
    }
    output.line(&format!("by        {}", client.signed_in_by()));
    output.line(&format!("node      {}", client.current_url()));
    Ok(())
}

fn lines(me: &Me) -> Vec<String> {
    let user = &me.user;
    let name = match (user.words() == user.name, user.name.as_str()) {
        (true, _) | (_, "") => String::new(),
        (false, name) => format!(" ({name})"),
    };
    let mut lines = vec![
        format!("user      {}{name}", user.words()),
        format!("role      {}", role_word(user.role)),
    ];
    if let Some(scopes) = &me.scopes {
        let words: Vec<&str> = scopes.iter().map(|scope| scope_word(*scope)).collect();
        lines.push(format!("token for {}", words.join(", ")));
    }
    for identity in &me.identities {
        lines.push(format!("signs in  with {}", identity.name));
    }
    lines.extend(quota_words(&me.quota, &me.usage));
    lines
}

/// What somebody takes of the farm, and may take, a line each.
pub fn quota_words(quota: &Quota, usage: &Usage) -> Vec<String> {
    let of = |limit: Option<String>| match limit {
        Some(limit) => format!(" of {limit}"),
        None => ", without a limit".to_owned(),
    };
    let count = |limit: Option<u32>| of(limit.map(|limit| limit.to_string()));
    vec![
        format!(
            "stores    {}{}",
            bytes(usage.bytes),
            of(quota.bytes.map(bytes))
        ),
        format!("jobs      {}{}", usage.jobs, count(quota.jobs)),
        format!(
            "renders   {}{}",
            usage.frames_in_flight,
            count(quota.frames_in_flight)
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_stands_beside_its_limit() {
        let quota = Quota {
            bytes: Some(1 << 30),
            jobs: None,
            frames_in_flight: Some(8),
        };
        let usage = Usage {
            bytes: 512 << 20,
            jobs: 3,
            frames_in_flight: 2,
        };
        assert_eq!(
            quota_words(&quota, &usage),
            [
                "stores    512.00 MiB of 1.00 GiB",
                "jobs      3, without a limit",
                "renders   2 of 8"
            ]
        );
    }
}
