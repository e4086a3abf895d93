//! Signing in with a provider: each line of the attack list that is about it.

use jiggablend_raft::{Action, Registration, SecretHash, Settings, TimestampMs};
use oauth2::url::Url;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::node::*;
use super::provider::{CLIENT_ID, TestProvider};

/// What the provider would be told if the farm believed the Host header.
const PUBLIC: &str = "http://localhost:8080";

async fn farm_with(provider: &TestProvider, registration: Registration) -> TestNode {
    let node = TestNode::start_with(Setup {
        providers: vec![provider.config("oidc", PUBLIC)],
        ..Setup::default()
    })
    .await;
    let settings = Settings {
        registration,
        ..Settings::default()
    };
    node.propose(Action::SettingsChanged { settings }).await;
    node
}

async fn location(request: reqwest::RequestBuilder) -> String {
    let response = request.send().await.unwrap();
    let status = response.status();
    let location = response
        .headers()
        .get("location")
        .map(|to| to.to_str().unwrap().to_owned());
    let text = response.text().await.unwrap();
    assert_eq!(status, StatusCode::SEE_OTHER, "{text}");
    location.unwrap()
}

/// Begins a sign-in; answers the address at the provider.
async fn begin(browser: &Client, query: &str) -> Url {
    let path = format!("/api/auth/oidc/login{query}");
    let to = location(browser.request(Method::GET, &path)).await;
    to.parse().unwrap()
}

fn state_of(address: &Url) -> String {
    let mut pairs = address.query_pairs();
    pairs
        .find(|(name, _)| name == "state")
        .unwrap()
        .1
        .into_owned()
}

/// Comes back from the provider; answers where the page goes on.
async fn come_back(browser: &Client, address: &Url, code: &str) -> String {
    let state = state_of(address);
    let path = format!("/api/auth/oidc/callback?code={code}&state={state}");
    location(browser.request(Method::GET, &path)).await
}

async fn sign_in(browser: &Client, provider: &TestProvider, subject: &str) -> String {
    let address = begin(browser, "").await;
    let code = provider.approve(&address, subject, |_| {});
    come_back(browser, &address, &code).await
}

async fn me(client: &Client) -> Value {
    let (status, me) = client.get("/api/auth/me").await;
    assert_eq!(status, StatusCode::OK, "{me}");
    me
}

#[tokio::test]
async fn who_comes_from_a_provider_has_an_account_and_a_session_and_comes_back_to_the_page() {
    let provider = TestProvider::start().await;
    let node = farm_with(&provider, Registration::Open).await;
    let (_, offered) = node.client().get("/api/auth/providers").await;
    let expected = json!([{"id": "oidc", "name": "Test", "kind": "oidc"}]);
    assert_eq!(offered["providers"], expected);

    let browser = node.browser();
    let address = begin(&browser, "?return_to=/%23/jobs").await;
    let code = provider.approve(&address, "grace", |_| {});
    assert_eq!(come_back(&browser, &address, &code).await, "/#/jobs");
    let first = me(&browser).await;
    assert_eq!(first["user"]["name"], "Grace");
    assert_eq!(first["user"]["role"], "member");
    assert_eq!(first["has_password"], false);
    assert_eq!(first["identities"][0]["provider"], "oidc");

    // The same identity is the same account, whatever its address is by now.
    let other_browser = node.browser();
    let address = begin(&other_browser, "").await;
    let code = provider.approve(&address, "grace", |claims| {
        claims["email"] = json!("another@example.org");
    });
    assert_eq!(come_back(&other_browser, &address, &code).await, "/");
    assert_eq!(me(&other_browser).await["user"]["id"], first["user"]["id"]);
    node.stop().await;
}

#[tokio::test]
async fn an_identity_is_provider_and_subject_and_never_the_address() {
    let provider = TestProvider::start().await;
    let node = farm_with(&provider, Registration::Open).await;
    let browser = node.browser();
    let address = begin(&browser, "").await;
    let code = provider.approve(&address, "impostor", |claims| {
        claims["email"] = json!(ADMIN)
    });
    come_back(&browser, &address, &code).await;
    let me = me(&browser).await;
    assert_eq!(me["user"]["role"], "member", "not the admin's account");
    node.stop().await;
}

#[tokio::test]
async fn an_address_that_the_provider_did_not_verify_is_not_used() {
    let provider = TestProvider::start().await;
    let node = farm_with(&provider, Registration::Open).await;
    for (subject, verified) in [
        ("one", json!(false)),
        ("two", json!("true")),
        ("three", Value::Null),
    ] {
        let browser = node.browser();
        let address = begin(&browser, "").await;
        let code = provider.approve(&address, subject, |claims| {
            claims["email_verified"] = verified
        });
        assert_eq!(come_back(&browser, &address, &code).await, "/");
        assert_eq!(me(&browser).await["user"]["email"], Value::Null);
    }
    node.stop().await;
}

#[tokio::test]
async fn google_must_say_that_the_address_is_verified() {
    let provider = TestProvider::start().await;
    let node = TestNode::start_with(Setup {
        providers: vec![provider.config("google", PUBLIC)],
        ..Setup::default()
    })
    .await;
    let settings = Settings {
        registration: Registration::Open,
        ..Settings::default()
    };
    node.propose(Action::SettingsChanged { settings }).await;
    let users_before = node.log.read(|state| state.users.len());
    for (verified, expected) in [
        (json!(false), "/?error=sign-in-refused"),
        (json!("true"), "/?error=sign-in-refused"),
        (Value::Null, "/?error=sign-in-refused"),
        (json!(true), "/"),
        // Nor may somebody who has an account lose that.
        (json!(false), "/?error=sign-in-refused"),
    ] {
        let browser = node.browser();
        let to = location(browser.request(Method::GET, "/api/auth/google/login")).await;
        let address: Url = to.parse().unwrap();
        let code = provider.approve(&address, "grace", |claims| {
            claims["email_verified"] = verified.clone();
        });
        let state = state_of(&address);
        let path = format!("/api/auth/google/callback?code={code}&state={state}");
        let to = location(browser.request(Method::GET, &path)).await;
        assert_eq!(to, expected, "{verified}");
        let is_in = browser.get("/api/auth/me").await.0 == StatusCode::OK;
        assert_eq!(is_in, verified == json!(true));
    }
    let users = node.log.read(|state| state.users.len());
    assert_eq!(users, users_before + 1);
    node.stop().await;
}

#[tokio::test]
async fn the_redirect_address_is_the_configured_one_whatever_the_host_header_says() {
    let provider = TestProvider::start().await;
    let node = farm_with(&provider, Registration::Open).await;
    let request = node
        .browser()
        .request(Method::GET, "/api/auth/oidc/login")
        .header("host", "evil.example");
    let address: Url = location(request).await.parse().unwrap();
    let redirect = address
        .query_pairs()
        .find(|(name, _)| name == "redirect_uri");
    assert_eq!(
        redirect.unwrap().1,
        format!("{PUBLIC}/api/auth/oidc/callback")
    );
    for (name, value) in [("code_challenge_method", "S256"), ("client_id", CLIENT_ID)] {
        assert!(
            address
                .query_pairs()
                .any(|pair| pair == (name.into(), value.into()))
        );
    }
    node.stop().await;
}

#[tokio::test]
async fn a_state_is_good_once() {
    let provider = TestProvider::start().await;
    let node = farm_with(&provider, Registration::Open).await;
    let browser = node.browser();
    let address = begin(&browser, "").await;
    let code = provider.approve(&address, "grace", |_| {});
    let state = state_of(&address);
    let path = format!("/api/auth/oidc/callback?code={code}&state={state}");
    // Twice at the same time, with the cookie of one browser.
    let (one, other) = tokio::join!(
        location(browser.request(Method::GET, &path)),
        location(browser.request(Method::GET, &path)),
    );
    let mut answers = [one, other];
    answers.sort();
    assert_eq!(answers, ["/", "/?error=sign-in-expired"]);
    assert_eq!(provider.exchanges(), 1);
    assert_eq!(node.log.read(|state| state.sign_ins.len()), 0);
    node.stop().await;
}

#[tokio::test]
async fn a_sign_in_ends_in_the_browser_in_which_it_began() {
    let provider = TestProvider::start().await;
    let node = farm_with(&provider, Registration::Open).await;
    let attacker = node.browser();
    let address = begin(&attacker, "").await;
    let code = provider.approve(&address, "attacker", |_| {});
    // The victim is made to follow the attacker's address: with no cookie, and with its own.
    let victim = node.browser();
    assert_eq!(
        come_back(&victim, &address, &code).await,
        "/?error=sign-in-expired"
    );
    begin(&victim, "").await;
    assert_eq!(
        come_back(&victim, &address, &code).await,
        "/?error=sign-in-expired"
    );
    let (status, _) = victim.get("/api/auth/me").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(provider.exchanges(), 0);
    // It is not spent by that.
    assert_eq!(come_back(&attacker, &address, &code).await, "/");
    node.stop().await;
}

#[tokio::test]
async fn a_sign_in_lasts_ten_minutes_at_most_and_the_log_has_only_hashes() {
    let provider = TestProvider::start().await;
    let node = farm_with(&provider, Registration::Open).await;
    let browser = node.browser();
    let response = browser
        .request(Method::GET, "/api/auth/oidc/login")
        .send()
        .await
        .unwrap();
    let cookie = response.headers()["set-cookie"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(cookie.contains("Max-Age=600") && cookie.contains("HttpOnly"));
    assert!(cookie.contains("Path=/api/auth") && cookie.contains("SameSite=Lax"));
    let secret = cookie.split(['=', ';']).nth(1).unwrap();
    let pending = node
        .log
        .read(|state| state.sign_ins.values().next().cloned().unwrap());
    let now = TimestampMs::now().0;
    assert!((now..=now + 600_000).contains(&pending.expires_at.0));
    let kept = serde_json::to_string(&pending).unwrap();
    assert!(!kept.contains(secret));

    // One whose time is over is not finished, though nothing removed it yet.
    let state = "a-state-that-is-over";
    let over = Action::SignInStarted {
        state: SecretHash::of(state.as_bytes()),
        binding: SecretHash::of(secret.as_bytes()),
        provider: "oidc".into(),
        link_to: None,
        invitation: None,
        return_to: "/".into(),
        expires_at: TimestampMs::now().plus(std::time::Duration::from_millis(1)),
    };
    node.propose(over).await;
    let path = format!("/api/auth/oidc/callback?code=x&state={state}");
    let answered = location(browser.request(Method::GET, &path)).await;
    assert_eq!(answered, "/?error=sign-in-expired");
    assert_eq!(provider.exchanges(), 0);
    node.stop().await;
}

#[tokio::test]
async fn an_id_token_that_is_not_for_this_sign_in_signs_nobody_in() {
    let provider = TestProvider::start().await;
    let node = farm_with(&provider, Registration::Open).await;
    let long_ago = jsonwebtoken::get_current_timestamp() - 3600;
    for (claim, wrong) in [
        ("nonce", json!("another")),
        ("nonce", Value::Null),
        ("aud", json!("another-client")),
        ("iss", json!("http://127.0.0.1:1")),
        ("exp", json!(long_ago)),
        ("azp", json!("another-client")),
        ("sub", json!("")),
    ] {
        let browser = node.browser();
        let address = begin(&browser, "").await;
        let code = provider.approve(&address, "grace", |claims| claims[claim] = wrong.clone());
        let answered = come_back(&browser, &address, &code).await;
        assert_eq!(answered, "/?error=provider-failed", "{claim}: {wrong}");
        let (status, _) = browser.get("/api/auth/me").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    node.stop().await;
}

#[tokio::test]
async fn accounts_are_linked_only_from_the_session_that_began_it() {
    let provider = TestProvider::start().await;
    let node = farm_with(&provider, Registration::Closed).await;
    let link = "/api/auth/oidc/link";
    let (status, _) = node.browser().get(link).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let browser = node.browser();
    browser.login(MEMBER, PASSWORD).await;
    let (status, body) = answer(
        browser
            .request(Method::GET, link)
            .header("sec-fetch-site", "cross-site"),
    )
    .await;
    assert_eq!(
        (status, problem(&body)),
        (StatusCode::FORBIDDEN, "cross-site")
    );

    // Another user is signed in when it comes back.
    let address: Url = location(browser.request(Method::GET, link))
        .await
        .parse()
        .unwrap();
    let code = provider.approve(&address, "grace", |_| {});
    browser.login(OTHER_MEMBER, PASSWORD).await;
    assert_eq!(
        come_back(&browser, &address, &code).await,
        "/?error=sign-in-expired"
    );

    browser.login(MEMBER, PASSWORD).await;
    let address: Url = location(browser.request(Method::GET, link))
        .await
        .parse()
        .unwrap();
    let code = provider.approve(&address, "grace", |_| {});
    assert_eq!(come_back(&browser, &address, &code).await, "/");
    let member = me(&browser).await;
    assert_eq!(member["identities"][0]["subject"], "grace");
    // Now it signs in, though nobody may register.
    let fresh = node.browser();
    assert_eq!(sign_in(&fresh, &provider, "grace").await, "/");
    assert_eq!(me(&fresh).await["user"]["id"], member["user"]["id"]);

    // It is one user's.
    let other = node.browser();
    other.login(OTHER_MEMBER, PASSWORD).await;
    let address: Url = location(other.request(Method::GET, link))
        .await
        .parse()
        .unwrap();
    let code = provider.approve(&address, "grace", |_| {});
    assert_eq!(
        come_back(&other, &address, &code).await,
        "/?error=identity-taken"
    );

    let (status, _) = browser.delete("/api/auth/identities/oidc").await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(me(&browser).await["identities"], json!([]));
    node.stop().await;
}

#[tokio::test]
async fn the_farms_registration_holds_for_providers_too() {
    let provider = TestProvider::start().await;
    let node = farm_with(&provider, Registration::Closed).await;
    let refused = "/?error=registration-refused";
    assert_eq!(sign_in(&node.browser(), &provider, "grace").await, refused);
    let settings = Settings::default();
    node.propose(Action::SettingsChanged { settings }).await;
    assert_eq!(sign_in(&node.browser(), &provider, "grace").await, refused);

    let admin = node.signed_in(ADMIN).await;
    let (_, invitation) = admin
        .post("/api/invitations", &json!({"role": "viewer"}))
        .await;
    let secret = invitation["invitation"].as_str().unwrap();
    let browser = node.browser();
    let address = begin(&browser, &format!("?invitation={secret}")).await;
    let code = provider.approve(&address, "grace", |_| {});
    assert_eq!(come_back(&browser, &address, &code).await, "/");
    assert_eq!(me(&browser).await["user"]["role"], "viewer");
    node.stop().await;
}

#[tokio::test]
async fn a_disabled_account_does_not_sign_in_and_its_sessions_end() {
    let provider = TestProvider::start().await;
    let node = farm_with(&provider, Registration::Open).await;
    let browser = node.browser();
    sign_in(&browser, &provider, "grace").await;
    let id = me(&browser).await["user"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let admin = node.signed_in(ADMIN).await;
    let user = format!("/api/users/{id}");
    let (status, body) = admin.patch(&user, &json!({"disabled": true})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let (status, _) = browser.get("/api/auth/me").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let answered = sign_in(&node.browser(), &provider, "grace").await;
    assert_eq!(answered, "/?error=account-disabled");
    node.stop().await;
}

#[tokio::test]
async fn a_program_gets_a_problem_where_the_page_gets_an_address() {
    let provider = TestProvider::start().await;
    let node = farm_with(&provider, Registration::Open).await;
    let client = node.browser();
    let asked = client
        .request(Method::GET, "/api/auth/oidc/callback?state=x&code=y")
        .header("accept", "application/json");
    let (status, body) = answer(asked).await;
    assert_eq!(
        (status, problem(&body)),
        (StatusCode::BAD_REQUEST, "sign-in-expired")
    );
    let (status, body) = client.get("/api/auth/github/login").await;
    assert_eq!(
        (status, problem(&body)),
        (StatusCode::NOT_FOUND, "unknown-provider")
    );
    for elsewhere in ["//evil.example", "https://evil.example", "/%5Cevil.example"] {
        let path = format!("/api/auth/oidc/login?return_to={elsewhere}");
        let (status, _) = client.get(&path).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{elsewhere}");
    }
    node.stop().await;
}
