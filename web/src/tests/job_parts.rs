//! What belongs to a job beside its files: frames, attempts, logs, shares; and lists of jobs.

use jiggablend_raft::{
    Action, Epoch, Failure, FailureKind, FileId, FileKind, JobId, NewFile, TaskId,
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::node::*;

async fn active(client: &Client, name: &str, frames: i32) -> String {
    let job = client.new_job(&json!({"name": name})).await;
    let (status, body) = client.upload(&job, scene(1, frames, 10)).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    job
}

fn task(job: &str, index: u32) -> TaskId {
    TaskId {
        job: job.parse::<JobId>().unwrap(),
        index,
    }
}

async fn lease(node: &TestNode, task: TaskId, epoch: u32) {
    node.propose(Action::TasksLeased {
        node: NODE,
        leases: vec![(task, Epoch(epoch))],
    })
    .await;
}

async fn log_file(node: &TestNode, text: &str) -> NewFile {
    NewFile {
        id: FileId::new(),
        kind: FileKind::Log,
        name: "log.txt".into(),
        media_type: "text/plain".into(),
        content: node.store(text.as_bytes()).await,
        size_bytes: text.len() as u64,
        holders: vec![NODE],
    }
}

async fn text_of(client: &Client, path: &str) -> (StatusCode, String) {
    let response = client.request(Method::GET, path).send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

fn names(body: &Value) -> Vec<&str> {
    let jobs = body["jobs"].as_array().unwrap().iter();
    jobs.map(|job| job["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn frames_come_in_pages_and_by_state() {
    let node = TestNode::start().await;
    let client = node.operator();
    let job = active(&client, "a", 5).await;
    let content = node.store(&[1; 10]).await;
    node.commit_frame(&job, 1, content, 10).await;
    let path = format!("/api/jobs/{job}/frames");
    let (_, first) = client.get(&format!("{path}?limit=2")).await;
    let indexes = |page: &Value| -> Vec<u64> {
        let frames = page["frames"].as_array().unwrap().iter();
        frames
            .map(|frame| frame["index"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(indexes(&first), [0, 1]);
    assert_eq!(first["next_after_index"], 1);
    let (_, rest) = client.get(&format!("{path}?after_index=1")).await;
    assert_eq!(indexes(&rest), [2, 3, 4]);
    assert_eq!(rest["next_after_index"], Value::Null);
    let (_, done) = client.get(&format!("{path}?state=done")).await;
    assert_eq!(indexes(&done), [1]);
    assert_eq!(done["frames"][0]["render_ms"], 5);
    let (status, _) = client.get(&format!("{path}?limit=0")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, _) = client.get(&format!("{path}?state=asleep")).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    node.stop().await;
}

#[tokio::test]
async fn attempts_tell_who_did_what_and_what_became_of_it() {
    let node = TestNode::start().await;
    let client = node.operator();
    let job = active(&client, "a", 2).await;
    lease(&node, task(&job, 0), 1).await;
    node.propose(Action::TaskFailed {
        task: task(&job, 0),
        epoch: Epoch(1),
        failure: Failure {
            kind: FailureKind::Crashed,
            message: "Blender crashed".into(),
        },
        log: Some(log_file(&node, "one\ntwo\nthree\n").await),
    })
    .await;
    lease(&node, task(&job, 0), 2).await;
    lease(&node, task(&job, 1), 1).await;

    let (_, all) = client.get(&format!("/api/jobs/{job}/attempts")).await;
    let attempts = all["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 3);
    assert_eq!(attempts[0]["outcome"], "failed");
    assert_eq!(attempts[0]["failure"]["message"], "Blender crashed");
    assert_eq!(attempts[0]["frame"], 1);
    assert_eq!(attempts[1]["outcome"], "running");
    assert_eq!(attempts[1]["epoch"], 2);
    let path = format!("/api/jobs/{job}/tasks/0/attempts");
    let (_, page) = client.get(&format!("{path}?limit=1")).await;
    assert_eq!(page["attempts"].as_array().unwrap().len(), 1);
    let next = format!("{path}?cursor={}", page["next_cursor"]);
    let (_, page) = client.get(&next).await;
    assert_eq!(page["attempts"][0]["epoch"], 2);
    assert_eq!(page["next_cursor"], Value::Null);
    let (status, body) = client
        .get(&format!("/api/jobs/{job}/tasks/9/attempts"))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(problem(&body), "unknown-task");

    let log = format!("/api/jobs/{job}/tasks/0/log");
    let (status, text) = text_of(&client, &format!("{log}?attempt=1")).await;
    assert_eq!((status, &*text), (StatusCode::OK, "one\ntwo\nthree\n"));
    let (_, text) = text_of(&client, &format!("{log}?attempt=1&tail=2")).await;
    assert_eq!(text, "two\nthree\n");
    let (status, body) = client.get(&format!("{log}?attempt=7")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(problem(&body), "no-log");
    for bad in ["tail=0", "tail=10001", "follow=2", "attempt=-1"] {
        let (status, _) = client.get(&format!("{log}?{bad}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_running_attempts_log_is_followed_from_another_node_until_it_ends() {
    let node = TestNode::start().await;
    let mut neighbour = node.neighbour().await;
    let client = node.operator();
    let job = active(&client, "a", 1).await;
    let id = task(&job, 0);
    let log = format!("/api/jobs/{job}/tasks/0/log");
    lease(&node, id, 1).await;
    let (status, body) = client.get(&log).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{body}");

    node.printed().print(id, Epoch(1), "Fra:1");
    node.printed().print(id, Epoch(1), "Sample <1>/2");
    let elsewhere = neighbour.client_like(&client);
    let (_, text) = text_of(&elsewhere, &format!("{log}?tail=1")).await;
    assert_eq!(text, "Sample <1>/2\n");
    let following = elsewhere.request(Method::GET, &format!("{log}?follow=1"));
    let mut following = following.send().await.unwrap();
    let headers = following.headers();
    assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    let first = following.chunk().await.unwrap().unwrap();
    assert_eq!(first, "Fra:1\nSample <1>/2\n");
    node.printed().print(id, Epoch(1), "Saved");
    let next = following.chunk().await.unwrap().unwrap();
    assert_eq!(next, "Saved\n");
    node.printed().end(id, Epoch(1));
    assert_eq!(following.chunk().await.unwrap(), None);

    let stranger = node.signed_in(OTHER_MEMBER).await;
    let (status, _) = stranger.get(&log).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    neighbour.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn a_job_is_shared_by_its_owner_and_by_nobody_else() {
    let node = TestNode::start().await;
    let owner = node.signed_in(MEMBER).await;
    let other = node.signed_in(OTHER_MEMBER).await;
    let (_, me) = other.get("/api/auth/me").await;
    let other_id = me["user"]["id"].as_str().unwrap();
    let job = owner.new_job(&json!({"name": "a"})).await;
    let shares = format!("/api/jobs/{job}/shares");
    let with_other = format!("{shares}/{other_id}");
    let put = |client: &Client, access: &str| {
        let put = client.request(Method::PUT, &with_other);
        answer(put.json(&json!({"access": access})))
    };
    let (status, _) = put(&other, "view").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, body) = put(&owner, "view").await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["shares"][0]["access"], "view");
    assert_eq!(body["shares"][0]["user"]["id"], other_id);
    assert!(body["shares"][0]["user"].get("email").is_none());

    let (status, _) = other.get(&format!("/api/jobs/{job}")).await;
    assert_eq!(status, StatusCode::OK);
    let (_, list) = other.get("/api/jobs").await;
    assert_eq!(names(&list), ["a"]);
    let (_, list) = other.get("/api/jobs?owner=me").await;
    assert_eq!(names(&list), [""; 0]);
    let (status, _) = other.upload(&job, scene(1, 1, 10)).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "to look is not to manage");

    put(&owner, "manage").await;
    let (status, _) = other.get(&shares).await;
    assert_eq!(status, StatusCode::OK);
    let (status, body) = put(&other, "manage").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
    let (status, body) = other.upload(&job, scene(1, 1, 10)).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");

    let (status, _) = owner.delete(&with_other).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = other.get(&format!("/api/jobs/{job}")).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let nobody = format!("{shares}/{}", FileId::new());
    let put = owner.request(Method::PUT, &nobody);
    let (status, body) = answer(put.json(&json!({"access": "view"}))).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
    node.stop().await;
}

#[tokio::test]
async fn jobs_are_found_by_state_owner_and_name_and_in_any_order() {
    let node = TestNode::start().await;
    let client = node.signed_in(MEMBER).await;
    let admin = node.signed_in(ADMIN).await;
    for name in ["Kitchen", "attic", "cellar"] {
        active(&client, name, 1).await;
    }
    client.new_job(&json!({"name": "garden"})).await;
    active(&admin, "barn", 1).await;

    let list = async |client: &Client, query: &str| -> Vec<String> {
        let (status, body) = client.get(&format!("/api/jobs?{query}")).await;
        assert_eq!(status, StatusCode::OK, "{query}: {body}");
        names(&body).into_iter().map(str::to_owned).collect()
    };
    assert_eq!(
        list(&client, "").await,
        ["garden", "cellar", "attic", "Kitchen"]
    );
    assert_eq!(
        list(&client, "sort=created").await,
        ["Kitchen", "attic", "cellar", "garden"]
    );
    assert_eq!(
        list(&client, "sort=name").await,
        ["attic", "cellar", "garden", "Kitchen"]
    );
    assert_eq!(list(&client, "sort=state").await[0], "garden");
    assert_eq!(list(&client, "state=awaiting_scene").await, ["garden"]);
    assert_eq!(list(&client, "q=KITCH").await, ["Kitchen"]);
    assert_eq!(list(&admin, "owner=me").await, ["barn"]);
    assert_eq!(list(&admin, "owner=all").await.len(), 5);
    let (_, me) = client.get("/api/auth/me").await;
    let id = me["user"]["id"].as_str().unwrap();
    assert_eq!(list(&admin, &format!("owner={id}")).await.len(), 4);
    let (_, admins) = admin.get("/api/auth/me").await;
    let admins = admins["user"]["id"].as_str().unwrap();
    assert_eq!(list(&client, &format!("owner={admins}")).await.len(), 0);

    for sort in ["-created", "created", "name", "state", "finished"] {
        let whole = list(&client, &format!("sort={sort}")).await;
        let mut paged = Vec::new();
        let mut cursor = String::new();
        loop {
            let path = format!("/api/jobs?sort={sort}&limit=1{cursor}");
            let (_, page) = client.get(&path).await;
            paged.extend(names(&page).into_iter().map(str::to_owned));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(paged, whole, "{sort}");
    }
    for bad in [
        "limit=0",
        "limit=501",
        "sort=size",
        "owner=bob",
        "state=x",
        "cursor=x",
    ] {
        let (status, body) = client.get(&format!("/api/jobs?{bad}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{bad}: {body}");
    }
    node.stop().await;
}

#[tokio::test]
async fn a_key_makes_one_job_however_often_it_is_sent() {
    let node = TestNode::start().await;
    let mut neighbour = node.neighbour().await;
    let client = node.signed_in(MEMBER).await;
    let create = async |client: &Client, key: &str, body: Value| {
        let create = client
            .request(Method::POST, "/api/jobs")
            .header("idempotency-key", key);
        answer(create.json(&body)).await
    };
    let (status, first) = create(&client, "k1", json!({"name": "a"})).await;
    assert_eq!(status, StatusCode::CREATED, "{first}");
    let (status, again) = create(&client, "k1", json!({"name": "a"})).await;
    assert_eq!(status, StatusCode::CREATED);
    assert_eq!(again["id"], first["id"]);
    let elsewhere = neighbour.client_like(&client);
    let (_, again) = create(&elsewhere, "k1", json!({"name": "a"})).await;
    assert_eq!(again["id"], first["id"], "on any node");
    let (status, body) = create(&client, "k1", json!({"name": "b"})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem(&body), "idempotency-key-reused");
    let (_, other_key) = create(&client, "k2", json!({"name": "a"})).await;
    assert_ne!(other_key["id"], first["id"]);
    let other = node.signed_in(OTHER_MEMBER).await;
    let (status, others) = create(&other, "k1", json!({"name": "b"})).await;
    assert_eq!(status, StatusCode::CREATED, "a key is its caller's alone");
    assert_ne!(others["id"], first["id"]);
    let (status, _) = create(&client, "with space", json!({"name": "a"})).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    neighbour.stop().await;
    node.stop().await;
}

#[tokio::test]
async fn a_jobs_files_come_in_pages() {
    let node = TestNode::start().await;
    let client = node.operator();
    let job = active(&client, "a", 3).await;
    for index in 0..3 {
        let content = node.store(&[1; 10]).await;
        node.commit_frame(&job, index, content, 10).await;
    }
    let path = format!("/api/jobs/{job}/files?kind=frame&limit=2");
    let (_, page) = client.get(&path).await;
    assert_eq!(page["files"].as_array().unwrap().len(), 2);
    let (_, rest) = client
        .get(&format!("{path}&cursor={}", page["next_cursor"]))
        .await;
    assert_eq!(rest["files"].as_array().unwrap().len(), 1);
    assert_eq!(rest["files"][0]["name"], "frame_0003.png");
    assert_eq!(rest["next_cursor"], Value::Null);
    node.stop().await;
}
