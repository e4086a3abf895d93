//! Sign-in settings, from the environment: those of the original JiggaBlend, and any OpenID
//! Connect issuer beside them. Each address can be set, which is also how tests reach a provider
//! on this machine.

use anyhow::{Context as _, bail, ensure};
use jiggablend_web::{
    DiscordConfig, OidcConfig, ProviderConfig, ProviderKind, ProviderUrl, password_fault,
};

const GOOGLE_ISSUER: &str = "https://accounts.google.com";
const DISCORD_AUTH: &str = "https://discord.com/oauth2/authorize";
const DISCORD_TOKEN: &str = "https://discord.com/api/oauth2/token";
const DISCORD_USER: &str = "https://discord.com/api/users/@me";

#[derive(Debug, Clone, Default)]
pub(crate) struct SignInSettings {
    /// `ENABLE_LOCAL_AUTH`
    pub(crate) local_auth: bool,
    /// `LOCAL_TEST_EMAIL` and `LOCAL_TEST_PASSWORD`
    pub(crate) test_user: Option<(String, String)>,
    /// Those whose client id is set.
    pub(crate) providers: Vec<ProviderConfig>,
}

impl SignInSettings {
    pub(crate) fn from_environment() -> anyhow::Result<Self> {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let local_auth = match set("ENABLE_LOCAL_AUTH").as_deref() {
            None | Some("false" | "0" | "no") => false,
            Some("true" | "1" | "yes") => true,
            Some(other) => bail!("ENABLE_LOCAL_AUTH is '{other}'; set it to true or false"),
        };
        let test_user = match (set("LOCAL_TEST_EMAIL"), set("LOCAL_TEST_PASSWORD")) {
            (Some(email), Some(password)) => Some((email, password)),
            (None, None) => None,
            _ => bail!("LOCAL_TEST_EMAIL and LOCAL_TEST_PASSWORD go together; set both or neither"),
        };
        ensure!(
            local_auth || test_user.is_none(),
            "LOCAL_TEST_EMAIL is set but local accounts are off; set ENABLE_LOCAL_AUTH=true too"
        );
        if let Some(fault) = test_user
            .as_ref()
            .and_then(|(_, password)| password_fault(password))
        {
            bail!("LOCAL_TEST_PASSWORD {fault}; set another one");
        }
        let providers = [google(&set)?, discord(&set)?, oidc(&set)?];
        Ok(Self {
            local_auth,
            test_user,
            providers: providers.into_iter().flatten().collect(),
        })
    }
}

type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

fn google(set: Variables<'_>) -> anyhow::Result<Option<ProviderConfig>> {
    let Some(client) = Client::read(set, "GOOGLE", "google")? else {
        return Ok(None);
    };
    let kind = ProviderKind::Oidc(OidcConfig {
        issuer: url_or(set, "GOOGLE_ISSUER", GOOGLE_ISSUER)?,
        identity_provider: "google".to_owned(),
        auth_url: url(set, "GOOGLE_AUTH_URL")?,
        token_url: url(set, "GOOGLE_TOKEN_URL")?,
        jwks_url: url(set, "GOOGLE_JWKS_URL")?,
    });
    client.needs_secret()?;
    Ok(Some(client.provider("Google".to_owned(), kind)))
}

fn discord(set: Variables<'_>) -> anyhow::Result<Option<ProviderConfig>> {
    let Some(client) = Client::read(set, "DISCORD", "discord")? else {
        return Ok(None);
    };
    let kind = ProviderKind::Discord(DiscordConfig {
        auth_url: url_or(set, "DISCORD_AUTH_URL", DISCORD_AUTH)?,
        token_url: url_or(set, "DISCORD_TOKEN_URL", DISCORD_TOKEN)?,
        user_url: url_or(set, "DISCORD_USER_URL", DISCORD_USER)?,
    });
    client.needs_secret()?;
    Ok(Some(client.provider("Discord".to_owned(), kind)))
}

/// Without a secret the farm is a public client, which PKCE protects.
fn oidc(set: Variables<'_>) -> anyhow::Result<Option<ProviderConfig>> {
    let Some(client) = Client::read(set, "OIDC", "oidc")? else {
        ensure!(
            set("OIDC_ISSUER").is_none(),
            "OIDC_ISSUER is set but OIDC_CLIENT_ID is not; set both or neither"
        );
        return Ok(None);
    };
    let issuer = url(set, "OIDC_ISSUER")?
        .context("OIDC_CLIENT_ID is set but OIDC_ISSUER is not; set the issuer's address")?;
    let kind = ProviderKind::Oidc(OidcConfig {
        identity_provider: issuer.as_str().to_owned(),
        issuer,
        auth_url: url(set, "OIDC_AUTH_URL")?,
        token_url: url(set, "OIDC_TOKEN_URL")?,
        jwks_url: url(set, "OIDC_JWKS_URL")?,
    });
    let name = set("OIDC_NAME").unwrap_or_else(|| "OpenID Connect".to_owned());
    Ok(Some(client.provider(name, kind)))
}

/// The farm as a client of one provider.
struct Client {
    prefix: &'static str,
    id: &'static str,
    client_id: String,
    client_secret: Option<String>,
    redirect_url: ProviderUrl,
}

impl Client {
    fn read(
        set: Variables<'_>,
        prefix: &'static str,
        id: &'static str,
    ) -> anyhow::Result<Option<Self>> {
        let client_secret = set(&format!("{prefix}_CLIENT_SECRET"));
        let Some(client_id) = set(&format!("{prefix}_CLIENT_ID")) else {
            ensure!(
                client_secret.is_none(),
                "{prefix}_CLIENT_SECRET is set but {prefix}_CLIENT_ID is not; set both or neither"
            );
            return Ok(None);
        };
        let default = format!("http://localhost:8080/api/auth/{id}/callback");
        Ok(Some(Self {
            prefix,
            id,
            client_id,
            client_secret,
            redirect_url: url_or(set, &format!("{prefix}_REDIRECT_URL"), &default)?,
        }))
    }

    fn needs_secret(&self) -> anyhow::Result<()> {
        let prefix = self.prefix;
        ensure!(
            self.client_secret.is_some(),
            "{prefix}_CLIENT_ID is set but {prefix}_CLIENT_SECRET is not; set both or neither"
        );
        Ok(())
    }

    fn provider(self, name: String, kind: ProviderKind) -> ProviderConfig {
        ProviderConfig {
            id: self.id.to_owned(),
            name,
            client_id: self.client_id,
            client_secret: self.client_secret,
            redirect_url: self.redirect_url,
            kind,
        }
    }
}

fn url(set: Variables<'_>, name: &str) -> anyhow::Result<Option<ProviderUrl>> {
    let text = set(name);
    let url = text.as_deref().map(ProviderUrl::parse).transpose();
    url.with_context(|| format!("{name} cannot be used"))
}

fn url_or(set: Variables<'_>, name: &str, default: &str) -> anyhow::Result<ProviderUrl> {
    match url(set, name)? {
        Some(url) => Ok(url),
        None => Ok(ProviderUrl::parse(default)?),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> anyhow::Result<SignInSettings> {
        SignInSettings::read(|name| {
            let found = pairs.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_provider_that_is_not_configured_is_not_offered() {
        assert!(read(&[]).unwrap().providers.is_empty());
        let settings = read(&[
            ("GOOGLE_CLIENT_ID", "id"),
            ("GOOGLE_CLIENT_SECRET", "secret"),
            ("DISCORD_CLIENT_ID", ""),
        ]);
        let settings = settings.unwrap();
        assert_eq!(settings.providers.len(), 1);
        let google = &settings.providers[0];
        assert_eq!(google.id, "google");
        assert_eq!(
            google.redirect_url.as_str(),
            "http://localhost:8080/api/auth/google/callback"
        );
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn every_address_can_be_set() {
        let settings = read(&[
            ("DISCORD_CLIENT_ID", "id"),
            ("DISCORD_CLIENT_SECRET", "secret"),
            (
                "DISCORD_REDIRECT_URL",
                "https://farm.example/api/auth/discord/callback",
            ),
            ("DISCORD_AUTH_URL", "http://127.0.0.1:1/auth"),
            ("DISCORD_TOKEN_URL", "http://127.0.0.1:1/token"),
            ("DISCORD_USER_URL", "http://127.0.0.1:1/user"),
            ("OIDC_CLIENT_ID", "id"),
            ("OIDC_ISSUER", "https://id.studio.example"),
            ("OIDC_NAME", "Studio"),
        ]);
        let providers = settings.unwrap().providers;
        let ids: Vec<&str> = providers
            .iter()
            .map(|provider| provider.id.as_str())
            .collect();
        assert_eq!(ids, ["discord", "oidc"]);
        let ProviderKind::Discord(discord) = &providers[0].kind else {
            panic!("not Discord");
        };
        assert_eq!(discord.user_url.as_str(), "http://127.0.0.1:1/user");
        let ProviderKind::Oidc(oidc) = &providers[1].kind else {
            panic!("not OIDC");
        };
        assert_eq!(oidc.identity_provider, "https://id.studio.example");
        assert_eq!(providers[1].name, "Studio");
    }

    #[test]
    fn a_test_users_password_must_be_as_good_as_anybodys() {
        let with = |password| {
            read(&[
                ("ENABLE_LOCAL_AUTH", "true"),
                ("LOCAL_TEST_EMAIL", "a@b"),
                ("LOCAL_TEST_PASSWORD", password),
            ])
        };
        let error = with("short").unwrap_err().to_string();
        assert!(
            error.contains("LOCAL_TEST_PASSWORD") && error.contains("8 characters"),
            "{error}"
        );
        assert!(with("long enough").unwrap().test_user.is_some());
    }

    #[test]
    fn half_a_configuration_says_what_is_missing() {
        for (pairs, missing) in [
            (&[("GOOGLE_CLIENT_ID", "x")][..], "GOOGLE_CLIENT_SECRET"),
            (&[("GOOGLE_CLIENT_SECRET", "x")][..], "GOOGLE_CLIENT_ID"),
            (&[("OIDC_CLIENT_ID", "x")][..], "OIDC_ISSUER"),
            (&[("OIDC_ISSUER", "https://x")][..], "OIDC_CLIENT_ID"),
            (
                &[
                    ("OIDC_CLIENT_ID", "x"),
                    ("OIDC_ISSUER", "http://idp.example"),
                ][..],
                "OIDC_ISSUER",
            ),
            (&[("LOCAL_TEST_EMAIL", "a@b")][..], "LOCAL_TEST_PASSWORD"),
        ] {
            let error = read(pairs).unwrap_err().to_string();
            assert!(error.contains(missing), "{error}");
        }
    }
}
