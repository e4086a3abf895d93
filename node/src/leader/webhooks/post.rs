//! Sends one message: to where webhooks may go, once, and without waiting for long.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiggablend_raft::TimestampMs;
use jiggablend_web::is_public_address;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, StatusCode, Url};

use super::message::Message;
use super::signature::signature;

/// From the first byte to the end of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Of an answer that refuses, so much is read, to show what it says.
const MAX_ANSWER_BYTES: usize = 4 << 10;
const MAX_ANSWER_CHARS: usize = 120;

/// Why a message did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PostError {
    #[error("'{0}' is no http or https address")]
    NotAnAddress(String),
    #[error(
        "{0} is in a private network; an admin may allow that in the farm's settings (webhooks_to_private_addresses)"
    )]
    Private(String),
    /// The same for a name that leads into a private network and for one that leads nowhere: what
    /// names there are inside is not the webhook's owner's business.
    #[error(
        "'{0}' leads to no public address; an admin may allow private ones in the farm's settings (webhooks_to_private_addresses)"
    )]
    NoPublicAddress(String),
    /// It says itself that nobody wants to hear any more.
    #[error("the receiver is gone (410)")]
    Gone,
    #[error("the answer was {status}: {text}")]
    Refused { status: u16, text: String },
    #[error("{0}")]
    Unreachable(String),
}

/// The clients that send. Cheap to clone.
#[derive(Clone)]
pub(super) struct Post {
    to_public: Client,
    to_all: Client,
}

impl Post {
    pub(super) fn new() -> reqwest::Result<Self> {
        Ok(Self {
            to_public: client(true)?,
            to_all: client(false)?,
        })
    }

    /// Posts the message; answers the status where it is one of success.
    pub(super) async fn send(
        &self,
        url: &str,
        secret: &str,
        message: &Message,
        may_be_private: bool,
    ) -> Result<u16, PostError> {
        let url = checked_url(url, may_be_private)?;
        let client = match may_be_private {
            true => &self.to_all,
            false => &self.to_public,
        };
        let seconds = TimestampMs::now().0 / 1000;
        let request = client
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", &message.id)
            .header("webhook-timestamp", seconds)
            .header(
                "webhook-signature",
                signature(secret, &message.id, seconds, &message.body),
            )
            .body(message.body.clone());
        let response = request
            .send()
            .await
            .map_err(|error| PostError::Unreachable(innermost(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(status.as_u16());
        }
        if status == StatusCode::GONE {
            return Err(PostError::Gone);
        }
        Err(PostError::Refused {
            status: status.as_u16(),
            text: beginning(response).await,
        })
    }
}

fn client(only_public: bool) -> reqwest::Result<Client> {
    Client::builder()
        .timeout(TIMEOUT)
        .redirect(Policy::none())
        // A proxy would resolve the name anew, and look at nothing.
        .no_proxy()
        .user_agent(concat!("jiggablend/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(Resolver { only_public }))
        .build()
}

/// Names are checked when they are resolved; an address that is no name is checked here.
fn checked_url(url: &str, may_be_private: bool) -> Result<Url, PostError> {
    let parsed = Url::parse(url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| PostError::NotAnAddress(url.to_owned()))?;
    let host = parsed.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<IpAddr> = bare.parse().ok();
    if address.is_some_and(|address| !may_be_private && !is_public_address(address)) {
        return Err(PostError::Private(host.to_owned()));
    }
    Ok(parsed)
}

/// Resolves names, and leaves out what a webhook must not reach. What is left is what is connected
/// to: a name that changes its mind in between gains nothing.
struct Resolver {
    only_public: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let only_public = self.only_public;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            if !only_public {
                return Ok(Box::new(found?.collect::<Vec<_>>().into_iter()) as Addrs);
            }
            let public: Vec<SocketAddr> = found
                .into_iter()
                .flatten()
                .filter(|address| is_public_address(address.ip()))
                .collect();
            if public.is_empty() {
                return Err(PostError::NoPublicAddress(name.as_str().to_owned()).into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// What an answer says first, in one line.
async fn beginning(mut response: Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < MAX_ANSWER_BYTES {
        match response.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let plain = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    plain.take(MAX_ANSWER_CHARS).collect()
}

/// The cause that says most: what is around it repeats the address.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_said_of_a_name_does_not_tell_whether_it_is_one_inside() {
        let inside = "localhost";
        let nowhere = "no-such-host.invalid";
        let said = async |name: &str| {
            let resolver = Resolver { only_public: true };
            let name: Name = name.parse().expect("it is a name");
            let resolved = resolver.resolve(name).await;
            resolved.err().map(|error| error.to_string())
        };
        let of_inside = said(inside).await.expect("it is refused");
        let of_nowhere = said(nowhere).await.expect("it is refused");
        let without_name = |said: String, name: &str| said.replace(name, "NAME");
        assert_eq!(
            without_name(of_inside, inside),
            without_name(of_nowhere, nowhere)
        );
    }

    #[test]
    fn an_address_that_is_written_oddly_is_checked_as_what_it_is() {
        let refused = [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f.0.0.1/",
            "http://2130706433/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://10.0.0.3:9999/x",
            "http://169.254.169.254/latest/meta-data",
        ];
        for url in refused {
            let checked = checked_url(url, false);
            assert!(matches!(checked, Err(PostError::Private(_))), "{url}");
            assert!(checked_url(url, true).is_ok(), "{url}");
        }
        for url in ["file:///etc/passwd", "gopher://x/", "no address"] {
            let checked = checked_url(url, true);
            assert!(matches!(checked, Err(PostError::NotAnAddress(_))), "{url}");
        }
        assert!(checked_url("https://203.0.114.7/hook", false).is_ok());
    }
}
