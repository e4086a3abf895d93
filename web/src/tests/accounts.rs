//! Local accounts: making one, its password, its sessions.

use jiggablend_raft::{Action, Registration, Settings};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::node::*;

const NEW: &str = "new@example.org";

async fn set_registration(node: &TestNode, registration: Registration) {
    let settings = Settings {
        registration,
        ..Settings::default()
    };
    node.propose(Action::SettingsChanged { settings }).await;
}

async fn register(client: &Client, more: Value) -> (StatusCode, Value) {
    let mut body = json!({"email": NEW, "password": PASSWORD});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    client.post("/api/auth/register", &body).await
}

#[tokio::test]
async fn the_first_account_is_the_admins() {
    let node = TestNode::start_with(Setup {
        accounts: &[],
        ..Setup::default()
    })
    .await;
    let client = node.client();
    let (_, providers) = client.get("/api/auth/providers").await;
    assert_eq!(providers["first_account"], true);
    let (status, me) = register(&client, json!({"name": "Ada"})).await;
    assert_eq!(status, StatusCode::CREATED, "{me}");
    assert_eq!(me["user"]["role"], "admin");
    let (status, again) = client.get("/api/auth/me").await;
    assert_eq!((status, again), (StatusCode::OK, me));
    // The next one needs an invitation.
    let (status, body) = register(&node.client(), json!({"email": "two@example.org"})).await;
    assert_eq!(
        (status, problem(&body)),
        (StatusCode::FORBIDDEN, "registration-refused")
    );
    node.stop().await;
}

#[tokio::test]
async fn an_invitation_makes_one_account_with_its_role_for_its_address() {
    let node = TestNode::start().await;
    let admin = node.signed_in(ADMIN).await;
    let wish = json!({"role": "viewer", "email": "New@Example.org"});
    let (status, made) = admin.post("/api/invitations", &wish).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let secret = made["invitation"].as_str().unwrap();
    assert!(secret.starts_with("jbi_"));
    assert!(made["link"].as_str().unwrap().ends_with(secret));
    let (_, list) = admin.get("/api/invitations").await;
    assert_eq!(list["invitations"][0]["id"], made["id"]);
    assert!(!list.to_string().contains(secret), "shown once");

    for wrong in [
        json!({}),
        json!({"invitation": "jbi_0000"}),
        json!({"invitation": secret, "email": "another@example.org"}),
    ] {
        let (status, body) = register(&node.client(), wrong.clone()).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{wrong}");
        assert_eq!(problem(&body), "registration-refused", "{wrong}");
    }
    let (status, me) = register(&node.client(), json!({"invitation": secret})).await;
    assert_eq!(status, StatusCode::CREATED, "{me}");
    assert_eq!(me["user"]["role"], "viewer");
    let again = json!({"invitation": secret, "email": "two@example.org"});
    let (status, body) = register(&node.client(), again).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "it is spent");
    assert_eq!(problem(&body), "registration-refused");
    node.stop().await;
}

#[tokio::test]
async fn a_closed_farm_takes_no_accounts_and_tells_nothing_of_those_it_has() {
    let node = TestNode::start().await;
    set_registration(&node, Registration::Closed).await;
    let mut answers = Vec::new();
    for email in [NEW, ADMIN] {
        answers.push(register(&node.client(), json!({"email": email})).await);
    }
    assert_eq!(answers[0].0, StatusCode::FORBIDDEN);
    assert_eq!(answers[0], answers[1]);
    node.stop().await;
}

#[tokio::test]
async fn an_open_farm_takes_whoever_comes_as_a_member() {
    let node = TestNode::start().await;
    set_registration(&node, Registration::Open).await;
    let (status, me) = register(&node.client(), json!({})).await;
    assert_eq!(status, StatusCode::CREATED, "{me}");
    assert_eq!(me["user"]["role"], "member");
    assert_eq!(me["user"]["name"], "new");
    let (status, body) = register(&node.client(), json!({"email": "NEW@example.org"})).await;
    assert_eq!((status, problem(&body)), (StatusCode::CONFLICT, "conflict"));
    for wrong in [
        json!({"password": "short"}),
        json!({"email": "no-address"}),
        json!({"role": "admin"}),
    ] {
        let (status, body) = register(&node.client(), wrong).await;
        assert_eq!(
            (status, problem(&body)),
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid-request")
        );
    }
    node.stop().await;
}

#[tokio::test]
async fn a_new_password_ends_the_other_sessions_and_needs_the_old_one() {
    let node = TestNode::start().await;
    let (here, elsewhere) = (node.signed_in(MEMBER).await, node.signed_in(MEMBER).await);
    let change = async |current: &str, new: &str| {
        let body = json!({"current": current, "new": new});
        here.post("/api/auth/password", &body).await
    };
    let (status, body) = change("wrong", "a new password").await;
    assert_eq!(
        (status, problem(&body)),
        (StatusCode::FORBIDDEN, "wrong-password")
    );
    let (status, _) = change(PASSWORD, "a new password").await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!(here.get("/api/auth/me").await.0, StatusCode::OK);
    assert_eq!(
        elsewhere.get("/api/auth/me").await.0,
        StatusCode::UNAUTHORIZED
    );
    let (status, _) = node.client().login(MEMBER, PASSWORD).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let (status, _) = node.client().login(MEMBER, "a new password").await;
    assert_eq!(status, StatusCode::OK);
    node.stop().await;
}

#[tokio::test]
async fn one_sees_ones_own_sessions_and_ends_them() {
    let node = TestNode::start().await;
    let (here, elsewhere) = (node.signed_in(MEMBER).await, node.signed_in(MEMBER).await);
    let stranger = node.signed_in(OTHER_MEMBER).await;
    let (_, list) = here.get("/api/auth/sessions").await;
    let sessions = list["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 2);
    assert_eq!(sessions[0]["from"], "127.0.0.1");
    let is_here = |session: &&Value| session["is_this_one"] == true;
    assert_eq!(sessions.iter().filter(is_here).count(), 1);
    let other = sessions.iter().find(|session| !is_here(session)).unwrap();
    let path = format!("/api/auth/sessions/{}", other["id"].as_str().unwrap());
    assert_eq!(stranger.delete(&path).await.0, StatusCode::NOT_FOUND);
    assert_eq!(here.delete(&path).await.0, StatusCode::NO_CONTENT);
    assert_eq!(
        elsewhere.get("/api/auth/me").await.0,
        StatusCode::UNAUTHORIZED
    );

    let again = node.signed_in(MEMBER).await;
    assert_eq!(
        again.delete("/api/auth/sessions").await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(here.get("/api/auth/me").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(again.get("/api/auth/me").await.0, StatusCode::OK);
    assert_eq!(stranger.get("/api/auth/me").await.0, StatusCode::OK);
    node.stop().await;
}

#[tokio::test]
async fn a_limit_that_is_reached_is_in_the_log_for_every_node() {
    let node = TestNode::start().await;
    let client = node.client();
    for _ in 0..12 {
        client.login(MEMBER, "wrong").await;
    }
    let blocked = node.log.read(|state| state.blocked.clone());
    assert_eq!(blocked.len(), 1, "said once");
    let kept = serde_json::to_string(&blocked).unwrap();
    assert!(!kept.contains("bob"));
    // A node that saw none of it turns the account away too: it goes by the log alone.
    let (key, _) = blocked.into_iter().next().unwrap();
    let other = TestNode::start().await;
    assert_eq!(
        other.client().login(MEMBER, PASSWORD).await.0,
        StatusCode::OK
    );
    let until = jiggablend_raft::TimestampMs::now().plus(PATIENCE);
    other.propose(Action::SignInBlocked { key, until }).await;
    let login = json!({"email": MEMBER, "password": PASSWORD});
    let request = other
        .client()
        .request(Method::POST, "/api/auth/login")
        .json(&login);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(response.headers().contains_key("retry-after"));
    node.stop().await;
    other.stop().await;
}

#[tokio::test]
async fn a_disabled_account_is_told_so_only_with_the_right_password() {
    let node = TestNode::start().await;
    let admin = node.signed_in(ADMIN).await;
    let id = node
        .log
        .read(|state| state.user_by_email(MEMBER).unwrap().id);
    let (status, _) = admin
        .patch(&format!("/api/users/{id}"), &json!({"disabled": true}))
        .await;
    assert_eq!(status, StatusCode::OK);
    let (status, body) = node.client().login(MEMBER, PASSWORD).await;
    assert_eq!(
        (status, problem(&body)),
        (StatusCode::FORBIDDEN, "account-disabled")
    );
    let (status, body) = node.client().login(MEMBER, "wrong").await;
    assert_eq!(
        (status, problem(&body)),
        (StatusCode::UNAUTHORIZED, "wrong-credentials")
    );
    node.stop().await;
}
