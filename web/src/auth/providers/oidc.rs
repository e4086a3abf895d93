//! OpenID Connect: where an issuer's addresses and keys are, and whose an ID token is.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;

use super::config::{OidcConfig, ProviderUrl};
use super::http::{ProviderError, ProviderHttp};
use super::id_token::{Claims, Expected, Profile, keys_for, verify};

/// How long an issuer's document and keys are good for.
const KEEP: Duration = Duration::from_secs(60 * 60);
/// A token signed with an unknown key makes us ask for the keys anew, no more often than this.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub(super) struct Endpoints {
    pub(super) auth: ProviderUrl,
    pub(super) token: ProviderUrl,
    jwks: ProviderUrl,
    userinfo: Option<ProviderUrl>,
    /// The issuer does not take the client's secret in the Authorization header.
    pub(super) secret_in_body: bool,
}

/// What the issuer publishes at `/.well-known/openid-configuration`.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct UserInfo {
    sub: String,
    #[serde(flatten)]
    profile: Profile,
}

/// One issuer, and what it last said of itself.
pub(super) struct Issuer {
    config: OidcConfig,
    endpoints: Mutex<Option<(Instant, Endpoints)>>,
    keys: Mutex<Option<(Instant, Arc<Vec<Jwk>>)>>,
}

impl Issuer {
    pub(super) fn new(config: OidcConfig) -> Self {
        Self {
            config,
            endpoints: Mutex::default(),
            keys: Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        self.config.issuer.as_str()
    }

    pub(super) fn identity_provider(&self) -> &str {
        &self.config.identity_provider
    }

    pub(super) async fn endpoints(&self, http: &ProviderHttp) -> Result<Endpoints, ProviderError> {
        let known = newest(&self.endpoints, KEEP);
        if let Some(endpoints) = known {
            return Ok(endpoints);
        }
        let endpoints = match self.configured_endpoints() {
            Some(endpoints) => endpoints,
            None => self.discover(http).await?,
        };
        *lock(&self.endpoints) = Some((Instant::now(), endpoints.clone()));
        Ok(endpoints)
    }

    fn configured_endpoints(&self) -> Option<Endpoints> {
        Some(Endpoints {
            auth: self.config.auth_url.clone()?,
            token: self.config.token_url.clone()?,
            jwks: self.config.jwks_url.clone()?,
            userinfo: None,
            secret_in_body: false,
        })
    }

    async fn discover(&self, http: &ProviderHttp) -> Result<Endpoints, ProviderError> {
        let issuer = self.name();
        let wrong = |why: String| ProviderError::Answer(issuer.to_owned(), why);
        let well_known = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        let url = |text: &str| ProviderUrl::parse(text).map_err(|error| wrong(error.to_string()));
        let document: Document = http.get_json(&url(&well_known)?, None).await?;
        if document.issuer != issuer {
            return Err(wrong(format!(
                "its document is of the issuer {}; configure the address exactly as the issuer writes it",
                document.issuer
            )));
        }
        let or_configured = |configured: &Option<ProviderUrl>, found: &str| match configured {
            Some(configured) => Ok(configured.clone()),
            None => url(found),
        };
        let methods = document.token_endpoint_auth_methods_supported;
        let takes = |method: &str| {
            let methods = methods.as_deref();
            methods.is_some_and(|methods| methods.iter().any(|known| known == method))
        };
        Ok(Endpoints {
            auth: or_configured(&self.config.auth_url, &document.authorization_endpoint)?,
            token: or_configured(&self.config.token_url, &document.token_endpoint)?,
            jwks: or_configured(&self.config.jwks_url, &document.jwks_uri)?,
            userinfo: document.userinfo_endpoint.as_deref().map(url).transpose()?,
            secret_in_body: takes("client_secret_post") && !takes("client_secret_basic"),
        })
    }

    /// Whose the token is, if it is valid.
    pub(super) async fn verified(
        &self,
        http: &ProviderHttp,
        token: &str,
        expected: Expected<'_>,
    ) -> Result<Claims, ProviderError> {
        let endpoints = self.endpoints(http).await?;
        let mut keys = self.keys(http, &endpoints, KEEP).await?;
        if keys_for(token, &keys)?.is_empty() {
            // The issuer may have new ones.
            keys = self.keys(http, &endpoints, ASK_AGAIN_AFTER).await?;
        }
        verify(token, &keys_for(token, &keys)?, expected)
    }

    async fn keys(
        &self,
        http: &ProviderHttp,
        endpoints: &Endpoints,
        max_age: Duration,
    ) -> Result<Arc<Vec<Jwk>>, ProviderError> {
        if let Some(keys) = newest(&self.keys, max_age) {
            return Ok(keys);
        }
        let set: KeySet = http.get_json(&endpoints.jwks, None).await?;
        // Keys of kinds that we do not know are none of ours.
        let keys = set.keys.into_iter();
        let keys: Vec<Jwk> = keys
            .filter_map(|key| serde_json::from_value(key).ok())
            .collect();
        let keys = Arc::new(keys);
        *lock(&self.keys) = Some((Instant::now(), Arc::clone(&keys)));
        Ok(keys)
    }

    /// What the token itself does not say, where the issuer has an address that does.
    pub(super) async fn userinfo(
        &self,
        http: &ProviderHttp,
        access_token: &str,
        subject: &str,
    ) -> Result<Profile, ProviderError> {
        let Some(address) = self.endpoints(http).await?.userinfo else {
            return Ok(Profile::default());
        };
        let info: UserInfo = http.get_json(&address, Some(access_token)).await?;
        if info.sub == subject {
            Ok(info.profile)
        } else {
            let why = "it tells of somebody else than the ID token".to_owned();
            Err(ProviderError::Answer(address.as_str().to_owned(), why))
        }
    }
}

fn newest<T: Clone>(known: &Mutex<Option<(Instant, T)>>, max_age: Duration) -> Option<T> {
    let known = lock(known);
    let (at, value) = known.as_ref()?;
    (at.elapsed() < max_age).then(|| value.clone())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds it")
}
