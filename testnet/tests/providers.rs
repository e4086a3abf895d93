//! Signing in with a provider: a real OpenID Connect provider process, which insists on PKCE.
#![allow(clippy::unwrap_used)]

mod common;

use jiggablend_testnet::farm::{Farm, FarmOptions};
use jiggablend_testnet::provider::{Browser, Provider};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn farm_with(provider: &Provider, nodes: usize) -> Farm {
    let options = FarmOptions {
        arguments: vec!["--no-render".into()],
        environment: provider.environment(),
    };
    let farm = Farm::start_with(nodes, options).await.unwrap();
    let open = farm
        .api(1)
        .request(Method::PATCH, "/api/settings")
        .json(&json!({"registration": "open"}));
    assert_eq!(open.send().await.unwrap().status(), StatusCode::OK);
    farm
}

fn login_url(farm: &Farm, node: usize, provider: &str) -> String {
    format!("{}/api/auth/{provider}/login", farm.node(node).url())
}

/// Comes back from the provider to that node.
async fn come_back(browser: &Browser, farm: &Farm, node: usize, callback: &str) -> StatusCode {
    let url = format!("{}{callback}", farm.node(node).url());
    browser.get(&url).await.unwrap().status()
}

async fn me(browser: &Browser, farm: &Farm, node: usize) -> (StatusCode, Value) {
    let url = format!("{}/api/auth/me", farm.node(node).url());
    let answer = browser.get(&url).await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// Signs in as `name` in a new browser; answers who that is at the farm.
async fn signed_in(farm: &Farm, provider: &str, name: &str) -> (Browser, Value) {
    let browser = Browser::default();
    let callback = browser
        .sign_in_at_provider(&login_url(farm, 1, provider), name)
        .await
        .unwrap();
    let status = come_back(&browser, farm, 1, &callback).await;
    assert_eq!(status, StatusCode::SEE_OTHER, "{callback}");
    let (status, me) = me(&browser, farm, 1).await;
    assert_eq!(status, StatusCode::OK, "{me}");
    (browser, me["user"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_with_google_discord_and_their_studios_own_provider() {
    let provider = Provider::start().await.unwrap();
    let farm = farm_with(&provider, 1).await;
    let offered = farm.api(1).request(Method::GET, "/api/auth/providers");
    let offered: Value = offered.send().await.unwrap().json().await.unwrap();
    let ids: Vec<&str> = offered["providers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|provider| provider["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["google", "discord", "oidc"]);

    let mut accounts = Vec::new();
    for id in ["google", "discord", "oidc"] {
        let (_, first) = signed_in(&farm, id, "gina").await;
        assert_eq!(first["email"], "gina@example.org", "{id}");
        let (_, again) = signed_in(&farm, id, "gina").await;
        assert_eq!(first["id"], again["id"], "{id}: who came before is known");
        accounts.push(first["id"].clone());
    }
    // The same e-mail address everywhere, and still three people: it is no identity.
    accounts.dedup();
    assert_eq!(accounts.len(), 3);

    // An address that nobody has verified is not believed, and from these two it signs nobody in.
    for id in ["google", "discord"] {
        let nora = Browser::default();
        let login = login_url(&farm, 1, id);
        let callback = nora.sign_in_at_provider(&login, "nora-unverified").await;
        let status = come_back(&nora, &farm, 1, &callback.unwrap()).await;
        assert_eq!(status, StatusCode::SEE_OTHER, "{id}");
        assert_eq!(
            me(&nora, &farm, 1).await.0,
            StatusCode::UNAUTHORIZED,
            "{id}"
        );
    }
    let (_, nora) = signed_in(&farm, "oidc", "nora-unverified").await;
    assert_eq!(nora["email"], Value::Null);
    farm.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_survives_the_loss_of_the_node_where_it_began_and_ends_once() {
    let provider = Provider::start().await.unwrap();
    let mut farm = farm_with(&provider, 3).await;
    let leader = farm.leader().await.unwrap();
    let browser = Browser::default();
    let callback = browser
        .sign_in_at_provider(&login_url(&farm, leader, "google"), "gina")
        .await
        .unwrap();
    farm.kill_hard(leader).await.unwrap();
    farm.wait_until_whole().await.unwrap();
    let (other, _) = farm.nodes().next().unwrap();

    // Another browser has not begun it: nobody can be signed in to a stranger's account.
    let stranger = Browser::default();
    come_back(&stranger, &farm, other, &callback).await;
    assert_eq!(
        me(&stranger, &farm, other).await.0,
        StatusCode::UNAUTHORIZED
    );

    let status = come_back(&browser, &farm, other, &callback).await;
    assert_eq!(status, StatusCode::SEE_OTHER);
    let (status, me_now) = me(&browser, &farm, other).await;
    assert_eq!(status, StatusCode::OK, "{me_now}");
    assert_eq!(me_now["user"]["email"], "gina@example.org");

    // What was used is used up, on every node.
    let users = |farm: &Farm| farm.api(other).request(Method::GET, "/api/users");
    let before: Value = users(&farm).send().await.unwrap().json().await.unwrap();
    for (node, _) in farm.nodes() {
        let again = Browser::default();
        come_back(&again, &farm, node, &callback).await;
        assert_eq!(me(&again, &farm, node).await.0, StatusCode::UNAUTHORIZED);
    }
    let after: Value = users(&farm).send().await.unwrap().json().await.unwrap();
    assert_eq!(before, after);
    farm.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_identity_is_linked_only_from_a_signed_in_session() {
    let provider = Provider::start().await.unwrap();
    let farm = farm_with(&provider, 1).await;
    let (browser, gina) = signed_in(&farm, "google", "gina").await;
    let link = format!("{}/api/auth/oidc/link", farm.node(1).url());
    let stranger = Browser::default().get(&link).await.unwrap();
    assert_eq!(stranger.status(), StatusCode::UNAUTHORIZED);

    let callback = browser.sign_in_at_provider(&link, "gina").await.unwrap();
    come_back(&browser, &farm, 1, &callback).await;
    let (_, me_now) = me(&browser, &farm, 1).await;
    let identities = me_now["identities"].as_array().unwrap();
    assert_eq!(identities.len(), 2, "{me_now}");
    let (_, through_oidc) = signed_in(&farm, "oidc", "gina").await;
    assert_eq!(through_oidc["id"], gina["id"]);
    farm.stop().await.unwrap();
}
