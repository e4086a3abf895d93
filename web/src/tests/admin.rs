//! What admins do: accounts, settings, and the audit log of it all.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::node::*;

#[tokio::test]
async fn accounts_are_made_changed_and_deleted_by_admins() {
    let node = TestNode::start().await;
    // As the command line on a node does it.
    let operator = node.operator();
    let new = json!({"email": "new@example.org", "password": PASSWORD, "role": "viewer"});
    let (status, made) = operator.post("/api/users", &new).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert!(!made.to_string().contains("argon2"));
    let path = format!("/api/users/{}", made["id"].as_str().unwrap());
    let client = node.signed_in("new@example.org").await;
    assert_eq!(
        client.post("/api/jobs", &json!({})).await.0,
        StatusCode::FORBIDDEN
    );

    let admin = node.signed_in(ADMIN).await;
    let changes = json!({"role": "member", "name": "Newt", "quota": {"jobs": 3}});
    let (status, changed) = admin.patch(&path, &changes).await;
    assert_eq!(status, StatusCode::OK, "{changed}");
    assert_eq!(changed["name"], "Newt");
    assert_eq!(changed["quota"]["jobs"], 3);
    assert_eq!(
        client.post("/api/jobs", &json!({})).await.0,
        StatusCode::CREATED
    );
    let (_, me) = client.get("/api/auth/me").await;
    assert_eq!(
        (&me["quota"]["jobs"], &me["usage"]["jobs"]),
        (&json!(3), &json!(1))
    );
    let (_, changed) = admin.patch(&path, &json!({"quota": null})).await;
    assert_eq!(changed["quota"], Value::Null);

    let member = node.signed_in(MEMBER).await;
    let (status, found) = member.get("/api/users/names?q=ewt").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        found,
        json!({"users": [{"id": made["id"], "name": "Newt"}]})
    );
    let (_, found) = member.get("/api/users/names?q=example.org").await;
    assert_eq!(
        found,
        json!({"users": []}),
        "a part of an address finds nobody"
    );
    // Nor does a whole one tell anybody but admins who has an account.
    let whole = format!("/api/users/names?q={OTHER_MEMBER}");
    let (_, found) = member.get(&whole).await;
    assert_eq!(found, json!({"users": []}));
    let (_, found) = admin.get(&whole).await;
    assert_eq!(found["users"].as_array().unwrap().len(), 1, "{found}");

    assert_eq!(admin.delete(&path).await.0, StatusCode::NO_CONTENT);
    assert_eq!(client.get("/api/auth/me").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(admin.get(&path).await.0, StatusCode::NOT_FOUND);
    node.stop().await;
}

#[tokio::test]
async fn the_last_admin_stays() {
    let node = TestNode::start().await;
    let admin = node.signed_in(ADMIN).await;
    let id = node
        .log
        .read(|state| state.user_by_email(ADMIN).unwrap().id);
    let path = format!("/api/users/{id}");
    for change in [json!({"role": "member"}), json!({"disabled": true})] {
        let (status, body) = admin.patch(&path, &change).await;
        assert_eq!((status, problem(&body)), (StatusCode::CONFLICT, "conflict"));
    }
    assert_eq!(admin.delete(&path).await.0, StatusCode::CONFLICT);
    node.stop().await;
}

#[tokio::test]
async fn settings_are_for_all_to_see_and_for_admins_to_change() {
    let node = TestNode::start().await;
    let (admin, member) = (node.signed_in(ADMIN).await, node.signed_in(MEMBER).await);
    let change = json!({
        "farm_name": "studio", "registration": "open", "default_quota": {"bytes": 1000},
        "public_url": "https://farm.example/",
    });
    assert_eq!(
        member.patch("/api/settings", &change).await.0,
        StatusCode::FORBIDDEN
    );
    let (status, changed) = admin.patch("/api/settings", &change).await;
    assert_eq!(status, StatusCode::OK, "{changed}");
    let (_, seen) = member.get("/api/settings").await;
    assert_eq!(seen, changed);
    assert_eq!(seen["farm_name"], "studio");
    assert_eq!(seen["public_url"], "https://farm.example");
    let (_, invitation) = admin.post("/api/invitations", &json!({})).await;
    let link = invitation["link"].as_str().unwrap();
    assert!(link.starts_with("https://farm.example/#/register?invitation=jbi_"));
    for wrong in [
        json!({"default_role": "admin"}),
        json!({"public_url": "ftp://x"}),
    ] {
        let (status, _) = admin.patch("/api/settings", &wrong).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_partial_quota_changes_what_it_names_and_an_unknown_name_nothing() {
    let node = TestNode::start().await;
    let admin = node.signed_in(ADMIN).await;
    let id = node
        .log
        .read(|state| state.user_by_email(MEMBER).unwrap().id);
    let user = format!("/api/users/{id}");
    let own = |quota: Value| json!({ "quota": quota });
    let default = |quota: Value| json!({ "default_quota": quota });
    let quota_of = async |path: &str, field: &str, change: Value| {
        let (status, body) = admin.patch(path, &change).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body[field].clone()
    };
    let quota = quota_of(
        "/api/settings",
        "default_quota",
        default(json!({"bytes": 1000, "jobs": 4})),
    )
    .await;
    let expected = json!({"bytes": 1000, "jobs": 4, "frames_in_flight": null});
    assert_eq!(quota, expected);
    let quota = quota_of(
        "/api/settings",
        "default_quota",
        default(json!({"jobs": null})),
    )
    .await;
    let expected = json!({"bytes": 1000, "jobs": null, "frames_in_flight": null});
    assert_eq!(quota, expected);
    // Who has none begins with the farm's.
    let quota = quota_of(&user, "quota", own(json!({"frames_in_flight": 2}))).await;
    let expected = json!({"bytes": 1000, "jobs": null, "frames_in_flight": 2});
    assert_eq!(quota, expected);
    for (path, wrong) in [
        (user.as_str(), own(json!({"byte": 5}))),
        ("/api/settings", default(json!({"byte": 5}))),
    ] {
        let (status, body) = admin.patch(path, &wrong).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    }
    let (_, seen) = admin.get(&user).await;
    assert_eq!(seen["quota"], expected);
    node.stop().await;
}

#[tokio::test]
async fn every_route_that_makes_something_takes_an_idempotency_key() {
    let node = TestNode::start().await;
    let admin = node.signed_in(ADMIN).await;
    let webhook = json!({"name": "a", "url": "https://example.org/", "events": ["job_done"]});
    let account = json!({"email": "new@example.org", "password": PASSWORD, "role": "member"});
    let routes = [
        ("/api/jobs", json!({"name": "a"}), json!({"name": "b"})),
        ("/api/tickets", json!({}), json!({"reusable": true})),
        (
            "/api/tokens",
            json!({"name": "a", "scopes": ["read"]}),
            json!({"name": "b", "scopes": ["read"]}),
        ),
        ("/api/users", account.clone(), {
            let mut other = account;
            other["role"] = json!("viewer");
            other
        }),
        ("/api/invitations", json!({}), json!({"reusable": true})),
        ("/api/webhooks", webhook.clone(), {
            let mut other = webhook;
            other["name"] = json!("b");
            other
        }),
        (
            "/api/admin/registration-tokens",
            json!({"name": "a"}),
            json!({"name": "b"}),
        ),
    ];
    for (path, body, other) in routes {
        let make = async |key: &str, body: &Value| {
            let request = admin.request(Method::POST, path);
            answer(request.header("idempotency-key", key).json(body)).await
        };
        let (status, made) = make("once", &body).await;
        assert_eq!(status, StatusCode::CREATED, "{path}: {made}");
        let (_, again) = make("once", &body).await;
        assert_eq!(made, again, "{path}");
        let (status, refused) = make("once", &other).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
        assert_eq!(problem(&refused), "idempotency-key-reused", "{path}");
        let (status, _) = make("with a space", &body).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{path}");
    }
    let (_, tickets) = admin.get("/api/tickets").await;
    assert_eq!(tickets["tickets"].as_array().unwrap().len(), 1);
    node.stop().await;
}

#[tokio::test]
async fn the_audit_log_says_who_did_what_from_where_and_no_secret() {
    let node = TestNode::start().await;
    let admin = node.signed_in(ADMIN).await;
    let admin_id = node
        .log
        .read(|state| state.user_by_email(ADMIN).unwrap().id.to_string());
    let wish = json!({"name": "ci", "scopes": ["read"]});
    let (_, made) = admin.post("/api/tokens", &wish).await;
    let (status, page) = admin.get("/api/audit?action=token_created").await;
    assert_eq!(status, StatusCode::OK, "{page}");
    let entry = &page["entries"][0];
    assert_eq!(entry["subject"], made["id"]);
    assert_eq!(entry["actor"]["id"], admin_id.as_str());
    assert_eq!(entry["from"], "127.0.0.1");

    let (status, _) = admin.get("/api/audit?action=token_made").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "there is none");

    let (_, all) = admin.get("/api/audit").await;
    let text = all.to_string();
    assert!(!text.contains(made["token"].as_str().unwrap()) && !text.contains("argon2"));
    let numbers = |page: &Value| -> Vec<u64> {
        let entries = page["entries"].as_array().unwrap();
        entries
            .iter()
            .map(|entry| entry["number"].as_u64().unwrap())
            .collect()
    };
    let all = numbers(&all);
    assert!(all.len() >= 4 && all.is_sorted_by(|one, next| one > next));
    let (_, first) = admin.get("/api/audit?limit=2").await;
    assert_eq!(numbers(&first), all[..2]);
    let next = format!("/api/audit?before={}", first["next_before"]);
    assert_eq!(numbers(&admin.get(&next).await.1), all[2..]);
    let (_, of_actor) = admin.get(&format!("/api/audit?actor={admin_id}")).await;
    assert!(numbers(&of_actor).len() >= 2 && numbers(&of_actor).len() < all.len());
    let member = node.signed_in(MEMBER).await;
    assert_eq!(member.get("/api/audit").await.0, StatusCode::FORBIDDEN);
    node.stop().await;
}
