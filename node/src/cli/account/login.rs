//! `login`: gets an API token for this machine and keeps it.

use jiggablend_raft::TimestampMs;
use serde_json::{Value, json};

use super::password::{ask, password, secret_line};
use super::{device, local};
use crate::cli::CliError;
use crate::cli::api_types::{Farm, Me, NewToken, NodeList, Providers, role_word};
use crate::cli::args::LoginArgs;
use crate::cli::client::{Client, read_ca};
use crate::cli::endpoint::Endpoint;
use crate::cli::logins::{Login, LoginsFile};
use crate::cli::output::{Output, utc_time};
use crate::cli::peers;
use crate::cli::target::{SignedInBy, Target, named_url};

const MAX_HOST_CHARS: usize = 60;

pub async fn login(args: &LoginArgs, output: &Output) -> Result<(), CliError> {
    let file = logins_file()?;
    // That it cannot be kept is to be known before there is a token.
    file.change(|_| {})?;
    let url = address(args, &file)?;
    let ca = ca(args, &url, &file)?;
    let target = Target {
        ca: ca.clone(),
        ..Target::named(vec![url.clone()], None)
    };
    let client = Client::new(target, true, &args.way, output)?;
    let token = match args.with_token {
        true => brought_along().await?,
        false => granted(args, &client, output).await?,
    };
    keep(args, url, ca, token, &file, output).await
}

/// Where saved sign-ins are.
pub fn logins_file() -> Result<LoginsFile, CliError> {
    LoginsFile::of_this_user().ok_or_else(|| {
        let why = "this user has no home folder in which a sign-in can be kept; set HOME, or use --token or JIGGABLEND_TOKEN";
        CliError::Refused(why.to_owned())
    })
}

fn address(args: &LoginArgs, file: &LoginsFile) -> Result<String, CliError> {
    if let Some(urls) = &args.url {
        // JIGGABLEND_URL may name several.
        return named_url(urls.split(',').next().unwrap_or_default());
    }
    let dir = args.data.path();
    if let Some(endpoint) = Endpoint::read(&dir)? {
        return Ok(endpoint.url);
    }
    if args.data.given.is_some() {
        let was_named = true;
        return Err(CliError::NoNodeIn { dir, was_named });
    }
    let logins = file.read()?;
    let current = logins.current().map(|(_, login)| login.url.clone());
    current.ok_or_else(|| {
        let why = "name a node of the farm, for example: jiggablend login https://farm.example";
        CliError::Usage(why.to_owned())
    })
}

/// Whose certificates are believed too: what is named, or what was at the last sign-in there.
fn ca(args: &LoginArgs, url: &str, file: &LoginsFile) -> Result<Option<String>, CliError> {
    match &args.way.ca {
        Some(path) => read_ca(path).map(Some),
        None => {
            let logins = file.read()?;
            let earlier = logins.at(&[url.to_owned()]);
            Ok(earlier.and_then(|(_, login)| login.ca.clone()))
        }
    }
}

/// What the token is called at the farm.
pub fn token_name() -> String {
    let host = hostname::get().unwrap_or_default();
    let host: String = host
        .to_string_lossy()
        .chars()
        .filter(|character| !character.is_control())
        .take(MAX_HOST_CHARS)
        .collect();
    format!("jiggablend on {host}")
}

async fn brought_along() -> Result<NewToken, CliError> {
    let token = secret_line("the token").await?;
    Ok(NewToken {
        token: token.trim().to_owned(),
        id: None,
        expires_at_ms: None,
    })
}

/// Signs in by the way that was asked for, or by the one that the farm has.
async fn granted(args: &LoginArgs, client: &Client, output: &Output) -> Result<NewToken, CliError> {
    let ways: Providers = client.get("/api/auth/providers").await?;
    let wants_password = args.email.is_some() || args.password.password_stdin;
    if args.web || (!wants_password && !ways.providers.is_empty()) {
        return device::sign_in(client, output).await;
    }
    if !ways.local {
        return Err(CliError::Refused(no_password_way(&ways)));
    }
    let email = match &args.email {
        Some(email) => email.clone(),
        None => ask("E-mail address: ", "--email").await?,
    };
    let password = password(args.password, &email).await?;
    local::sign_in(client, &email, &password).await
}

fn no_password_way(ways: &Providers) -> String {
    let names: Vec<&str> = ways
        .providers
        .iter()
        .map(|provider| provider.name.as_str())
        .collect();
    match names.is_empty() {
        true => "nobody can sign in at this node: it has neither local accounts (ENABLE_LOCAL_AUTH=true) nor providers; ask whoever runs it, or keep a token with --with-token".to_owned(),
        false => format!(
            "this node has no local accounts; sign in with {}, in a browser: jiggablend login --web",
            names.join(" or ")
        ),
    }
}

/// Finds out whose the token is and at which farm, and keeps it in the place of an earlier one.
async fn keep(
    args: &LoginArgs,
    url: String,
    ca: Option<String>,
    token: NewToken,
    file: &LoginsFile,
    output: &Output,
) -> Result<(), CliError> {
    let target = Target {
        by: SignedInBy::Brought,
        ca: ca.clone(),
        ..Target::named(vec![url.clone()], Some(token.token.clone()))
    };
    let client = Client::new(target, true, &args.way, output)?;
    let me: Me = client.get("/api/auth/me").await?;
    let farm: Farm = client.get("/api/farm").await?;
    let nodes: NodeList = client.get("/api/nodes").await?;
    let login = Login {
        farm_name: farm.name.clone(),
        url,
        nodes: peers::addresses_of(&nodes.nodes),
        token: token.token,
        token_id: token.id.map(|id| id.to_string()),
        user: me.user.words().to_owned(),
        expires_at_ms: token.expires_at_ms,
        ca,
    };
    let earlier = file.read()?.get(&farm.id).cloned();
    file.change(|logins| logins.add(&farm.id, login))?;
    if let Some(earlier) = earlier {
        revoke_earlier(args, &farm.id, &earlier, file, output).await;
    }
    show(&me, &farm, token.expires_at_ms, file, output);
    if Endpoint::read(&args.data.path())?.is_some() {
        output.note("this machine's node goes before it: commands without --url are still its operator's, except those about one's own account");
    }
    Ok(())
}

/// That the token of the last sign-in stays until it expires is no failure of this one.
async fn revoke_earlier(
    args: &LoginArgs,
    farm: &str,
    earlier: &Login,
    file: &LoginsFile,
    output: &Output,
) {
    let Some(id) = &earlier.token_id else { return };
    let target = Target::of_login(file.clone(), farm, earlier);
    if let Ok(client) = Client::new(target, true, &args.way, output) {
        let _ = client.alone().remove(&format!("/api/tokens/{id}")).await;
    }
}

fn show(me: &Me, farm: &Farm, expires_at: Option<TimestampMs>, file: &LoginsFile, output: &Output) {
    if output.is_json() {
        let answer: Value = json!({
            "farm": {"id": farm.id, "name": farm.name}, "user": me.user.words(),
            "role": me.user.role, "expires_at_ms": expires_at, "path": file.path(),
        });
        output.json_line(&answer);
        return;
    }
    output.line(&format!(
        "signed in at the farm {} as {} ({})",
        farm.name,
        me.user.words(),
        role_word(me.user.role)
    ));
    let until = match expires_at {
        Some(at) => format!(", and is good until {}", utc_time(at)),
        None => String::new(),
    };
    let path = file.path().display();
    output.note(&format!("the token is in {path}{until}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::api_types::Provider;

    #[test]
    fn a_farm_without_a_way_in_says_what_there_is() {
        let mut ways = Providers {
            local: false,
            providers: Vec::new(),
        };
        assert!(no_password_way(&ways).contains("ENABLE_LOCAL_AUTH"));
        ways.providers.push(Provider {
            name: "Google".to_owned(),
        });
        let words = no_password_way(&ways);
        assert!(
            words.contains("Google") && words.contains("--web"),
            "{words}"
        );
    }

    #[test]
    fn the_token_is_called_after_this_machine() {
        assert!(token_name().starts_with("jiggablend on "));
        assert!(token_name().chars().count() <= 100);
    }
}
