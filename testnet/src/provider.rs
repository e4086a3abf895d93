//! A real OAuth 2 and OpenID Connect provider on loopback: `testnet/provider`, as a process.

use std::process::Stdio;

use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::program::checkout;
use crate::{Result, TestnetError};

/// What the farm is registered as; `provider.mjs` says the same.
pub const CLIENT_ID: &str = "jiggablend";
pub const CLIENT_SECRET: &str = "a-secret-of-the-test-provider";

/// Forms and redirects of one sign-in; more is a loop.
const MAX_STEPS: usize = 12;

/// The running provider. It ends when this is dropped.
#[derive(Debug)]
pub struct Provider {
    issuer: String,
    _process: Child,
    /// Kept open: a program whose output is closed ends when it says something.
    _said: Lines<BufReader<ChildStdout>>,
}

impl Provider {
    /// Starts it for the redirect addresses that a node has by default.
    pub async fn start() -> Result<Self> {
        let redirects = ["google", "discord", "oidc"]
            .map(|id| format!("http://localhost:8080/api/auth/{id}/callback"));
        let mut process = Command::new("node")
            .arg("provider.mjs")
            .args(redirects)
            .current_dir(checkout().join("testnet/provider"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(TestnetError::io(
                "starting the provider; testnet/setup --tests installs it",
            ))?;
        let said = process.stdout.take().expect("its output is piped");
        let mut lines = BufReader::new(said).lines();
        let mut issuer = None;
        while issuer.is_none() {
            let line = lines
                .next_line()
                .await
                .map_err(TestnetError::io("reading what the provider says"))?;
            let line = line.ok_or_else(|| {
                TestnetError::Usage("the provider does not start; run testnet/setup --tests".into())
            })?;
            issuer = line.starts_with("http://").then_some(line);
        }
        Ok(Self {
            issuer: issuer.expect("the loop ends with it"),
            _process: process,
            _said: lines,
        })
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The environment of nodes that offer it as Google, as Discord, and as a studio's own.
    pub fn environment(&self) -> Vec<(String, String)> {
        let issuer = &self.issuer;
        [
            ("GOOGLE_CLIENT_ID", CLIENT_ID.to_owned()),
            ("GOOGLE_CLIENT_SECRET", CLIENT_SECRET.to_owned()),
            ("GOOGLE_ISSUER", issuer.clone()),
            ("DISCORD_CLIENT_ID", format!("{CLIENT_ID}-post")),
            ("DISCORD_CLIENT_SECRET", CLIENT_SECRET.to_owned()),
            ("DISCORD_AUTH_URL", format!("{issuer}/auth")),
            ("DISCORD_TOKEN_URL", format!("{issuer}/token")),
            ("DISCORD_USER_URL", format!("{issuer}/discord/users/@me")),
            ("OIDC_NAME", "The studio".to_owned()),
            ("OIDC_CLIENT_ID", CLIENT_ID.to_owned()),
            ("OIDC_CLIENT_SECRET", CLIENT_SECRET.to_owned()),
            ("OIDC_ISSUER", issuer.clone()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }
}

/// A browser that stops at every redirect, and keeps its cookies.
#[derive(Debug, Clone)]
pub struct Browser {
    http: Client,
}

impl Default for Browser {
    fn default() -> Self {
        let http = Client::builder()
            .cookie_store(true)
            .redirect(Policy::none())
            .build()
            .expect("a client needs nothing from the system");
        Self { http }
    }
}

impl Browser {
    pub async fn get(&self, url: &str) -> Result<Response> {
        let request = self.http.get(url).header("accept", "application/json");
        request
            .send()
            .await
            .map_err(TestnetError::http(format!("getting {url}")))
    }

    /// Goes from the node's login address through the provider's forms as `name`; returns the
    /// path and query with which the provider sends the browser back to the farm.
    pub async fn sign_in_at_provider(&self, login_url: &str, name: &str) -> Result<String> {
        let mut response = self.get(login_url).await?;
        for _ in 0..MAX_STEPS {
            if let Some(next) = location(&response)? {
                if next.host_str() == Some("localhost") {
                    let query = next.query().unwrap_or_default();
                    return Ok(format!("{}?{query}", next.path()));
                }
                response = self.get(next.as_str()).await?;
                continue;
            }
            let status = response.status();
            let page = response
                .text()
                .await
                .map_err(TestnetError::http("reading the provider's page"))?;
            let action = between(&page, "action=\"", "\"").ok_or_else(|| {
                TestnetError::Usage(format!("no form and no redirect, but {status}: {page}"))
            })?;
            let prompt = between(&page, "name=\"prompt\" value=\"", "\"").unwrap_or_default();
            let form = [("prompt", prompt), ("login", name), ("password", "any")];
            let body = form
                .map(|(field, value)| format!("{field}={value}"))
                .join("&");
            response = self
                .http
                .post(action)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body)
                .send()
                .await
                .map_err(TestnetError::http("answering the provider's form"))?;
        }
        Err(TestnetError::Usage(format!(
            "the provider did not come to an end within {MAX_STEPS} steps"
        )))
    }
}

fn location(response: &Response) -> Result<Option<Url>> {
    let Some(location) = response.headers().get(LOCATION) else {
        return Ok(None);
    };
    let location = location.to_str().unwrap_or_default();
    let url = response.url().join(location);
    url.map(Some)
        .map_err(|error| TestnetError::Usage(format!("a redirect to '{location}': {error}")))
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    Some(rest.split_once(after)?.0)
}
