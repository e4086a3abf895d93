use reqwest::{Method, StatusCode};
use serde_json::json;

use super::node::*;

#[tokio::test]
async fn a_session_begins_with_the_password_and_ends_with_the_logout() {
    let node = TestNode::start().await;
    let client = node.client();
    let (_, providers) = client.get("/api/auth/providers").await;
    let expected = json!({
        "local": true, "registration": "invitation", "first_account": false, "providers": [],
    });
    assert_eq!(providers, expected);
    let (status, body) = client.get("/api/auth/me").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(problem(&body), "not-signed-in");

    // Case and blanks of an address do not matter.
    let (status, body) = client.login(" Ada@Example.ORG ", PASSWORD).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(body["user"]["email"], ADMIN);
    assert_eq!(body["user"]["role"], "admin", "the first account");
    assert_eq!(body["user"]["kind"], "user");
    let (status, me) = client.get("/api/auth/me").await;
    assert_eq!((status, me), (StatusCode::OK, body));

    // A token has no session; that it stays good must not look like a sign-out.
    let (status, body) = answer(node.operator().request(Method::POST, "/api/auth/logout")).await;
    assert_eq!(
        (status, problem(&body)),
        (StatusCode::FORBIDDEN, "not-allowed")
    );
    let (status, _) = answer(client.request(Method::POST, "/api/auth/logout")).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = client.get("/api/auth/me").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(node.log.read(|state| state.sessions.len()), 0);
    node.stop().await;
}

#[tokio::test]
async fn each_login_has_a_new_session_and_the_log_has_only_its_hash() {
    let node = TestNode::start().await;
    let client = node.client();
    let mut secrets = Vec::new();
    for _ in 0..2 {
        let body = json!({"email": MEMBER, "password": PASSWORD});
        let login = client.request(Method::POST, "/api/auth/login").json(&body);
        let response = login.send().await.unwrap();
        let cookie = response.headers()["set-cookie"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"));
        let secret = cookie.split(['=', ';']).nth(1).unwrap().to_owned();
        assert_eq!(secret.len(), 64);
        secrets.push(secret);
    }
    assert_ne!(secrets[0], secrets[1]);
    // The browser's earlier session is over.
    let sessions: Vec<String> = node
        .log
        .read(|state| state.sessions.keys().map(ToString::to_string).collect());
    assert_eq!(sessions.len(), 1);
    assert!(!secrets.contains(&sessions[0]));
    node.stop().await;
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_account_get_the_same_answer() {
    let node = TestNode::start().await;
    let client = node.client();
    let (status, wrong) = client.login(ADMIN, "wrong").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(problem(&wrong), "wrong-credentials");
    let (status, unknown) = client.login("nobody@example.org", "wrong").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(wrong, unknown);
    assert_eq!(node.log.read(|state| state.sessions.len()), 0);
    node.stop().await;
}

#[tokio::test]
async fn guessing_ends_in_a_pause() {
    let node = TestNode::start().await;
    let client = node.client();
    for _ in 0..10 {
        let (status, _) = client.login(ADMIN, "wrong").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    }
    // Not even the right password is tried now.
    let body = json!({"email": ADMIN, "password": PASSWORD});
    let login = client.request(Method::POST, "/api/auth/login").json(&body);
    let response = login.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(response.headers().contains_key("retry-after"));
    node.signed_in(MEMBER).await;
    node.stop().await;
}

#[tokio::test]
async fn one_address_does_not_guess_through_many_accounts() {
    let node = TestNode::start_with(Setup {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..Setup::default()
    })
    .await;
    let client = node.client();
    let login = async |email: String, from: &str| {
        let request = client
            .request(Method::POST, "/api/auth/login")
            .header("x-forwarded-for", from)
            .json(&json!({"email": email, "password": "a guess"}));
        request.send().await.unwrap()
    };
    for number in 0..30 {
        let email = format!("somebody{number}@example.org");
        let status = login(email, "203.0.113.5").await.status();
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{number}");
    }
    let refused = login("another@example.org".into(), "203.0.113.5").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    // What a client says of itself before the proxy's own word changes nothing.
    let spoofed = login("another@example.org".into(), "198.51.100.1, 203.0.113.5").await;
    assert_eq!(spoofed.status(), StatusCode::TOO_MANY_REQUESTS);
    let elsewhere = login("another@example.org".into(), "198.51.100.7").await;
    assert_eq!(elsewhere.status(), StatusCode::UNAUTHORIZED);
    node.stop().await;
}

#[tokio::test]
async fn the_owner_of_the_machine_signs_in_with_its_nodes_token() {
    let node = TestNode::start().await;
    let (status, me) = node.operator().get("/api/auth/me").await;
    assert_eq!(status, StatusCode::OK);
    let operator = json!({
        "id": "node-1", "name": "operator of node 1", "email": null, "role": "admin",
        "kind": "operator",
    });
    assert_eq!(me["user"], operator);
    let stranger = node.client().with_token("another token");
    let (status, _) = stranger.get("/api/auth/me").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    // A wrong token is no caller, whatever the cookie says.
    let confused = node.signed_in(ADMIN).await.with_token("another token");
    let (status, _) = confused.get("/api/jobs").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    node.stop().await;
}

#[tokio::test]
async fn a_test_user_is_made_once() {
    let node = TestNode::start().await;
    let before = node.log.applied_index();
    for email in [ADMIN, "ADA@example.org"] {
        crate::ensure_test_user(&node.log, email, "another password")
            .await
            .unwrap();
    }
    assert_eq!(node.log.applied_index(), before);
    node.signed_in(ADMIN).await;
    node.stop().await;
}
