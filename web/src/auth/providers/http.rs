//! Calls to providers: no redirects, a time limit, and no more of an answer than it may have.

use std::time::Duration;

use futures::future::BoxFuture;
use oauth2::AsyncHttpClient;
use oauth2::http::{Method, Request, Response, header};
use serde::de::DeserializeOwned;
use tokio::sync::OnceCell;

use super::config::ProviderUrl;

/// For one call, from the connection to the last byte.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Why a provider could not say who somebody is. For the node's log; users are told less.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProviderError {
    #[error("cannot call {0}: {1}")]
    Unreachable(String, String),
    #[error("{0} answered {1}")]
    Status(String, u16),
    #[error("{0} answered something else than expected: {1}")]
    Answer(String, String),
    #[error("the code was not exchanged: {0}")]
    Exchange(String),
    #[error("the ID token is not valid: {0}")]
    IdToken(String),
    #[error("{0} does not say that the e-mail address is verified")]
    AddressNotVerified(String),
}

#[derive(Default)]
pub(super) struct ProviderHttp {
    client: OnceCell<reqwest::Client>,
}

impl ProviderHttp {
    pub(super) async fn send(
        &self,
        request: Request<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>, ProviderError> {
        let address = request.uri().to_string();
        // An issuer's document may name any address.
        let unreachable = |why: String| ProviderError::Unreachable(shown(&address), why);
        ProviderUrl::parse(&address).map_err(|error| unreachable(error.to_string()))?;
        let client = self
            .client()
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        let request = reqwest::Request::try_from(request)
            .map_err(|error| unreachable(error.without_url().to_string()))?;
        let mut answer = client
            .execute(request)
            .await
            .map_err(|error| unreachable(chain(&error.without_url())))?;
        let mut body = Vec::new();
        loop {
            let chunk = answer.chunk().await;
            let chunk = chunk.map_err(|error| unreachable(chain(&error.without_url())))?;
            let Some(chunk) = chunk else { break };
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(unreachable("the answer is too long".to_owned()));
            }
            body.extend_from_slice(&chunk);
        }
        let mut response = Response::new(body);
        *response.status_mut() = answer.status();
        std::mem::swap(response.headers_mut(), answer.headers_mut());
        Ok(response)
    }

    /// Reads JSON, with the access token where the address asks for one.
    pub(super) async fn get_json<T: DeserializeOwned>(
        &self,
        address: &ProviderUrl,
        access_token: Option<&str>,
    ) -> Result<T, ProviderError> {
        let address = address.url().as_str();
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(address)
            .header(header::ACCEPT, "application/json");
        if let Some(token) = access_token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let wrong = |why: String| ProviderError::Answer(shown(address), why);
        let request = request
            .body(Vec::new())
            .map_err(|error| wrong(error.to_string()))?;
        let answer = self.send(request).await?;
        if !answer.status().is_success() {
            let status = answer.status().as_u16();
            return Err(ProviderError::Status(shown(address), status));
        }
        serde_json::from_slice(answer.body()).map_err(|error| wrong(error.to_string()))
    }

    async fn client(&self) -> Result<&reqwest::Client, reqwest::Error> {
        self.client
            .get_or_try_init(async || {
                reqwest::Client::builder()
                    .redirect(reqwest::redirect::Policy::none())
                    .timeout(CALL_TIMEOUT)
                    .user_agent(concat!("JiggaBlend/", env!("CARGO_PKG_VERSION")))
                    .build()
            })
            .await
    }
}

impl<'c> AsyncHttpClient<'c> for ProviderHttp {
    type Error = ProviderError;
    type Future = BoxFuture<'c, Result<Response<Vec<u8>>, ProviderError>>;

    fn call(&'c self, request: Request<Vec<u8>>) -> Self::Future {
        Box::pin(self.send(request))
    }
}

/// An address without its query, in which secrets may be.
fn shown(address: &str) -> String {
    let bare = address.split(['?', '#']).next().unwrap_or_default();
    bare.chars().take(200).collect()
}

/// The error and what it came from, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::response::Redirect;
    use axum::routing::any;
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_provider_sends_the_node_nowhere_else() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let followed = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&followed);
        let router = Router::new()
            .route(
                "/temporary",
                any(|| async { Redirect::temporary("/inside") }),
            )
            .route("/see-other", any(|| async { Redirect::to("/inside") }))
            .route(
                "/permanent",
                any(|| async { Redirect::permanent("/inside") }),
            )
            .route(
                "/inside",
                any(move || async move {
                    counting.fetch_add(1, Ordering::Relaxed);
                    "{}"
                }),
            );
        let serving = tokio::spawn(async move { axum::serve(listener, router).await });
        let http = ProviderHttp::default();
        let ask = async |path: &str| {
            let address = ProviderUrl::parse(&format!("{base}{path}")).unwrap();
            http.get_json::<serde_json::Value>(&address, Some("token"))
                .await
        };
        for (path, status) in [
            ("/temporary", 307),
            ("/see-other", 303),
            ("/permanent", 308),
        ] {
            let answer = ask(path).await;
            let is_its_status =
                matches!(&answer, Err(ProviderError::Status(_, got)) if *got == status);
            assert!(is_its_status, "{path}: {answer:?}");
        }
        assert_eq!(followed.load(Ordering::Relaxed), 0);
        assert!(
            ask("/inside").await.is_ok(),
            "it is there, had it been asked"
        );
        serving.abort();
    }
}
