//! Sends one message: to where webhooks may go, once, and without waiting for long.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiggablend_raft::TimestampMs;
use jiggablend_web::WebhookReach;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};

use super::message::Message;
use super::signature::signature;

/// From the first byte to the end of the answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a message did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PostError {
    #[error("'{0}' is no http or https address")]
    NotAnAddress(String),
    /// Whatever a name leads to is not said: that is not everybody's to know.
    #[error(
        "{0} is no public host; an admin may let webhooks into private networks in the farm's settings (webhooks_to_private_addresses), but never to the nodes themselves"
    )]
    Private(String),
    /// The same for a name that leads into a private network and for one that leads nowhere: what
    /// names there are inside is not the webhook's owner's business.
    #[error(
        "'{0}' leads to no public address; an admin may let webhooks into private networks in the farm's settings (webhooks_to_private_addresses), but never to the nodes themselves"
    )]
    NoPublicAddress(String),
    /// It says itself that nobody wants to hear any more.
    #[error("the receiver is gone (410)")]
    Gone,
    /// What else the answer says stays with the receiver: it may be of some other service there.
    #[error("the answer was {0}")]
    Refused(u16),
    #[error("{0}")]
    Unreachable(String),
}

impl PostError {
    /// The HTTP status of the answer, where there was one.
    pub(super) fn status(&self) -> Option<u16> {
        match self {
            Self::Gone => Some(StatusCode::GONE.as_u16()),
            Self::Refused(status) => Some(*status),
            Self::NotAnAddress(_)
            | Self::Private(_)
            | Self::NoPublicAddress(_)
            | Self::Unreachable(_) => None,
        }
    }
}

/// The clients that send. Cheap to clone.
#[derive(Clone)]
pub(super) struct Post {
    to_public: Client,
    to_private: Client,
    /// What the farm's settings let it reach beyond public hosts.
    beyond: WebhookReach,
}

impl Post {
    /// `to_this_machine`: this node's own option, for tests.
    pub(super) fn new(to_this_machine: bool) -> reqwest::Result<Self> {
        let beyond = WebhookReach::beyond_public(to_this_machine);
        Ok(Self {
            to_public: client(WebhookReach::Public)?,
            to_private: client(beyond)?,
            beyond,
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
        let (client, reach) = match may_be_private {
            true => (&self.to_private, self.beyond),
            false => (&self.to_public, WebhookReach::Public),
        };
        let url = checked_url(url, reach)?;
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
        Err(PostError::Refused(status.as_u16()))
    }
}

fn client(reach: WebhookReach) -> reqwest::Result<Client> {
    Client::builder()
        .timeout(TIMEOUT)
        .redirect(Policy::none())
        // A proxy would resolve the name anew, and look at nothing.
        .no_proxy()
        .user_agent(concat!("jiggablend/", env!("CARGO_PKG_VERSION")))
        .dns_resolver(Arc::new(Resolver { reach }))
        .build()
}

/// Names are checked when they are resolved; an address that is no name is checked here.
fn checked_url(url: &str, reach: WebhookReach) -> Result<Url, PostError> {
    let parsed = Url::parse(url)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"))
        .ok_or_else(|| PostError::NotAnAddress(url.to_owned()))?;
    let host = parsed.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address: Option<IpAddr> = bare.parse().ok();
    if address.is_some_and(|address| !reach.allows(address)) {
        return Err(PostError::Private(host.to_owned()));
    }
    Ok(parsed)
}

/// Resolves names, and leaves out what a webhook must not reach. What is left is what is connected
/// to: a name that changes its mind in between gains nothing.
struct Resolver {
    reach: WebhookReach,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.reach;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await;
            if reach == WebhookReach::ThisMachine {
                return Ok(Box::new(found?.collect::<Vec<_>>().into_iter()) as Addrs);
            }
            let allowed: Vec<SocketAddr> = found
                .into_iter()
                .flatten()
                .filter(|address| reach.allows(address.ip()))
                .collect();
            if allowed.is_empty() {
                return Err(PostError::NoPublicAddress(name.as_str().to_owned()).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
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
            let resolver = Resolver {
                reach: WebhookReach::Public,
            };
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
            let checked = checked_url(url, WebhookReach::Public);
            assert!(matches!(checked, Err(PostError::Private(_))), "{url}");
            let is_own = !url.contains("10.0.0.3");
            let checked = checked_url(url, WebhookReach::PrivateNetworks);
            assert_eq!(checked.is_err(), is_own, "{url}");
            assert!(checked_url(url, WebhookReach::ThisMachine).is_ok(), "{url}");
        }
        for url in ["file:///etc/passwd", "gopher://x/", "no address"] {
            let checked = checked_url(url, WebhookReach::ThisMachine);
            assert!(matches!(checked, Err(PostError::NotAnAddress(_))), "{url}");
        }
        assert!(checked_url("https://203.0.114.7/hook", WebhookReach::Public).is_ok());
    }
}
