//! Signing in with an e-mail address and a password: a session that lives for as long as it takes
//! to make a token.

use reqwest::header::{COOKIE, HeaderMap, SET_COOKIE};
use reqwest::{Method, RequestBuilder};
use serde_json::json;
use uuid::Uuid;

use super::login::token_name;
use crate::cli::CliError;
use crate::cli::api_types::NewToken;
use crate::cli::client::{AttemptError, CALL_TIMEOUT, Client, good_answer, send, whole_body};

const TOKEN_LIFE_SECONDS: u64 = 90 * 24 * 60 * 60;
/// With a prefix before it where the node speaks TLS.
const COOKIE_NAME: &str = "jiggablend_session";

pub async fn sign_in(client: &Client, email: &str, password: &str) -> Result<NewToken, CliError> {
    let session = begin_session(client, email, password).await?;
    let token = make_token(client, &session).await;
    // It ends by itself too, in a week.
    let _ = client
        .on_some_node(async |url| {
            let request = client.request(Method::POST, url, "/api/auth/logout");
            let response = send(url, with_session(request, &session)).await?;
            good_answer(url, response, false).await.map(drop)
        })
        .await;
    token
}

/// The session's cookie, as `NAME=VALUE`.
async fn begin_session(client: &Client, email: &str, password: &str) -> Result<String, CliError> {
    let body = json!({"email": email, "password": password});
    client
        .on_some_node(async |url| {
            let request = client
                .request(Method::POST, url, "/api/auth/login")
                .timeout(CALL_TIMEOUT)
                .json(&body);
            let response = good_answer(url, send(url, request).await?, false).await?;
            session_of(response.headers()).ok_or_else(|| {
                let reason = "signed in, but gave no session".to_owned();
                let url = url.to_owned();
                AttemptError::Final(CliError::Node { url, reason })
            })
        })
        .await
}

fn session_of(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(SET_COOKIE)
        .iter()
        .filter_map(|cookie| cookie.to_str().ok())
        .filter_map(|cookie| cookie.split(';').next())
        .find(|cookie| {
            let name = cookie.split('=').next().unwrap_or_default();
            name.trim().ends_with(COOKIE_NAME)
        })
        .map(|cookie| cookie.trim().to_owned())
}

fn with_session(request: RequestBuilder, session: &str) -> RequestBuilder {
    request.timeout(CALL_TIMEOUT).header(COOKIE, session)
}

async fn make_token(client: &Client, session: &str) -> Result<NewToken, CliError> {
    let key = Uuid::new_v4().to_string();
    // `admin` is for one's own account too: without it the token could not revoke itself. The
    // farm is run by those only who are admins besides.
    let body = json!({
        "name": token_name(), "scopes": ["read", "jobs", "admin"],
        "ttl_seconds": TOKEN_LIFE_SECONDS,
    });
    client
        .on_some_node(async |url| {
            let request = client
                .request(Method::POST, url, "/api/tokens")
                .header("Idempotency-Key", &key)
                .json(&body);
            let response = send(url, with_session(request, session)).await?;
            let body = whole_body(url, response, false).await?;
            serde_json::from_slice(&body).map_err(|error| {
                let reason = format!("made a token that makes no sense: {error}");
                let url = url.to_owned();
                AttemptError::Final(CliError::Node { url, reason })
            })
        })
        .await
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn the_session_is_found_among_cookies_with_and_without_tls() {
        let headers = |cookies: &[&'static str]| -> HeaderMap {
            let pair = |cookie| (SET_COOKIE, HeaderValue::from_static(cookie));
            cookies.iter().copied().map(pair).collect()
        };
        let plain = headers(&["other=1; Path=/", "jiggablend_session=ab; HttpOnly; Path=/"]);
        assert_eq!(session_of(&plain).as_deref(), Some("jiggablend_session=ab"));
        let tls = headers(&["__Host-jiggablend_session=ab; Secure"]);
        let cookie = session_of(&tls);
        assert_eq!(cookie.as_deref(), Some("__Host-jiggablend_session=ab"));
        assert_eq!(session_of(&headers(&["other=1"])), None);
    }
}
