//! Sign-in of a command line through a browser.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::node::*;

async fn begin(client: &Client) -> Value {
    let (status, codes) = client
        .post("/api/auth/device", &json!({"name": "attic"}))
        .await;
    assert_eq!(status, StatusCode::OK, "{codes}");
    codes
}

async fn poll(client: &Client, codes: &Value) -> (StatusCode, Value) {
    let body = json!({"device_code": codes["device_code"]});
    client.post("/api/auth/device/token", &body).await
}

async fn answer_code(client: &Client, codes: &Value, approve: bool) -> StatusCode {
    let body = json!({"user_code": codes["user_code"], "approve": approve});
    client.post("/api/auth/device/approve", &body).await.0
}

#[tokio::test]
async fn a_command_line_signs_in_once_its_code_is_approved_and_only_once() {
    let node = TestNode::start().await;
    let machine = node.client();
    let codes = begin(&machine).await;
    assert_eq!(codes["expires_in"], 600);
    let link = codes["verification_uri_complete"].as_str().unwrap();
    assert!(link.ends_with(codes["user_code"].as_str().unwrap()));
    let (status, body) = poll(&machine, &codes).await;
    assert_eq!(
        (status, problem(&body)),
        (StatusCode::BAD_REQUEST, "authorization-pending")
    );
    let (status, body) = poll(&machine, &codes).await;
    assert_eq!(
        (status, problem(&body)),
        (StatusCode::BAD_REQUEST, "slow-down")
    );

    assert_eq!(
        answer_code(&node.client(), &codes, true).await,
        StatusCode::UNAUTHORIZED
    );
    let browser = node.signed_in(MEMBER).await;
    assert_eq!(
        answer_code(&browser, &codes, true).await,
        StatusCode::NO_CONTENT
    );
    let (status, made) = poll(&machine, &codes).await;
    assert_eq!(status, StatusCode::OK, "{made}");
    assert_eq!(made["name"], "attic");
    let signed_in = node.client().with_token(made["token"].as_str().unwrap());
    let (_, me) = signed_in.get("/api/auth/me").await;
    assert_eq!(me["user"]["email"], MEMBER);
    let (status, body) = poll(&machine, &codes).await;
    assert_eq!(
        (status, problem(&body)),
        (StatusCode::BAD_REQUEST, "expired")
    );
    // A token approves nobody.
    let codes = begin(&machine).await;
    assert_eq!(
        answer_code(&signed_in, &codes, true).await,
        StatusCode::FORBIDDEN
    );
    node.stop().await;
}

#[tokio::test]
async fn a_refused_code_and_one_that_nobody_has_sign_nobody_in() {
    let node = TestNode::start().await;
    let machine = node.client();
    let codes = begin(&machine).await;
    let browser = node.signed_in(MEMBER).await;
    assert_eq!(
        answer_code(&browser, &codes, false).await,
        StatusCode::NO_CONTENT
    );
    let (status, body) = poll(&machine, &codes).await;
    assert_eq!(
        (status, problem(&body)),
        (StatusCode::BAD_REQUEST, "denied")
    );
    let forged = json!({"device_code": "jbd_0000.YXR0aWM"});
    let (status, body) = poll(&machine, &forged).await;
    assert_eq!(
        (status, problem(&body)),
        (StatusCode::BAD_REQUEST, "expired")
    );
    node.stop().await;
}

#[tokio::test]
async fn codes_cannot_be_guessed_for_long() {
    let node = TestNode::start().await;
    let browser = node.signed_in(MEMBER).await;
    let guess = json!({"user_code": "BCDF-GHJK"});
    for _ in 0..10 {
        let status = answer_code(&browser, &guess, true).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
    }
    let status = answer_code(&browser, &guess, true).await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    node.stop().await;
}

#[tokio::test]
async fn the_audit_log_says_who_answered_a_code_and_from_where_the_token_was_taken() {
    // Behind a proxy, so that the two addresses differ.
    let node = TestNode::start_with(Setup {
        trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..Setup::default()
    })
    .await;
    let ask = async |client: &Client, from: &str, path: &str, body: Value| {
        let request = client.request(reqwest::Method::POST, path);
        answer(request.header("x-forwarded-for", from).json(&body)).await
    };
    let (machine, browser) = (node.client(), node.signed_in(MEMBER).await);
    let (home, elsewhere) = ("198.51.100.7", "203.0.113.9");
    let mut user_codes = Vec::new();
    for approve in [false, true] {
        let (_, codes) = ask(&machine, elsewhere, "/api/auth/device", json!({})).await;
        let user_code = codes["user_code"].clone();
        let answered = json!({"user_code": user_code, "approve": approve});
        let (status, body) = ask(&browser, home, "/api/auth/device/approve", answered).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{body}");
        let poll = json!({"device_code": codes["device_code"]});
        let (status, body) = ask(&machine, elsewhere, "/api/auth/device/token", poll).await;
        assert_eq!(status.is_success(), approve, "{body}");
        user_codes.push(user_code.as_str().unwrap().to_owned());
    }
    let member = node.user(MEMBER).to_string();
    let entry = async |action: &str| {
        let path = format!("/api/audit?action={action}");
        let (_, page) = node.operator().get(&path).await;
        page["entries"][0].clone()
    };
    let refused = entry("device_sign_in_refused").await;
    assert_eq!(refused["actor"]["id"], member.as_str(), "{refused}");
    assert_eq!(
        (&refused["from"], &refused["subject"]),
        (&json!(home), &json!(user_codes[0]))
    );
    let approved = entry("device_sign_in_approved").await;
    assert_eq!(approved["actor"]["id"], member.as_str(), "{approved}");
    assert_eq!(
        (&approved["from"], &approved["subject"]),
        (&json!(home), &json!(member))
    );
    assert!(
        approved["detail"]
            .as_str()
            .unwrap()
            .contains(&user_codes[1])
    );
    // Its address is not shown as the user's.
    for action in ["device_sign_in_finished", "token_created"] {
        let taken = entry(action).await;
        assert_eq!(taken["actor"]["kind"], "node", "{taken}");
        assert_eq!(taken["from"], elsewhere, "{taken}");
        assert!(
            taken["detail"].as_str().unwrap().contains(&member),
            "{taken}"
        );
    }
    node.stop().await;
}
