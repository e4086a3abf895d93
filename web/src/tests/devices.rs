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
