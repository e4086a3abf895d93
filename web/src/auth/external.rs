//! Sign-in with a provider: the browser goes there, comes back, and has a session.
//!
//! What began is in the job log, so that it can end at another node; it can end once, within ten
//! minutes, in the browser in which it began.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::CookieJar;
use jiggablend_raft::{
    Action, Actor, NewCredential, PendingSignIn, ProposeError, Refusal, SecretHash, TimestampMs,
    UserId,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::limits::{Door, Try};
use super::local::invitation_hash;
use super::providers::{ExternalAccount, Provider, ProviderError};
use super::sessions;
use super::sign_in_cookie::{SIGN_IN_LIFE, SignInSecret, ended};
use crate::access::{Caller, new_secret, refuse_cross_site};
use crate::app::App;
use crate::connections::Connection;
use crate::path::ApiPath;
use crate::problem::{Problem, ProblemKind};
use crate::query::ApiQuery;

const MAX_RETURN_TO_BYTES: usize = 2000;
const MAX_PARAMETER_BYTES: usize = 4096;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginQuery {
    /// Where the page goes on afterwards: an address on this node, like `/#/jobs`.
    return_to: Option<String>,
    /// `jbi_…`, where the farm's registration needs one.
    invitation: Option<String>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LinkQuery {
    /// Where the page goes on afterwards.
    return_to: Option<String>,
}

/// Sends the browser to the provider, to sign in or to make an account.
#[utoipa::path(
    get, path = "/api/auth/{provider}/login", tag = "providers",
    params(("provider" = String, Path), LoginQuery),
    responses((status = 303, description = "The provider's address", headers(("location" = String)))),
)]
pub(crate) async fn login(
    State(app): State<App>,
    Extension(connection): Extension<Connection>,
    jar: CookieJar,
    ApiPath(provider): ApiPath<String>,
    ApiQuery(query): ApiQuery<LoginQuery>,
) -> Result<Response, Problem> {
    let start = Start {
        actor: Actor::Node(app.config.node),
        link_to: None,
        invitation: query.invitation.as_deref().map(invitation_hash),
        return_to: query.return_to,
    };
    start.send(&app, &provider, &connection, jar).await
}

/// Sends the browser to the provider, to sign in with it from now on too.
#[utoipa::path(
    get, path = "/api/auth/{provider}/link", tag = "providers",
    params(("provider" = String, Path), LinkQuery),
    responses((status = 303, description = "The provider's address", headers(("location" = String)))),
)]
pub(crate) async fn link(
    State(app): State<App>,
    Extension(connection): Extension<Connection>,
    jar: CookieJar,
    headers: HeaderMap,
    caller: Caller,
    ApiPath(provider): ApiPath<String>,
    ApiQuery(query): ApiQuery<LinkQuery>,
) -> Result<Response, Problem> {
    // A link of another site must not begin it, though it is a GET.
    refuse_cross_site(&headers, connection.host.as_deref())?;
    let start = Start {
        actor: caller.actor(),
        link_to: caller.user(),
        invitation: None,
        return_to: query.return_to,
    };
    start.send(&app, &provider, &connection, jar).await
}

/// A sign-in that is about to begin.
struct Start {
    actor: Actor,
    link_to: Option<UserId>,
    invitation: Option<SecretHash>,
    return_to: Option<String>,
}

impl Start {
    async fn send(
        self,
        app: &App,
        provider: &str,
        connection: &Connection,
        jar: CookieJar,
    ) -> Result<Response, Problem> {
        let provider = known_provider(app, provider)?;
        let return_to = self.return_to.unwrap_or_else(|| "/".to_owned());
        if !is_local_path(&return_to) {
            let why = "return_to must be a path on this node, like /#/jobs";
            return Err(Problem::new(ProblemKind::InvalidRequest, why));
        }
        let tries = [Try::from_address(app, Door::Provider, connection.address)?];
        app.attempt(&tries).await?;
        let secret = SignInSecret::new();
        let state = new_secret();
        // Before the log has it: a provider that is down leaves nothing behind.
        let address = app
            .providers
            .start(provider, state.clone(), &secret.secrets(&state))
            .await
            .map_err(|error| provider_failed(provider, &error))?;
        let started = Action::SignInStarted {
            state: SecretHash::of(state.as_bytes()),
            binding: secret.binding(),
            provider: provider.id.clone(),
            link_to: self.link_to,
            invitation: self.invitation,
            return_to,
            expires_at: TimestampMs::now().plus(SIGN_IN_LIFE),
        };
        app.propose_from(self.actor, connection.address, started)
            .await?;
        let jar = jar.add(secret.cookie(connection.over_tls));
        Ok((jar, Redirect::to(&address)).into_response())
    }
}

fn known_provider<'a>(app: &'a App, id: &str) -> Result<&'a Provider, Problem> {
    app.providers.get(id).ok_or_else(|| {
        let why = "this node has no such provider; GET /api/auth/providers lists them";
        Problem::new(ProblemKind::UnknownProvider, why)
    })
}

fn provider_failed(provider: &Provider, error: &ProviderError) -> Problem {
    tracing::warn!(provider = provider.id, %error, "a sign-in with a provider failed");
    let why = format!(
        "{} did not say who you are; try again, or ask an admin to look at this node's log",
        provider.name
    );
    Problem::new(ProblemKind::ProviderFailed, why)
}

/// Nothing that a browser takes for another host: `//host`, `/\host`, or one of these behind
/// characters that browsers leave out.
fn is_local_path(text: &str) -> bool {
    let is_short = text.len() <= MAX_RETURN_TO_BYTES;
    let is_clean = text
        .chars()
        .all(|char| char.is_ascii_graphic() && char != '\\');
    is_short && is_clean && text.starts_with('/') && !text.starts_with("//")
}

/// What a provider sends the browser back with; some say more, which does not matter.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CallbackQuery {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    /// The issuer, where the provider says so (RFC 9207).
    iss: Option<String>,
}

/// Takes the browser back from the provider: sets the session cookie and goes on with the page.
/// Where it fails, the page is told by `?error=` with the problem's name; a client that asks for
/// JSON gets the problem.
#[utoipa::path(
    get, path = "/api/auth/{provider}/callback", tag = "providers",
    params(("provider" = String, Path), CallbackQuery),
    responses((status = 303, description = "The page", headers(("location" = String)))),
)]
pub(crate) async fn callback(
    State(app): State<App>,
    Extension(connection): Extension<Connection>,
    jar: CookieJar,
    headers: HeaderMap,
    caller: Option<Extension<Caller>>,
    ApiPath(provider): ApiPath<String>,
    ApiQuery(query): ApiQuery<CallbackQuery>,
) -> Response {
    let back = Back {
        app: &app,
        connection: &connection,
        headers: &headers,
        caller: caller.as_deref(),
    };
    let secret = SignInSecret::of(&jar, connection.over_tls);
    let jar = jar.add(ended(connection.over_tls));
    match back.finish(&provider, query, secret).await {
        Ok(Finished { cookie, return_to }) => {
            let jar = match cookie {
                Some(cookie) => jar.add(cookie),
                None => jar,
            };
            (jar, Redirect::to(&return_to)).into_response()
        }
        Err(problem) if wants_json(&headers) => problem.into_response(),
        Err(problem) => {
            let page = format!("/?error={}", problem.kind().name());
            (jar, Redirect::to(&page)).into_response()
        }
    }
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT);
    let accept = accept.and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("json") && !accept.contains("text/html"))
}

/// A browser that is back.
struct Back<'a> {
    app: &'a App,
    connection: &'a Connection,
    headers: &'a HeaderMap,
    caller: Option<&'a Caller>,
}

struct Finished {
    /// Of a new session; none where an identity was linked.
    cookie: Option<axum_extra::extract::cookie::Cookie<'static>>,
    return_to: String,
}

impl Back<'_> {
    async fn finish(
        &self,
        provider: &str,
        query: CallbackQuery,
        secret: Option<SignInSecret>,
    ) -> Result<Finished, Problem> {
        let provider = known_provider(self.app, provider)?;
        let tries = [Try::from_address(
            self.app,
            Door::Provider,
            self.connection.address,
        )?];
        self.app.attempt(&tries).await?;
        let state = query
            .state
            .filter(|state| state.len() <= MAX_PARAMETER_BYTES);
        let (Some(secret), Some(state)) = (secret, state) else {
            return Err(expired());
        };
        let pending = self.pending(provider, &state, &secret).await?;
        self.spend(&state).await?;
        if query.error.is_some() {
            let why = "the provider did not sign you in; nothing was changed";
            return Err(Problem::new(ProblemKind::SignInRefused, why));
        }
        let is_other_issuer = query
            .iss
            .as_deref()
            .is_some_and(|issuer| provider.issuer().is_some_and(|expected| expected != issuer));
        let code = query.code.filter(|code| code.len() <= MAX_PARAMETER_BYTES);
        let (false, Some(code)) = (is_other_issuer, code) else {
            let why = "the provider's answer is not one to this sign-in; begin again";
            return Err(Problem::new(ProblemKind::ProviderFailed, why));
        };
        let account = self
            .app
            .providers
            .finish(provider, code, secret.secrets(&state))
            .await
            .map_err(|error| not_finished(provider, &error))?;
        let cookie = match pending.link_to {
            Some(user) => {
                self.link(user, account).await?;
                None
            }
            None => Some(self.sign_in(account, pending.invitation).await?),
        };
        self.app.succeeded(&tries);
        Ok(Finished {
            cookie,
            return_to: pending.return_to,
        })
    }

    /// What began with that state, in this browser, with this provider.
    async fn pending(
        &self,
        provider: &Provider,
        state: &str,
        secret: &SignInSecret,
    ) -> Result<PendingSignIn, Problem> {
        let state = SecretHash::of(state.as_bytes());
        let known = || self.app.log.read(|log| log.sign_ins.get(&state).cloned());
        let mut pending = known();
        if pending.is_none() {
            // It may have begun at another node just now.
            self.app.caught_up().await;
            pending = known();
        }
        let now = TimestampMs::now();
        let is_good = |pending: &PendingSignIn| {
            pending.expires_at > now
                && pending.provider == provider.id
                && pending.binding == secret.binding()
        };
        pending.filter(is_good).ok_or_else(expired)
    }

    /// Of two browsers that come back with the same state, one gets through.
    async fn spend(&self, state: &str) -> Result<(), Problem> {
        let finished = Action::SignInFinished {
            state: SecretHash::of(state.as_bytes()),
        };
        let node = Actor::Node(self.app.config.node);
        let spent = self
            .app
            .propose_from(node, self.connection.address, finished);
        match spent.await {
            Ok(_) => Ok(()),
            Err(ProposeError::Refused(Refusal::NotFound(_))) => Err(expired()),
            Err(error) => Err(error.into()),
        }
    }

    async fn link(&self, user: UserId, account: ExternalAccount) -> Result<(), Problem> {
        // Whoever began it must still be who is here.
        let caller = self.caller.filter(|caller| caller.user() == Some(user));
        let caller = caller.ok_or_else(expired)?;
        let linked = Action::IdentityLinked {
            user,
            identity: account.identity,
        };
        match self.app.propose(caller, linked).await {
            Ok(_) => Ok(()),
            Err(ProposeError::Refused(Refusal::Conflict(_))) => {
                let why = "that account at the provider belongs to another user of this farm; sign in with it, or take another one";
                Err(Problem::new(ProblemKind::IdentityTaken, why))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn sign_in(
        &self,
        account: ExternalAccount,
        invitation: Option<SecretHash>,
    ) -> Result<axum_extra::extract::cookie::Cookie<'static>, Problem> {
        let known = |identity| {
            let user = self.app.log.read(|state| {
                let user = state.user_by_identity(identity);
                user.map(|user| (user.id, user.disabled))
            });
            match user {
                Some((_, true)) => Err(Problem::account_disabled()),
                Some((user, false)) => Ok(Some(user)),
                None => Ok(None),
            }
        };
        let identity = account.identity.clone();
        let user = match known(&identity)? {
            Some(user) => user,
            None => match self.register(account, invitation).await {
                Ok(user) => user,
                // It registered at another node meanwhile.
                Err(ProposeError::Refused(Refusal::Conflict(_))) => {
                    known(&identity)?.ok_or_else(expired)?
                }
                Err(ProposeError::Refused(Refusal::NotAllowed(why))) => {
                    return Err(Problem::new(ProblemKind::RegistrationRefused, why));
                }
                Err(error) => return Err(error.into()),
            },
        };
        let beginning = sessions::begin(self.app, user, self.connection, self.headers, self.caller);
        let (_, cookie) = beginning.await?;
        Ok(cookie)
    }

    async fn register(
        &self,
        account: ExternalAccount,
        invitation: Option<SecretHash>,
    ) -> Result<UserId, ProposeError> {
        let user = UserId::new();
        let registered = Action::UserRegistered {
            user,
            name: account.name,
            email: account.email,
            credential: NewCredential::External(account.identity),
            invitation,
        };
        self.app
            .propose_from(Actor::User(user), self.connection.address, registered)
            .await?;
        Ok(user)
    }
}

fn not_finished(provider: &Provider, error: &ProviderError) -> Problem {
    match error {
        ProviderError::AddressNotVerified(_) => {
            let why = "the provider does not say that your e-mail address is verified; verify it there and sign in again";
            Problem::new(ProblemKind::SignInRefused, why)
        }
        error => provider_failed(provider, error),
    }
}

fn expired() -> Problem {
    Problem::new(
        ProblemKind::SignInExpired,
        "this sign-in did not begin in this browser within the last ten minutes, or it is over; begin again",
    )
}

/// Signs in with that provider no longer. Refused where it is the last way to sign in.
#[utoipa::path(
    delete, path = "/api/auth/identities/{provider}", tag = "providers",
    params(("provider" = String, Path)),
    responses((status = 204, description = "It is unlinked")),
)]
pub(crate) async fn unlink(
    State(app): State<App>,
    caller: Caller,
    ApiPath(provider): ApiPath<String>,
) -> Result<StatusCode, Problem> {
    let user = caller.user().ok_or_else(Problem::not_signed_in)?;
    let configured = app.providers.get(&provider);
    let provider = configured.map_or(provider.as_str(), Provider::identity_provider);
    let identity = app.log.read(|state| {
        let mut identities = state.users.get(&user)?.identities.iter();
        identities
            .find(|identity| identity.provider == provider)
            .cloned()
    });
    let identity = identity.ok_or_else(|| {
        let why = "you have no identity at that provider; GET /api/auth/me lists yours";
        Problem::new(ProblemKind::NotFound, why)
    })?;
    app.propose(&caller, Action::IdentityUnlinked { user, identity })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_on_this_node_are_returned_to() {
        for good in ["/", "/#/jobs", "/jobs?q=a%20b#x"] {
            assert!(is_local_path(good), "{good}");
        }
        for bad in [
            "",
            "jobs",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/ /x",
            "javascript:alert(1)",
        ] {
            assert!(!is_local_path(bad), "{bad:?}");
        }
        assert!(!is_local_path(&format!("/{}", "x".repeat(2000))));
    }
}
