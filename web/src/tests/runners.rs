//! The doors of runners that speak only HTTP. That they render is shown where there are processes.

use jiggablend_raft::{Action, Epoch, JobId, NodeId, TaskId};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::node::*;
use crate::access::Access;
use crate::routes::table;

async fn registration_token(node: &TestNode, body: &Value) -> Value {
    let path = "/api/admin/registration-tokens";
    let (status, token) = node.operator().post(path, body).await;
    assert_eq!(status, StatusCode::CREATED, "{token}");
    token
}

async fn register(node: &TestNode, token: &str) -> (StatusCode, Value) {
    let body = json!({
        "token": token,
        "name": "cloud-1",
        "facts": {"blender_version": "3.4.1", "slots": 2, "ffmpeg": "ffmpeg version 5.1"},
    });
    node.client().post("/api/runner/register", &body).await
}

/// A runner's id, and a client with its credential.
async fn a_runner(node: &TestNode) -> (NodeId, Client) {
    let token = registration_token(node, &json!({"name": "test"})).await;
    let (status, registered) = register(node, token["token"].as_str().unwrap()).await;
    assert_eq!(status, StatusCode::CREATED, "{registered}");
    let id = NodeId(registered["runner"].as_u64().unwrap());
    let credential = registered["credential"].as_str().unwrap();
    assert!(credential.starts_with("jbr_"));
    (id, node.client().with_token(credential))
}

/// A path of the table with something in each of its places.
fn path_of(path: &str) -> String {
    let nowhere = JobId::new().to_string();
    let parts = path.split('/').map(|part| match part {
        "{task}" => format!("{nowhere}.0"),
        part if part.starts_with('{') => nowhere.clone(),
        part => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn a_runner_reaches_its_own_routes_and_nobody_else_does() {
    let node = TestNode::start().await;
    let (_, runner) = a_runner(&node).await;
    let admin = node.signed_in(ADMIN).await;
    let operator = node.operator();
    let mut of_runners = 0;
    for route in table() {
        let path = path_of(&route.path);
        let ask = |client: &Client| {
            let request = client.request(route.method.clone(), &path);
            answer(request.json(&json!({})))
        };
        if route.access == Access::Runner {
            of_runners += 1;
            for client in [&admin, &operator, &node.client()] {
                let (status, body) = ask(client).await;
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{} {path}", route.method);
                assert_eq!(problem(&body), "not-signed-in");
            }
            let (status, _) = ask(&runner).await;
            assert_ne!(status, StatusCode::UNAUTHORIZED, "{} {path}", route.method);
        } else if route.access != Access::Public {
            let (status, _) = ask(&runner).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{} {path}", route.method);
        }
    }
    assert_eq!(of_runners, 5);
    node.stop().await;
}

#[tokio::test]
async fn a_token_lets_one_runner_in_and_a_revoked_one_nobody() {
    let node = TestNode::start().await;
    let made = registration_token(&node, &json!({"name": "one", "ttl_seconds": 60})).await;
    let token = made["token"].as_str().unwrap();
    assert!(token.starts_with("jbg_"));
    assert_eq!(register(&node, token).await.0, StatusCode::CREATED);
    let (status, body) = register(&node, token).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(problem(&body), "wrong-registration-token");

    let fleet = registration_token(&node, &json!({"name": "fleet", "reusable": true})).await;
    let (token, id) = (
        fleet["token"].as_str().unwrap(),
        fleet["id"].as_str().unwrap(),
    );
    assert_eq!(register(&node, token).await.0, StatusCode::CREATED);
    assert_eq!(register(&node, token).await.0, StatusCode::CREATED);
    let admin = node.signed_in(ADMIN).await;
    let (_, list) = admin.get("/api/admin/registration-tokens").await;
    let listed = list["registration_tokens"].as_array().unwrap();
    let used = |id: &Value| {
        let token = listed.iter().find(|token| token["id"] == *id);
        token.unwrap()["used"].clone()
    };
    assert_eq!(
        (used(&made["id"]), used(&fleet["id"])),
        (json!(1), json!(2))
    );
    assert!(!list.to_string().contains(token), "secrets are shown once");

    let path = format!("/api/admin/registration-tokens/{id}");
    assert_eq!(admin.delete(&path).await.0, StatusCode::NO_CONTENT);
    assert_eq!(register(&node, token).await.0, StatusCode::UNAUTHORIZED);
    let (status, body) = admin.delete(&path).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(problem(&body), "unknown-registration-token");

    let member = node.signed_in(MEMBER).await;
    let path = "/api/admin/registration-tokens";
    let (status, _) = member.post(path, &json!({"name": "x"})).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    node.stop().await;
}

#[tokio::test]
async fn registering_again_with_the_same_key_gets_the_same_runner() {
    let node = TestNode::start().await;
    let made = registration_token(&node, &json!({"name": "one"})).await;
    let body = json!({"token": made["token"], "name": "cloud", "facts": {}});
    let register = |key: String| {
        let client = node.client();
        let request = client.request(Method::POST, "/api/runner/register");
        answer(request.header("Idempotency-Key", key).json(&body))
    };
    let first = register("k".repeat(32)).await;
    assert_eq!(first.0, StatusCode::CREATED, "{first:?}");
    assert_eq!(register("k".repeat(32)).await, first);
    assert_eq!(register("j".repeat(32)).await.0, StatusCode::UNAUTHORIZED);
    let (status, body) = register("short".into()).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(problem(&body), "invalid-request");
    node.stop().await;
}

#[tokio::test]
async fn a_removed_runner_is_let_in_no_more() {
    let node = TestNode::start().await;
    let (id, runner) = a_runner(&node).await;
    let heartbeat = json!({"holding": []});
    let (status, _) = runner.post("/api/runner/heartbeat", &heartbeat).await;
    assert_eq!(status, StatusCode::OK);
    node.propose(Action::NodeRemoved { node: id }).await;
    let (status, _) = runner.post("/api/runner/heartbeat", &heartbeat).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    node.stop().await;
}

#[tokio::test]
async fn a_runner_that_asks_has_room_and_is_told_what_is_not_its_own() {
    let node = TestNode::start().await;
    let (id, runner) = a_runner(&node).await;
    let lease = json!({"task": format!("{}.0", JobId::new()), "epoch": 3, "fraction": 0.5});
    let (status, told) = runner
        .post("/api/runner/heartbeat", &json!({"holding": [lease]}))
        .await;
    assert_eq!(status, StatusCode::OK, "{told}");
    let revoked = json!([{"task": lease["task"], "epoch": 3}]);
    assert_eq!(told["revoked"], revoked, "the farm has no such lease");
    let heard = node.runners.last().unwrap();
    assert_eq!(
        (heard.runner, heard.render_slots),
        (id, 0),
        "it has not asked"
    );
    assert_eq!(heard.progress, [], "nor is it told how far that is");

    let asking = runner.get("/api/runner/tasks?max=2&wait_seconds=60");
    let asked = async {
        loop {
            if node.runners.last().unwrap().render_slots == 2 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        (status, body) = asking => panic!("there is no task: {status} {body}"),
        asked = tokio::time::timeout(PATIENCE, asked) => asked.expect("the leader is told"),
    }
    let (status, tasks) = runner.get("/api/runner/tasks").await;
    assert_eq!((status, &tasks["tasks"]), (StatusCode::OK, &json!([])));
    assert_eq!(node.runners.last().unwrap().render_slots, 0);
    node.stop().await;
}

#[tokio::test]
async fn a_lease_is_given_to_the_runner_that_has_it_with_what_it_needs() {
    let node = TestNode::start().await;
    let (id, runner) = a_runner(&node).await;
    let (_, other) = a_runner(&node).await;
    let owner = node.signed_in(MEMBER).await;
    let job = owner.new_job(&json!({"frames": "5-6"})).await;
    let bytes = scene(5, 6, 3000);
    let (status, file) = owner.upload(&job, bytes.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{file}");
    let task = TaskId {
        job: job.parse().unwrap(),
        index: 1,
    };
    let asking = runner.get("/api/runner/tasks?wait_seconds=60");
    let leased = node.propose(Action::TasksLeased {
        node: id,
        leases: vec![(task, Epoch(1))],
    });
    let ((status, tasks), ()) = tokio::join!(asking, leased);
    assert_eq!(status, StatusCode::OK, "{tasks}");
    let given = &tasks["tasks"][0];
    assert_eq!(given["id"], format!("{job}.1"));
    assert_eq!(
        (&given["kind"], &given["frame"]),
        (&json!("frame"), &json!(6))
    );
    assert_eq!(given["scene"]["name"], "Küche.blend");

    let url = given["scene"]["url"].as_str().unwrap();
    let by_content = format!(
        "/api/runner/files/{job}/{}",
        given["scene"]["content"].as_str().unwrap()
    );
    for path in [url, &by_content] {
        let request = runner
            .request(Method::GET, path)
            .header("range", "bytes=100-");
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(response.bytes().await.unwrap(), bytes[100..]);
        let (status, body) = other.get(path).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(problem(&body), "unknown-file");
    }
    let (status, _) = runner
        .get(&format!("/api/runner/files/{job}/frame_0005.png"))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND, "its task needs no frame");

    let released = json!({"holding": [], "released": [{"task": given["id"], "epoch": 1}]});
    let (status, _) = runner.post("/api/runner/heartbeat", &released).await;
    assert_eq!(status, StatusCode::OK);
    let (status, _) = runner.get(url).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "the lease is over");
    node.stop().await;
}

#[tokio::test]
async fn what_is_wrongly_sent_is_refused_and_named() {
    let node = TestNode::start().await;
    let (_, runner) = a_runner(&node).await;
    let many: Vec<Value> = (0..1025)
        .map(|index| json!({"task": format!("{}.{index}", JobId::new()), "epoch": 1}))
        .collect();
    let task = format!("{}.0", JobId::new());
    for wrong in [
        json!({}),
        json!({"holding": [], "colour": 1}),
        json!({"holding": [{"task": "x", "epoch": 1}]}),
        json!({"holding": [{"task": task, "epoch": -1}]}),
        json!({"holding": [{"task": task, "epoch": 1, "fraction": 1.5}]}),
        json!({"holding": [], "slots": 0}),
        json!({"holding": [], "facts": {"slots": 257}}),
        json!({"holding": many}),
    ] {
        let (status, body) = runner.post("/api/runner/heartbeat", &wrong).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        assert_eq!(problem(&body), "invalid-request");
    }
    for wrong in ["max=0", "max=65", "wait_seconds=61", "max=-1", "colour=1"] {
        let (status, body) = runner.get(&format!("/api/runner/tasks?{wrong}")).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{wrong}");
        assert_eq!(problem(&body), "invalid-request");
    }
    let complete = |task: &str, body: Value| {
        let path = format!("/api/runner/tasks/{task}/complete");
        let runner = runner.clone();
        async move { runner.post(&path, &body).await }
    };
    let (status, body) = complete("x", json!({"epoch": 1})).await;
    assert_eq!(
        (status, problem(&body)),
        (StatusCode::NOT_FOUND, "unknown-task")
    );
    let (status, body) = complete(&task, json!({"epoch": 1})).await;
    assert_eq!(
        (status, problem(&body)),
        (StatusCode::CONFLICT, "stale-lease")
    );
    node.stop().await;
}

#[tokio::test]
async fn admins_see_all_runners_and_how_they_are_reached() {
    let node = TestNode::start().await;
    let (id, _) = a_runner(&node).await;
    let admin = node.signed_in(ADMIN).await;
    let (status, list) = admin.get("/api/admin/runners").await;
    assert_eq!(status, StatusCode::OK, "{list}");
    let runners = list["runners"].as_array().unwrap();
    let of = |id: u64| runners.iter().find(|runner| runner["id"] == id).unwrap();
    assert_eq!(of(1)["reach"], "mesh");
    let over_http = of(id.0);
    assert_eq!(over_http["reach"], "http");
    assert_eq!(over_http["state"], "away", "it has said nothing yet");
    assert_eq!(over_http["name"], "cloud-1");
    assert_eq!(over_http["runner"]["blender_version"], "3.4.1");
    assert_eq!(over_http["peer_id"], Value::Null);
    node.live.set_connected([id].into());
    let (_, list) = admin.get("/api/admin/runners").await;
    assert!(list.to_string().contains("\"idle\""), "{list}");
    node.stop().await;
}

/// A runner with a lease for the first frame of a job.
async fn a_lease(node: &TestNode, runner: NodeId) -> TaskId {
    let owner = node.signed_in(MEMBER).await;
    let job = owner.new_job(&json!({"frames": "1-2"})).await;
    let (status, file) = owner.upload(&job, scene(1, 2, 100)).await;
    assert_eq!(status, StatusCode::CREATED, "{file}");
    let task = TaskId {
        job: job.parse().unwrap(),
        index: 0,
    };
    node.propose(Action::TasksLeased {
        node: runner,
        leases: vec![(task, Epoch(1))],
    })
    .await;
    task
}

fn facts(width_px: u32) -> Value {
    json!({
        "blender_version": "3.4.1", "engine": "CYCLES", "width_px": width_px, "height_px": 36,
        "fps_numerator": 24, "fps_denominator": 1,
    })
}

#[tokio::test]
async fn a_lease_that_is_over_says_nothing_of_the_scene() {
    let node = TestNode::start().await;
    let (id, runner) = a_runner(&node).await;
    let task = a_lease(&node, id).await;
    let path = format!("/api/runner/tasks/{}.0/complete", task.job);
    let known = || {
        node.log
            .read(|state| state.jobs[&task.job].scene_facts.clone())
    };
    let fail = |epoch: u32, width_px: u32| {
        json!({
            "epoch": epoch, "scene_facts": facts(width_px),
            "failure": {"kind": "crashed", "message": "it crashed"},
        })
    };
    node.propose(Action::LeasesEnded {
        leases: vec![(task, Epoch(1))],
        reason: jiggablend_raft::LeaseEnd::NodeLost,
    })
    .await;
    let (status, body) = runner.post(&path, &fail(1, 64)).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
    assert_eq!(problem(&body), "stale-lease");
    assert_eq!(known(), None, "a lease that is over changes nothing");

    node.propose(Action::TasksLeased {
        node: id,
        leases: vec![(task, Epoch(2))],
    })
    .await;
    let (status, body) = runner.post(&path, &fail(1, 64)).await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
    assert_eq!(known(), None);
    let (status, body) = runner.post(&path, &fail(2, 128)).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(known().unwrap().width_px, 128);
    node.stop().await;
}

fn png(shade: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let pixel = image::Rgb([shade; 3]);
    let picture = image::RgbImage::from_pixel(64, 36, pixel);
    picture
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

async fn send(runner: &Client, task: TaskId, kind: &str, bytes: &[u8]) -> (StatusCode, Value) {
    let form = reqwest::multipart::Form::new()
        .text("task", format!("{}.{}", task.job, task.index))
        .text("epoch", "1")
        .text("kind", kind.to_owned())
        .text("blake3", blake3::hash(bytes).to_hex().to_string())
        .part("file", reqwest::multipart::Part::bytes(bytes.to_vec()));
    let path = format!("/api/runner/files/{}/upload", task.job);
    answer(runner.request(Method::POST, &path).multipart(form)).await
}

#[tokio::test]
async fn a_lease_has_one_output_and_one_log() {
    let node = TestNode::start().await;
    let (id, runner) = a_runner(&node).await;
    let task = a_lease(&node, id).await;
    // What is refused is not the one.
    let (status, body) = send(&runner, task, "output", b"no picture").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
    for (kind, first, second) in [
        ("output", png(1), png(2)),
        ("log", b"one".to_vec(), b"two".to_vec()),
    ] {
        let (status, sent) = send(&runner, task, kind, &first).await;
        assert_eq!(status, StatusCode::CREATED, "{sent}");
        let used = node.content().store().used_bytes();
        let (status, body) = send(&runner, task, kind, &second).await;
        assert_eq!(status, StatusCode::CONFLICT, "{body}");
        assert_eq!(problem(&body), "conflict");
        assert_eq!(node.content().store().used_bytes(), used);
        // Its answer was lost: the same again.
        let (status, again) = send(&runner, task, kind, &first).await;
        assert_eq!(status, StatusCode::CREATED, "{again}");
        assert_eq!(again["content"], sent["content"]);
    }
    node.stop().await;
}

#[tokio::test]
async fn an_output_that_is_larger_than_its_picture_can_be_is_not_taken_in() {
    let node = TestNode::start().await;
    let (id, runner) = a_runner(&node).await;
    let task = a_lease(&node, id).await;
    let facts = jiggablend_raft::SceneFacts {
        blender_version: "3.4.1".into(),
        engine: "CYCLES".into(),
        width_px: 64,
        height_px: 36,
        fps_numerator: 24,
        fps_denominator: 1,
    };
    let job = task.job;
    node.propose(Action::SceneInspected { job, facts }).await;
    let mut bloated = png(1);
    bloated.resize(20 << 20, 0);
    let (status, body) = send(&runner, task, "output", &bloated).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{body}");
    assert_eq!(problem(&body), "too-large");
    let (status, body) = send(&runner, task, "output", &png(1)).await;
    assert_eq!(status, StatusCode::CREATED, "{body}");
    node.stop().await;
}
