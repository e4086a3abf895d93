//! Sign-in with a provider: OAuth 2 with PKCE, and OpenID Connect where the provider speaks it.
//!
//! [`config`] says which providers there are. A browser is sent there by [`Provider::start`] and
//! comes back with a code, for which [`Provider::finish`] finds out who it is: by an [`id_token`]
//! of an [`oidc`] issuer, or by asking Discord.

mod config;
mod http;
mod id_token;
mod oidc;

use jiggablend_raft::Identity;
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
    BasicTokenType,
};
use oauth2::{
    AuthType, AuthUrl, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken,
    EndpointNotSet, EndpointSet, ExtraTokenFields, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, Scope, StandardRevocableToken, StandardTokenResponse, TokenResponse, TokenUrl,
};
use serde::{Deserialize, Serialize};

pub use config::{
    DiscordConfig, OidcConfig, ProviderConfig, ProviderKind, ProviderUrl, ProviderUrlError,
};
pub(crate) use http::ProviderError;
use http::ProviderHttp;
use id_token::{Expected, Profile};
use oidc::Issuer;

const MAX_SUBJECT_CHARS: usize = 255;
/// The provider's id, as the configuration names it.
const GOOGLE: &str = "google";

/// The providers of this node.
pub(crate) struct Providers {
    http: ProviderHttp,
    providers: Vec<Provider>,
}

pub(crate) struct Provider {
    pub(crate) id: String,
    pub(crate) name: String,
    client_id: String,
    client_secret: Option<String>,
    redirect_url: ProviderUrl,
    kind: Kind,
}

enum Kind {
    Oidc(Box<Issuer>),
    Discord(Box<DiscordConfig>),
}

/// What belongs to one sign-in and is known to the browser alone until it is back.
pub(crate) struct SignInSecrets {
    pub(crate) pkce_verifier: String,
    pub(crate) nonce: String,
}

/// Who somebody is, in the provider's words.
#[derive(Debug)]
pub(crate) struct ExternalAccount {
    pub(crate) identity: Identity,
    pub(crate) name: String,
    /// Only where the provider says that it is verified.
    pub(crate) email: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct IdTokenFields {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdTokenFields {}

type OauthClient = Client<
    BasicErrorResponse,
    StandardTokenResponse<IdTokenFields, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

#[derive(Deserialize)]
struct DiscordUser {
    id: String,
    username: String,
    global_name: Option<String>,
    email: Option<String>,
    verified: Option<bool>,
}

impl Providers {
    pub(crate) fn new(configs: Vec<ProviderConfig>) -> Self {
        let providers = configs.into_iter().map(Provider::new).collect();
        Self {
            http: ProviderHttp::default(),
            providers,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Provider> {
        self.providers.iter()
    }

    /// Who vouches for that identity, if this node has that provider.
    pub(crate) fn of_identity(&self, identity: &Identity) -> Option<&Provider> {
        self.iter()
            .find(|provider| provider.identity_provider() == identity.provider)
    }

    pub(crate) fn get(&self, id: &str) -> Option<&Provider> {
        self.iter().find(|provider| provider.id == id)
    }

    /// The address to send the browser to.
    pub(crate) async fn start(
        &self,
        provider: &Provider,
        state: String,
        secrets: &SignInSecrets,
    ) -> Result<String, ProviderError> {
        let client = provider.client(&self.http).await?;
        let verifier = PkceCodeVerifier::new(secrets.pkce_verifier.clone());
        let scopes: &[&str] = match provider.kind {
            Kind::Oidc(_) => &["openid", "email", "profile"],
            Kind::Discord(_) => &["identify", "email"],
        };
        let mut request = client
            .authorize_url(|| CsrfToken::new(state))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier))
            .add_scopes(scopes.iter().map(|scope| Scope::new((*scope).to_owned())));
        if matches!(provider.kind, Kind::Oidc(_)) {
            request = request.add_extra_param("nonce", secrets.nonce.clone());
        }
        Ok(request.url().0.to_string())
    }

    /// Who the browser came back as.
    pub(crate) async fn finish(
        &self,
        provider: &Provider,
        code: String,
        secrets: SignInSecrets,
    ) -> Result<ExternalAccount, ProviderError> {
        let client = provider.client(&self.http).await?;
        let answer = client
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(PkceCodeVerifier::new(secrets.pkce_verifier))
            .request_async(&self.http)
            .await
            .map_err(|error| ProviderError::Exchange(exchange_failure(&error)))?;
        let access_token = answer.access_token().secret();
        let (subject, profile) = match &provider.kind {
            Kind::Oidc(issuer) => {
                let token = answer.extra_fields().id_token.as_deref();
                let token =
                    token.ok_or_else(|| ProviderError::IdToken("there is none".to_owned()))?;
                let expected = Expected {
                    issuer: issuer.name(),
                    client_id: &provider.client_id,
                    nonce: &secrets.nonce,
                };
                let claims = issuer.verified(&self.http, token, expected).await?;
                let mut profile = claims.profile;
                if profile.email.is_none() {
                    let more = issuer.userinfo(&self.http, access_token, &claims.sub);
                    profile = more.await?;
                }
                (claims.sub, profile)
            }
            Kind::Discord(discord) => {
                let asking = self.http.get_json(&discord.user_url, Some(access_token));
                let user: DiscordUser = asking.await?;
                user.into_profile()
            }
        };
        provider.account(subject, profile)
    }
}

impl Provider {
    fn new(config: ProviderConfig) -> Self {
        Self {
            id: config.id,
            name: config.name,
            client_id: config.client_id,
            client_secret: config.client_secret,
            redirect_url: config.redirect_url,
            kind: match config.kind {
                ProviderKind::Oidc(oidc) => Kind::Oidc(Box::new(Issuer::new(oidc))),
                ProviderKind::Discord(discord) => Kind::Discord(Box::new(discord)),
            },
        }
    }

    /// How it says who somebody is: `oidc` or `discord`.
    pub(crate) fn kind(&self) -> &'static str {
        match self.kind {
            Kind::Oidc(_) => "oidc",
            Kind::Discord(_) => "discord",
        }
    }

    /// The issuer's name, where the provider has one.
    pub(crate) fn issuer(&self) -> Option<&str> {
        match &self.kind {
            Kind::Oidc(issuer) => Some(issuer.name()),
            Kind::Discord(_) => None,
        }
    }

    /// The `provider` of the identities that it vouches for.
    pub(crate) fn identity_provider(&self) -> &str {
        match &self.kind {
            Kind::Oidc(issuer) => issuer.identity_provider(),
            Kind::Discord(_) => &self.id,
        }
    }

    async fn client(&self, http: &ProviderHttp) -> Result<OauthClient, ProviderError> {
        let (auth, token, secret_in_body) = match &self.kind {
            Kind::Oidc(issuer) => {
                let endpoints = issuer.endpoints(http).await?;
                (endpoints.auth, endpoints.token, endpoints.secret_in_body)
            }
            Kind::Discord(discord) => (discord.auth_url.clone(), discord.token_url.clone(), false),
        };
        let auth_type = if secret_in_body {
            AuthType::RequestBody
        } else {
            AuthType::BasicAuth
        };
        let client = Client::new(ClientId::new(self.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(auth.url().clone()))
            .set_token_uri(TokenUrl::from_url(token.url().clone()))
            .set_redirect_uri(RedirectUrl::from_url(self.redirect_url.url().clone()))
            .set_auth_type(auth_type);
        Ok(match self.client_secret.clone() {
            Some(secret) => client.set_client_secret(ClientSecret::new(secret)),
            None => client,
        })
    }

    /// Anybody makes an account at these two with somebody else's address and name. An issuer of a
    /// studio's own knows its people, whatever it says of their addresses.
    fn must_verify_address(&self) -> bool {
        match &self.kind {
            Kind::Discord(_) => true,
            Kind::Oidc(_) => self.id == GOOGLE,
        }
    }

    fn account(&self, subject: String, profile: Profile) -> Result<ExternalAccount, ProviderError> {
        if subject.is_empty() || subject.chars().count() > MAX_SUBJECT_CHARS {
            let why = "the subject is empty or too long".to_owned();
            return Err(ProviderError::Answer(self.name.clone(), why));
        }
        let is_verified = profile.email_verified == serde_json::Value::Bool(true);
        if !is_verified && self.must_verify_address() {
            return Err(ProviderError::AddressNotVerified(self.name.clone()));
        }
        let email = profile.email.filter(|_| is_verified);
        // A name is shown to others; an address is not.
        let before_at = email.as_deref().and_then(|email| email.split('@').next());
        let before_at = before_at.map(str::to_owned);
        let names = [profile.name, profile.preferred_username, before_at];
        let name = names
            .into_iter()
            .flatten()
            .find(|name| !name.trim().is_empty());
        Ok(ExternalAccount {
            identity: Identity {
                provider: self.identity_provider().to_owned(),
                subject,
            },
            name: name.unwrap_or_else(|| format!("{} account", self.name)),
            email,
        })
    }
}

impl DiscordUser {
    fn into_profile(self) -> (String, Profile) {
        let profile = Profile {
            name: self.global_name,
            preferred_username: Some(self.username),
            email: self.email,
            email_verified: self.verified.unwrap_or_default().into(),
        };
        (self.id, profile)
    }
}

fn exchange_failure<RE, T>(error: &oauth2::RequestTokenError<RE, T>) -> String
where
    RE: std::error::Error + 'static,
    T: oauth2::ErrorResponse + 'static,
{
    match error {
        oauth2::RequestTokenError::ServerResponse(answer) => format!("{answer:?}"),
        oauth2::RequestTokenError::Request(error) => error.to_string(),
        other => other.to_string(),
    }
}
