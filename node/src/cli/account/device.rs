//! Signing in with a browser, on this machine or any other (RFC 8628): a code is shown here and
//! typed there.

use std::io::IsTerminal as _;
use std::process::Stdio;
use std::time::Duration;

use reqwest::Url;
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::login::token_name;
use crate::cli::CliError;
use crate::cli::api_types::{DeviceCodes, NewToken};
use crate::cli::client::Client;
use crate::cli::output::Output;

/// RFC 8628, section 3.5: what `slow-down` adds.
const SLOW_DOWN: Duration = Duration::from_secs(5);
/// Whatever the farm says.
const INTERVALS: std::ops::RangeInclusive<u64> = 1..=60;
const LIVES: std::ops::RangeInclusive<u64> = 10..=3_600;

pub async fn sign_in(client: &Client, output: &Output) -> Result<NewToken, CliError> {
    let body = json!({ "name": token_name() });
    let codes: DeviceCodes = client.post("/api/auth/device", &body).await?;
    show(&codes, output);
    let mut interval =
        Duration::from_secs(codes.interval.clamp(*INTERVALS.start(), *INTERVALS.end()));
    let life = Duration::from_secs(codes.expires_in.clamp(*LIVES.start(), *LIVES.end()));
    let end = Instant::now() + life;
    let body = json!({ "device_code": codes.device_code });
    while Instant::now() < end {
        sleep(interval).await;
        match client.post("/api/auth/device/token", &body).await {
            Ok(token) => return Ok(token),
            Err(CliError::Problem(problem)) => match problem.name() {
                "authorization-pending" => {}
                "slow-down" | "too-many-attempts" => interval += SLOW_DOWN,
                _ => return Err(CliError::Problem(problem)),
            },
            Err(error) => return Err(error),
        }
    }
    Err(CliError::Refused(
        "nobody approved the code in time; run `jiggablend login` again".to_owned(),
    ))
}

fn show(codes: &DeviceCodes, output: &Output) {
    if output.is_json() {
        output.json_line(&json!({
            "user_code": codes.user_code, "verification_uri": codes.verification_uri,
            "verification_uri_complete": codes.verification_uri_complete,
            "expires_in": codes.expires_in,
        }));
        return;
    }
    output.note(&format!("open   {}", codes.verification_uri));
    output.note(&format!("code   {}", codes.user_code));
    let complete = codes.verification_uri_complete.as_ref();
    let page = complete.unwrap_or(&codes.verification_uri);
    match has_browser() && open(page) {
        true => output.note("a browser was opened; waiting until you approve it there"),
        false => output.note("waiting until you approve it there, on any machine"),
    }
}

/// Whether somebody sits before a screen of this machine.
fn has_browser() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let has_screen = cfg!(target_os = "macos") || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY");
    has_screen && std::io::stderr().is_terminal() && !is_set("SSH_CONNECTION")
}

/// The address comes from the farm: only a web address is opened, and no shell sees it.
fn open(page: &str) -> bool {
    let Some(page) = web_address(page) else {
        return false;
    };
    let program = match cfg!(target_os = "macos") {
        true => "open",
        false => "xdg-open",
    };
    let started = std::process::Command::new(program)
        .arg(page.as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    started.is_ok()
}

fn web_address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_web_address_is_opened() {
        assert!(web_address("https://farm.example/#/device?code=BCDF-GHJK").is_some());
        for text in ["javascript:alert(1)", "file:///etc/passwd", "--help", ""] {
            assert!(web_address(text).is_none(), "{text}");
        }
    }
}
