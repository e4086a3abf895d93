use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::node::*;

fn hook() -> Value {
    json!({
        "name": "chat",
        "url": "https://chat.example/hook",
        "events": ["job_done", "job_failed"],
    })
}

async fn change(client: &Client, id: &str, change: &Value) -> (StatusCode, Value) {
    let path = format!("/api/webhooks/{id}");
    answer(client.request(Method::PATCH, &path).json(change)).await
}

#[tokio::test]
async fn a_webhook_shows_its_secret_once_and_is_its_owners() {
    let node = TestNode::start().await;
    let mine = node.signed_in(MEMBER).await;
    let others = node.signed_in(OTHER_MEMBER).await;
    let (status, made) = mine.post("/api/webhooks", &hook()).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert!(made["secret"].as_str().unwrap().starts_with("whsec_"));
    let id = made["id"].as_str().unwrap();

    let (_, seen) = mine.get(&format!("/api/webhooks/{id}")).await;
    assert_eq!(seen["shape"], "json");
    assert_eq!(seen["secret"], Value::Null, "not a second time");
    let (_, list) = mine.get("/api/webhooks").await;
    assert_eq!(list["webhooks"], json!([seen]));
    let (_, of_all) = node.operator().get("/api/webhooks").await;
    assert_eq!(of_all["webhooks"][0]["id"], id);

    let (_, list) = others.get("/api/webhooks").await;
    assert_eq!(list, json!({"webhooks": []}));
    for path in ["", "/deliveries"] {
        let (status, body) = others.get(&format!("/api/webhooks/{id}{path}")).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(problem(&body), "unknown-webhook");
    }
    let (status, _) = change(&others, id, &json!({"enabled": false})).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = others.delete(&format!("/api/webhooks/{id}")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);

    let (status, changed) = change(&mine, id, &json!({"enabled": false})).await;
    assert_eq!(
        (status, &changed["enabled"]),
        (StatusCode::OK, &json!(false))
    );
    assert_eq!(changed["events"], hook()["events"]);
    let (status, _) = mine.delete(&format!("/api/webhooks/{id}")).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = mine.get(&format!("/api/webhooks/{id}")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    node.stop().await;
}

#[tokio::test]
async fn a_test_waits_among_the_deliveries_until_the_leader_sends_it() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let (_, made) = client.post("/api/webhooks", &hook()).await;
    let id = made["id"].as_str().unwrap();
    let path = format!("/api/webhooks/{id}/test");
    let (status, test) = client.post(&path, &json!({})).await;
    assert_eq!(status, StatusCode::ACCEPTED, "{test}");
    assert_eq!(
        (&test["event"], &test["state"]),
        (&json!("test"), &json!("waiting"))
    );
    let (_, list) = client.get(&format!("/api/webhooks/{id}/deliveries")).await;
    assert_eq!(list, json!({"deliveries": [test]}));
    node.stop().await;
}

#[tokio::test]
async fn a_create_that_is_sent_again_makes_one_webhook_with_one_secret() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let create = |body: Value| {
        let request = client.request(Method::POST, "/api/webhooks").json(&body);
        answer(request.header("idempotency-key", "once"))
    };
    let (_, first) = create(hook()).await;
    let (status, again) = create(hook()).await;
    assert_eq!(status, StatusCode::CREATED, "{again}");
    assert_eq!(first, again);
    let mut other = hook();
    other["name"] = json!("another");
    let (status, body) = create(other).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem(&body), "idempotency-key-reused");
    node.stop().await;
}

#[tokio::test]
async fn a_webhook_into_the_farms_own_network_or_of_all_jobs_is_refused() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let refused = [
        "http://127.0.0.1/hook",
        "http://[::1]/hook",
        "http://2130706433/hook",
        "http://169.254.169.254/",
        "ftp://chat.example/",
        "https://ada:secret@chat.example/",
        "no address",
    ];
    let create = async |url: &str| {
        let mut hook = hook();
        hook["url"] = json!(url);
        client.post("/api/webhooks", &hook).await
    };
    for url in refused {
        let (status, body) = create(url).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{url}");
        assert_eq!(problem(&body), "invalid-request");
    }
    // What an admin lets in is a private network, and never the node itself.
    let near = "http://10.0.0.7/hook";
    assert_eq!(create(near).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let allowed = json!({"webhooks_to_private_addresses": true});
    node.operator().patch("/api/settings", &allowed).await;
    assert_eq!(create(near).await.0, StatusCode::CREATED);
    for url in &refused[..4] {
        let (status, _) = create(url).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{url}");
    }
    let mut all = hook();
    all["all_jobs"] = json!(true);
    let (status, _) = client.post("/api/webhooks", &all).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let (status, made) = node.operator().post("/api/webhooks", &all).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let mut nothing = hook();
    nothing["events"] = json!([]);
    let (status, _) = client.post("/api/webhooks", &nothing).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    node.stop().await;
}

#[tokio::test]
async fn a_token_without_the_admin_scope_makes_nothing_of_a_webhook_that_is_told_of_all_jobs() {
    let node = TestNode::start().await;
    let admin = node.signed_in(ADMIN).await;
    let mut all = hook();
    all["all_jobs"] = json!(true);
    let (status, made) = admin.post("/api/webhooks", &all).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let path = format!("/api/webhooks/{}", made["id"].as_str().unwrap());
    let (_, before) = admin.get(&path).await;
    let reader = admin.with_scope("read").await;
    let jobs = admin.with_scope("jobs").await;
    for change in [
        json!({"url": "https://elsewhere.example/"}),
        json!({"enabled": false}),
        json!({"name": "mine"}),
        json!({"events": ["job_started"]}),
        json!({"all_jobs": true}),
        json!({"all_jobs": false}),
        json!({}),
    ] {
        let (status, body) = jobs.patch(&path, &change).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{change}: {body}");
    }
    let deliveries = format!("{path}/deliveries");
    assert_eq!(reader.get(&deliveries).await.0, StatusCode::FORBIDDEN);
    let test = jobs.post(&format!("{path}/test"), &json!({})).await;
    assert_eq!(test.0, StatusCode::FORBIDDEN);
    assert_eq!(jobs.delete(&path).await.0, StatusCode::FORBIDDEN);
    let (_, after) = admin.get(&path).await;
    assert_eq!(before, after);

    // What it was told stays untold when it is told of one's own jobs only.
    let member = node.signed_in(MEMBER).await;
    let job = member.new_job(&json!({"name": "theirs"})).await;
    let mut cancelled = before["events"].clone();
    cancelled
        .as_array_mut()
        .unwrap()
        .push(json!("job_cancelled"));
    let (status, body) = admin.patch(&path, &json!({"events": cancelled})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let (status, body) = member.delete(&format!("/api/jobs/{job}")).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let (_, told) = admin.get(&deliveries).await;
    assert_eq!(told["deliveries"][0]["job"], job.as_str(), "{told}");
    let (status, _) = admin.patch(&path, &json!({"all_jobs": false})).await;
    assert_eq!(status, StatusCode::OK);
    let (status, told) = reader.get(&deliveries).await;
    assert_eq!((status, told), (StatusCode::OK, json!({"deliveries": []})));
    node.stop().await;
}

#[tokio::test]
async fn a_webhook_is_tried_ten_times_and_then_now_and_then() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let (_, made) = client.post("/api/webhooks", &hook()).await;
    let path = format!("/api/webhooks/{}/test", made["id"].as_str().unwrap());
    let test = async |client: &Client| {
        let request = client.request(Method::POST, &path);
        request.send().await.unwrap()
    };
    for _ in 0..10 {
        assert_eq!(test(&client).await.status(), StatusCode::ACCEPTED);
    }
    let refused = test(&client).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    // Somebody else's tries are their own.
    assert_eq!(test(&node.operator()).await.status(), StatusCode::ACCEPTED);
    node.stop().await;
}
