//! What a node's owner says of a sign-in provider.

use std::fmt;

use oauth2::url::{Host, Url};

/// A sign-in provider and this farm's account as its client. Its addresses are `https`, or
/// `http` on this machine.
#[derive(Clone)]
pub struct ProviderConfig {
    /// In the routes: `google`, `discord`, `oidc`.
    pub id: String,
    /// For people.
    pub name: String,
    pub client_id: String,
    pub client_secret: Option<String>,
    /// Where the provider sends the browser back to: `…/api/auth/ID/callback`.
    pub redirect_url: ProviderUrl,
    pub kind: ProviderKind,
}

#[derive(Debug, Clone)]
pub enum ProviderKind {
    /// OpenID Connect: the issuer signs who somebody is.
    Oidc(OidcConfig),
    /// OAuth 2 with Discord's own address that tells whose an access token is.
    Discord(DiscordConfig),
}

#[derive(Debug, Clone)]
pub struct DiscordConfig {
    pub auth_url: ProviderUrl,
    pub token_url: ProviderUrl,
    pub user_url: ProviderUrl,
}

#[derive(Debug, Clone)]
pub struct OidcConfig {
    /// Exactly as the issuer writes itself.
    pub issuer: ProviderUrl,
    /// The `provider` of identities. The issuer's address where the owner may choose any: another
    /// issuer's accounts are other people's.
    pub identity_provider: String,
    /// In place of what the issuer's discovery document says. Without all three it is asked.
    pub auth_url: Option<ProviderUrl>,
    pub token_url: Option<ProviderUrl>,
    pub jwks_url: Option<ProviderUrl>,
}

impl fmt::Debug for ProviderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderConfig")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("redirect_url", &self.redirect_url)
            .finish_non_exhaustive()
    }
}

/// An address that may be called with secrets: `https`, or `http` on this machine.
#[derive(Clone, PartialEq, Eq)]
pub struct ProviderUrl {
    text: String,
    url: Url,
}

/// Why an address is no [`ProviderUrl`].
#[derive(Debug, thiserror::Error)]
#[error(
    "'{text}' is {what}; write an address that begins with https:// (http:// only for this machine)"
)]
pub struct ProviderUrlError {
    text: String,
    what: String,
}

impl ProviderUrl {
    pub fn parse(text: &str) -> Result<Self, ProviderUrlError> {
        let wrong = |what: String| ProviderUrlError {
            text: text.chars().take(200).collect(),
            what,
        };
        let url = Url::parse(text).map_err(|error| wrong(format!("no address ({error})")))?;
        let is_loopback = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => return Err(wrong("an address without a host".to_owned())),
        };
        match url.scheme() {
            "https" => {}
            "http" if is_loopback => {}
            "http" => return Err(wrong("not encrypted".to_owned())),
            other => return Err(wrong(format!("an address of {other}"))),
        }
        let text = text.to_owned();
        Ok(Self { text, url })
    }

    /// As it was written: issuers are compared letter by letter.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }
}

impl fmt::Debug for ProviderUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn secrets_go_over_tls_or_stay_on_this_machine() {
        for good in [
            "https://accounts.google.com",
            "http://localhost:9000/realm",
            "http://127.0.0.1:9000",
            "http://[::1]:9000",
        ] {
            assert_eq!(ProviderUrl::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "http://idp.example",
            "http://10.0.0.1",
            "http://localhost.evil.example",
            "ftp://idp.example",
            "file:///etc/passwd",
            "idp.example",
            "",
        ] {
            assert!(ProviderUrl::parse(bad).is_err(), "{bad}");
        }
    }
}
