//! Who may call what: the whole table by hand, and requests made of it.

use std::collections::BTreeSet;

use jiggablend_raft::{Action, JobId, UserChange, UserId, UserRole};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::node::*;
use crate::access::Access;
use crate::routes::{Route, table};

/// Every route and its rule. One that is new or has another rule is written down here too, by
/// somebody who has thought about it.
#[rustfmt::skip]
const RULES: &[(&str, &str, Access)] = {
    use Access::{
        Account, Admin, JobManager, JobOwner, JobReader, Member, Metrics, Public, Runner, SignedIn,
    };
    &[
        ("GET",     "/api/auth/providers",                          Public),
        ("POST",    "/api/auth/login",                              Public),
        ("POST",    "/api/auth/register",                           Public),
        ("POST",    "/api/auth/logout",                             SignedIn),
        ("GET",     "/api/auth/me",                                 SignedIn),
        ("GET",     "/api/auth/{provider}/login",                   Public),
        ("GET",     "/api/auth/{provider}/callback",                Public),
        ("GET",     "/api/auth/{provider}/link",                    Account),
        ("DELETE",  "/api/auth/identities/{provider}",              Account),
        ("POST",    "/api/auth/password",                           Account),
        ("GET",     "/api/auth/sessions",                           Account),
        ("DELETE",  "/api/auth/sessions/{session}",                 Account),
        ("DELETE",  "/api/auth/sessions",                           Account),
        ("POST",    "/api/auth/device",                             Public),
        ("POST",    "/api/auth/device/approve",                     Account),
        ("POST",    "/api/auth/device/token",                       Public),
        ("GET",     "/api/tokens",                                  Account),
        ("POST",    "/api/tokens",                                  Account),
        ("DELETE",  "/api/tokens/{token}",                          Account),
        ("GET",     "/api/users",                                   Admin),
        ("POST",    "/api/users",                                   Admin),
        ("GET",     "/api/users/names",                             SignedIn),
        ("GET",     "/api/users/{user}",                            Admin),
        ("PATCH",   "/api/users/{user}",                            Admin),
        ("DELETE",  "/api/users/{user}",                            Admin),
        ("GET",     "/api/invitations",                             Admin),
        ("POST",    "/api/invitations",                             Admin),
        ("DELETE",  "/api/invitations/{invitation}",                Admin),
        ("GET",     "/api/settings",                                SignedIn),
        ("PATCH",   "/api/settings",                                Admin),
        ("GET",     "/api/audit",                                   Admin),
        ("POST",    "/api/jobs",                                    Member),
        ("GET",     "/api/jobs",                                    SignedIn),
        ("GET",     "/api/jobs/{id}",                               JobReader),
        ("DELETE",  "/api/jobs/{id}",                               JobManager),
        ("GET",     "/api/jobs/{id}/frames",                        JobReader),
        ("GET",     "/api/jobs/{id}/attempts",                      JobReader),
        ("GET",     "/api/jobs/{id}/tasks/{index}/attempts",        JobReader),
        ("GET",     "/api/jobs/{id}/tasks/{index}/log",             JobReader),
        ("GET",     "/api/jobs/{id}/shares",                        JobManager),
        ("PUT",     "/api/jobs/{id}/shares/{user}",                 JobOwner),
        ("DELETE",  "/api/jobs/{id}/shares/{user}",                 JobOwner),
        ("POST",    "/api/jobs/{id}/upload",                        JobManager),
        ("OPTIONS", "/api/jobs/{id}/upload",                        JobReader),
        ("OPTIONS", "/api/jobs/{id}/uploads/{upload}",              JobReader),
        ("HEAD",    "/api/jobs/{id}/uploads/{upload}",              JobManager),
        ("PATCH",   "/api/jobs/{id}/uploads/{upload}",              JobManager),
        ("DELETE",  "/api/jobs/{id}/uploads/{upload}",              JobManager),
        ("GET",     "/api/jobs/{id}/files",                         JobReader),
        ("GET",     "/api/jobs/{id}/files/{file}/download",         JobReader),
        ("GET",     "/api/jobs/{id}/files/{file}/preview",          JobReader),
        ("GET",     "/api/jobs/{id}/archive",                       JobReader),
        ("GET",     "/api/events",                                  SignedIn),
        ("GET",     "/api/farm",                                    SignedIn),
        ("GET",     "/api/nodes",                                   SignedIn),
        ("GET",     "/api/nodes/{node}",                            SignedIn),
        ("DELETE",  "/api/nodes/{node}",                            Admin),
        ("GET",     "/api/tickets",                                 Admin),
        ("POST",    "/api/tickets",                                 Admin),
        ("DELETE",  "/api/tickets/{ticket}",                        Admin),
        ("POST",    "/api/runner/register",                         Public),
        ("POST",    "/api/runner/heartbeat",                        Runner),
        ("GET",     "/api/runner/tasks",                            Runner),
        ("POST",    "/api/runner/tasks/{task}/complete",            Runner),
        ("GET",     "/api/runner/files/{jobId}/{fileName}",         Runner),
        ("POST",    "/api/runner/files/{jobId}/upload",             Runner),
        ("GET",     "/api/admin/runners",                           Admin),
        ("GET",     "/api/admin/registration-tokens",               Admin),
        ("POST",    "/api/admin/registration-tokens",               Admin),
        ("DELETE",  "/api/admin/registration-tokens/{token}",       Admin),
        ("GET",     "/api/webhooks",                                SignedIn),
        ("POST",    "/api/webhooks",                                Member),
        ("GET",     "/api/webhooks/{webhook}",                      SignedIn),
        ("PATCH",   "/api/webhooks/{webhook}",                      Member),
        ("DELETE",  "/api/webhooks/{webhook}",                      Member),
        ("POST",    "/api/webhooks/{webhook}/test",                 Member),
        ("GET",     "/api/webhooks/{webhook}/deliveries",           SignedIn),
        ("GET",     "/api/openapi.json",                            Public),
        ("GET",     "/api/docs",                                    Public),
        ("GET",     "/api/docs/{file}",                             Public),
        ("GET",     "/livez",                                       Public),
        ("GET",     "/readyz",                                      Public),
        ("GET",     "/metrics",                                     Metrics),
    ]
};

fn is_about_job(access: Access) -> bool {
    matches!(
        access,
        Access::JobReader | Access::JobManager | Access::JobOwner
    )
}

#[test]
fn every_route_has_the_rule_that_is_written_down_for_it() {
    let line = |method: &str, path: &str, access: Access| format!("{method} {path}: {access:?}");
    let written: BTreeSet<String> = RULES
        .iter()
        .map(|(method, path, access)| line(method, path, *access))
        .collect();
    let served: BTreeSet<String> = table()
        .iter()
        .map(|route| line(route.method.as_str(), &route.path, route.access))
        .collect();
    let not_written: Vec<_> = served.difference(&written).collect();
    let not_served: Vec<_> = written.difference(&served).collect();
    assert!(
        not_written.is_empty() && not_served.is_empty(),
        "not written down: {not_written:#?}, written down but not so: {not_served:#?}"
    );
    assert_eq!(written.len(), RULES.len(), "each of them once");
}

#[test]
fn every_route_below_a_job_asks_for_a_right_to_that_job() {
    let mut seen = 0;
    for route in table() {
        let is_below_job = route.path.starts_with("/api/jobs/");
        assert_eq!(is_about_job(route.access), is_below_job, "{}", route.path);
        assert_eq!(is_below_job, route.path.starts_with("/api/jobs/{id}"));
        seen += usize::from(is_below_job);
    }
    assert!(seen >= 19, "{seen}");
}

#[test]
fn a_route_that_changes_something_asks_for_more_than_to_look() {
    let by_word = ["HEAD /api/jobs/{id}/uploads/{upload}"];
    for route in table() {
        let name = format!("{} {}", route.method, route.path);
        let changes = !route.method.is_safe() || by_word.contains(&name.as_str());
        assert_eq!(route.changes, changes, "{name}");
        assert!(!changes || route.access != Access::JobReader, "{name}");
    }
}

/// The route's path with what is there in its places, and ids of nothing where nothing is.
fn path_of(route: &Route, job: &str, file: &str) -> String {
    let nowhere = JobId::new().to_string();
    let parts = route.path.split('/').map(|part| match part {
        "{id}" | "{jobId}" => job.to_owned(),
        "{file}" => file.to_owned(),
        "{index}" | "{node}" => "1".to_owned(),
        "{provider}" => "oidc".to_owned(),
        part if part.starts_with('{') => nowhere.clone(),
        part => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

/// A farm with a job of one member and its scene.
struct Place {
    node: TestNode,
    owner: Client,
    job: String,
    file: String,
}

impl Place {
    async fn new() -> Self {
        let node = TestNode::start().await;
        let owner = node.signed_in(MEMBER).await;
        let job = owner.new_job(&json!({"name": "theirs"})).await;
        let (status, file) = owner.upload(&job, scene(1, 2, 100)).await;
        assert_eq!(status, StatusCode::CREATED, "{file}");
        let file = file["id"].as_str().unwrap().to_owned();
        Self {
            node,
            owner,
            job,
            file,
        }
    }

    /// Status and problem of a request to the route; only its head is read, since some never end.
    async fn ask(&self, client: &Client, route: &Route) -> (StatusCode, String) {
        let path = path_of(route, &self.job, &self.file);
        let mut request = client.request(route.method.clone(), &path);
        if route.changes {
            request = request.json(&json!({}));
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        let is_problem = response
            .headers()
            .get("content-type")
            .is_some_and(|kind| kind == "application/problem+json");
        // The answer to a HEAD has no body.
        if !is_problem || route.method == Method::HEAD {
            return (status, String::new());
        }
        let body: Value = response.json().await.unwrap();
        (status, problem(&body).to_owned())
    }

    /// The job as it was, and nothing else is there.
    async fn assert_unchanged(&self, users: usize) {
        let (status, job) = self.owner.get(&format!("/api/jobs/{}", self.job)).await;
        assert_eq!((status, &job["state"]), (StatusCode::OK, &json!("active")));
        let (jobs, users_now, webhooks) = self
            .node
            .log
            .read(|state| (state.jobs.len(), state.users.len(), state.webhooks.len()));
        assert_eq!((jobs, users_now, webhooks), (1, users, 0));
    }
}

fn is_refused(answer: &(StatusCode, String)) -> bool {
    answer.0 == StatusCode::FORBIDDEN && (answer.1 == "not-allowed" || answer.1.is_empty())
}

#[tokio::test]
async fn a_member_reaches_no_route_of_admins() {
    let place = Place::new().await;
    let member = place.node.signed_in(OTHER_MEMBER).await;
    // Not with a token that may do all that its user may, either.
    let token = member.with_scope("admin").await;
    let mut tried = 0;
    for route in table() {
        if !matches!(route.access, Access::Admin | Access::Metrics) {
            continue;
        }
        tried += 1;
        for client in [&member, &token] {
            let got = place.ask(client, &route).await;
            assert!(is_refused(&got), "{} {}: {got:?}", route.method, route.path);
        }
    }
    assert!(tried >= 18, "{tried}");
    place.assert_unchanged(3).await;
    place.node.stop().await;
}

#[tokio::test]
async fn a_viewer_changes_nothing_even_of_a_job_that_is_theirs_to_manage() {
    let place = Place::new().await;
    let change = UserChange::Role(UserRole::Viewer);
    place.node.change_user(OTHER_MEMBER, change).await;
    let viewer = place.node.signed_in(OTHER_MEMBER).await;
    let user = place.node.user(OTHER_MEMBER);
    place.owner.share(&place.job, user, "manage").await;
    let mut tried = 0;
    for route in table() {
        let name = format!("{} {}", route.method, route.path);
        let got = match route.access {
            // Their own account is theirs.
            Access::Public | Access::Runner | Access::Account | Access::SignedIn => continue,
            // They may look.
            Access::JobReader => {
                let got = place.ask(&viewer, &route).await;
                let is_let_through =
                    !matches!(got.0, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
                        && got.1 != "unknown-job";
                assert!(is_let_through, "{name}: {got:?}");
                continue;
            }
            _ => place.ask(&viewer, &route).await,
        };
        tried += 1;
        assert!(is_refused(&got), "{name}: {got:?}");
    }
    assert!(tried >= 28, "{tried}");
    place.assert_unchanged(3).await;
    place.node.stop().await;
}

#[tokio::test]
async fn a_share_reaches_as_far_as_it_says_on_every_route_of_its_job() {
    let place = Place::new().await;
    let other = place.node.signed_in(OTHER_MEMBER).await;
    let user = place.node.user(OTHER_MEMBER);
    let mut routes: Vec<Route> = table();
    routes.retain(|route| is_about_job(route.access));
    // What ends the job comes last.
    routes.sort_by_key(|route| route.method == Method::DELETE && route.path == "/api/jobs/{id}");
    for share in [None, Some("view"), Some("manage"), Some("own")] {
        let client = match share {
            Some("own") => &place.owner,
            _ => &other,
        };
        if let Some(access @ ("view" | "manage")) = share {
            place.owner.share(&place.job, user, access).await;
        }
        for route in &routes {
            let cancels = route.method == Method::DELETE && route.path == "/api/jobs/{id}";
            if cancels && share == Some("manage") {
                // It would end the job before its owner's turn; another test shows it.
                continue;
            }
            let got = place.ask(client, route).await;
            let name = format!("{} {} with {share:?}: {got:?}", route.method, route.path);
            let reach = match share {
                None => 0,
                Some("view") => 1,
                Some("manage") => 2,
                _ => 3,
            };
            let needed = match route.access {
                Access::JobReader => 1,
                Access::JobManager => 2,
                _ => 3,
            };
            if reach == 0 {
                assert_eq!(got.0, StatusCode::NOT_FOUND, "{name}");
                assert!(got.1 == "unknown-job" || got.1.is_empty(), "{name}");
            } else if reach < needed {
                assert!(is_refused(&got), "{name}");
            } else {
                let is_let_through = got.0 != StatusCode::FORBIDDEN
                    && got.0 != StatusCode::UNAUTHORIZED
                    && got.1 != "unknown-job";
                assert!(is_let_through, "{name}");
            }
        }
    }
    place.node.stop().await;
}

#[tokio::test]
async fn a_token_that_only_reads_changes_nothing() {
    let place = Place::new().await;
    let readers = [
        place.owner.with_scope("read").await,
        place.node.signed_in(ADMIN).await.with_scope("read").await,
    ];
    let mut tried = 0;
    for route in table() {
        if !route.changes || matches!(route.access, Access::Public | Access::Runner) {
            continue;
        }
        tried += 1;
        for reader in &readers {
            let got = place.ask(reader, &route).await;
            assert!(is_refused(&got), "{} {}: {got:?}", route.method, route.path);
        }
    }
    assert!(tried >= 30, "{tried}");
    place.assert_unchanged(3).await;
    place.node.stop().await;
}

#[tokio::test]
async fn a_viewer_looks_and_changes_nothing() {
    let place = Place::new().await;
    let password_hash = place.node.log.read(|state| {
        let user = state.user_by_email(MEMBER);
        user.unwrap().password_hash.clone()
    });
    let vera = UserId::new();
    place
        .node
        .propose(Action::UserCreated {
            user: vera,
            name: "Vera".into(),
            email: Some("vera@example.org".into()),
            identity: None,
            password_hash,
            role: UserRole::Viewer,
        })
        .await;
    let viewer = place.node.signed_in("vera@example.org").await;
    let path = format!("/api/jobs/{}", place.job);
    assert_eq!(viewer.get("/api/jobs").await.0, StatusCode::OK);
    assert_eq!(viewer.get(&path).await.0, StatusCode::NOT_FOUND);
    place.owner.share(&place.job, vera, "manage").await;
    assert_eq!(viewer.get(&path).await.0, StatusCode::OK);
    let (status, body) = viewer.post("/api/jobs", &json!({"name": "x"})).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(problem(&body), "not-allowed");
    let (status, body) = viewer.delete(&path).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(problem(&body), "not-allowed");
    place.assert_unchanged(4).await;
    place.node.stop().await;
}
