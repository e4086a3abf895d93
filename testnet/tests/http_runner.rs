//! Runners that speak only HTTP render beside those of the mesh, and lose no more than they.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::io::Cursor;
use std::path::Path;
use std::time::Duration;

use common::{JOB_DEADLINE, SOON, decoded_size, download_frames, job_of, scene_in};
use jiggablend_testnet::api::Api;
use jiggablend_testnet::farm::{Farm, FarmOptions};
use jiggablend_testnet::http_runner::{HttpRunner, join_command};
use jiggablend_testnet::program::{blender, checkout};
use jiggablend_testnet::scenes::{Recipe, Scene};
use jiggablend_testnet::wait::{Look, wait_for};
use jiggablend_testnet::wire::{Job, Task, TaskState};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

/// Longer than the farm waits for a silent runner, and its leases after that.
const LEASES_HAVE_ENDED: Duration = Duration::from_secs(60);

fn without_runners() -> FarmOptions {
    FarmOptions {
        arguments: vec!["--no-render".into()],
        // Nor does a node make videos.
        environment: vec![("JIGGABLEND_FFMPEG".into(), "/no/such/ffmpeg".into())],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_python_script_renders_a_whole_job_through_the_runner_routes_alone() {
    let farm = Farm::start_with(2, without_runners()).await.unwrap();
    let scene = scene_in(&farm, Recipe::of(Scene::Short)).await;
    let token = farm.api(1).registration_token(false).await.unwrap();
    let mut script = Command::new("python3");
    script
        .arg(checkout().join("testnet/tests/http_runner.py"))
        .args(["--url", farm.api(2).url(), "--token", &token])
        .arg("--blender")
        .arg(blender())
        .args(["--ffmpeg", "ffmpeg"]);
    let runner = HttpRunner::start(script, &farm.dir().join("python.log"))
        .await
        .unwrap();
    let job = farm
        .api(1)
        .submit(&scene, &job_of("1-4", true))
        .await
        .unwrap();
    let done = farm.wait_until_done(1, &job, JOB_DEADLINE).await.unwrap();

    for task in &done.tasks {
        assert_eq!(task.node, Some(runner.id()), "{task:?}");
        assert_eq!((task.epoch, task.failed_attempts), (1, 0), "{task:?}");
    }
    for (number, _) in farm.nodes() {
        let frames = download_frames(farm.api(number), &done).await;
        assert_eq!(frames.len(), 4);
        for (frame, (file, bytes)) in &frames {
            assert_eq!(decoded_size(bytes), (240, 135), "frame {frame}");
            assert_eq!(file.holders.len(), 2, "it is on two nodes: {file:?}");
        }
        let video = done.video_file.as_ref().expect("a video");
        let video = farm.api(number).download(video).await.unwrap();
        assert_eq!(&video[4..8], b"ftyp");
    }
    let logs = farm.api(1).files(&job, Some("log")).await.unwrap();
    assert_eq!(logs.len(), 5, "each attempt brought its log");
    let again = register(farm.api(1), &token, "another").await;
    assert_eq!(again.0, 401, "the token lets one runner in: {again:?}");
    drop(runner);
    farm.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_over_http_outlives_its_own_end_and_that_of_the_node_it_talks_to() {
    let mut farm = Farm::start(3).await.unwrap();
    let recipe = Recipe::of(Scene::Short).samples(48);
    let scene = scene_in(&farm, recipe).await;
    let leader = farm.leader().await.unwrap();
    let entry = farm.a_follower().await.unwrap();
    let token = farm.api(leader).registration_token(false).await.unwrap();
    let entry_url = farm.api(entry).url().to_owned();
    let data = farm.dir().join("http-runner");
    let start = |token: Option<String>, log: &str| {
        let command = join_command(&[&entry_url], token.as_deref(), "over http", &data);
        let log = data.with_file_name(log);
        async move { HttpRunner::start(command.unwrap(), &log).await }
    };
    let runner = start(Some(token), "first.log").await.unwrap();
    let id = runner.id();
    let job = farm
        .api(leader)
        .submit(&scene, &job_of("1-30", false))
        .await
        .unwrap();
    let api = farm.api(leader).clone();
    let at_work = |least_done: usize| {
        let api = &api;
        let job = &job;
        wait_for("the HTTP runner to be at work", SOON, move || async move {
            let seen = match api.job(job).await {
                Ok(seen) => seen,
                Err(error) => return Look::NotYet(error.to_string()),
            };
            let done = tasks_of(&seen, id, TaskState::Done).len();
            match tasks_of(&seen, id, TaskState::Leased) {
                leased if done >= least_done && !leased.is_empty() => Look::Seen((done, leased)),
                _ => Look::NotYet(format!("{done} by it; {}", seen.in_one_line())),
            }
        })
    };
    let (done, _) = at_work(1).await.unwrap();
    runner.kill_hard().await.unwrap();

    // Its credential is on its disk: it needs no token to go on.
    let runner = start(None, "second.log").await.unwrap();
    assert_eq!(runner.id(), id, "it is the same runner");
    let (_, leases) = at_work(done + 1).await.unwrap();
    farm.kill_hard(entry).await.unwrap();

    let done = farm
        .wait_until_done(leader, &job, JOB_DEADLINE)
        .await
        .unwrap();
    assert_eq!(done.frames_done(), 30);
    for lease in leases {
        let task = &done.tasks[lease.index as usize];
        assert_eq!(
            (task.node, task.epoch),
            (Some(id), lease.epoch),
            "it went on with what it had at another node: {task:?}"
        );
    }
    let by_nodes: BTreeSet<Option<u64>> = done.tasks.iter().map(|task| task.node).collect();
    assert!(by_nodes.len() > 1, "mesh runners rendered beside it");
    let frames = farm.api(leader).files(&job, Some("frame")).await.unwrap();
    let ids: BTreeSet<&str> = frames.iter().map(|file| file.id.as_str()).collect();
    assert_eq!(ids.len(), 30, "each frame was committed once");
    for (frame, (_, bytes)) in download_frames(farm.api(leader), &done).await {
        assert_eq!(decoded_size(&bytes), (240, 135), "frame {frame}");
    }
    runner.stop().await.unwrap();
    farm.stop().await.unwrap();
}

/// The job's tasks in that state which are, or were, that node's.
fn tasks_of(job: &Job, node: u64, state: TaskState) -> Vec<Task> {
    let tasks = job.tasks.iter();
    tasks
        .filter(|task| task.node == Some(node) && task.state == state)
        .cloned()
        .collect()
}

/// A runner that is nothing but calls.
struct Caller {
    api: Api,
}

async fn register(api: &Api, token: &str, name: &str) -> (u16, Value) {
    let body = json!({
        "token": token,
        "name": name,
        "facts": {"blender_version": "3.4.1", "slots": 1},
    });
    let nobody = Api::without_sign_in(api.url());
    answer(
        nobody
            .request(Method::POST, "/api/runner/register")
            .json(&body),
    )
    .await
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
    (status, body)
}

/// The last part of a problem's type.
fn problem(answer: &(u16, Value)) -> (u16, &str) {
    let name = answer.1["type"].as_str().unwrap_or_default();
    (answer.0, name.rsplit(':').next().unwrap_or_default())
}

impl Caller {
    async fn new(api: &Api, token: &str, name: &str) -> Self {
        let (status, registered) = register(api, token, name).await;
        assert_eq!(status, 201, "{registered}");
        let credential = registered["credential"].as_str().unwrap();
        Self {
            api: Api::with_token(api.url(), credential),
        }
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.api.request(Method::POST, path).json(body)).await
    }

    async fn heartbeat(&self, holding: &[&Value]) -> Value {
        let holding: Vec<Value> = holding
            .iter()
            .map(|task| json!({"task": task["id"], "epoch": task["epoch"]}))
            .collect();
        let body = json!({ "holding": holding });
        let (status, answered) = self.post("/api/runner/heartbeat", &body).await;
        assert_eq!(status, 200, "{answered}");
        answered
    }

    /// Asks for one task until there is one.
    async fn next_task(&self) -> Value {
        wait_for("a task for the runner", LEASES_HAVE_ENDED, || async {
            let path = "/api/runner/tasks?max=1&wait_seconds=10";
            let (status, tasks) = answer(self.api.request(Method::GET, path)).await;
            assert_eq!(status, 200, "{tasks}");
            match tasks["tasks"].as_array().unwrap().first() {
                Some(task) => Look::Seen(task.clone()),
                None => Look::NotYet("no task".into()),
            }
        })
        .await
        .unwrap()
    }

    async fn upload(&self, task: &Value, bytes: &[u8], hash: &str) -> (u16, Value) {
        let form = reqwest::multipart::Form::new()
            .text("task", task["id"].as_str().unwrap().to_owned())
            .text("epoch", task["epoch"].to_string())
            .text("blake3", hash.to_owned())
            .part(
                "file",
                reqwest::multipart::Part::bytes(bytes.to_vec()).file_name("frame.png"),
            );
        let job = task["job"].as_str().unwrap();
        let path = format!("/api/runner/files/{job}/upload");
        answer(self.api.request(Method::POST, &path).multipart(form)).await
    }

    async fn complete(&self, task: &Value, mut body: Value) -> (u16, Value) {
        body["epoch"] = task["epoch"].clone();
        let id = task["id"].as_str().unwrap();
        let path = format!("/api/runner/tasks/{id}/complete");
        self.post(&path, &body).await
    }

    async fn scene(&self, task: &Value) -> u16 {
        let url = task["scene"]["url"].as_str().unwrap();
        let request = self.api.request(Method::GET, url);
        request.send().await.unwrap().status().as_u16()
    }
}

fn png(shade: u8) -> Vec<u8> {
    let picture = image::RgbImage::from_pixel(240, 135, image::Rgb([shade, 0, 0]));
    let mut bytes = Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, image::ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_whose_lease_is_over_can_neither_read_nor_bring_nor_complete() {
    let farm = Farm::start_with(1, without_runners()).await.unwrap();
    let scene = scene_in(&farm, Recipe::of(Scene::Short)).await;
    let api = farm.api(1);
    let token = api.registration_token(true).await.unwrap();
    let silent = Caller::new(api, &token, "silent").await;
    let job = api.submit(&scene, &job_of("7", false)).await.unwrap();
    let first = silent.next_task().await;
    assert_eq!(first["frame"], 7);
    assert_eq!(first["epoch"], 1);
    assert_eq!(silent.heartbeat(&[&first]).await["revoked"], json!([]));
    assert_eq!(silent.scene(&first).await, 200);
    let its_picture = png(1);
    let brought = silent
        .upload(&first, &its_picture, &hash(&its_picture))
        .await;
    assert_eq!(brought.0, 201, "{brought:?}");
    let handle = brought.1["file"].clone();

    // It says nothing more: another runner gets the frame.
    let other = Caller::new(api, &token, "other").await;
    assert_eq!(other.scene(&first).await, 404, "it has no lease of the job");
    let second = other.next_task().await;
    assert_eq!((&second["id"], &second["epoch"]), (&first["id"], &json!(2)));

    let late = silent
        .upload(&first, &its_picture, &hash(&its_picture))
        .await;
    assert_eq!(problem(&late), (409, "stale-lease"));
    let late = silent.complete(&first, json!({"output": handle})).await;
    assert_eq!(problem(&late), (409, "stale-lease"));
    let failure = json!({"failure": {"kind": "crashed", "message": "it crashed"}});
    let late = silent.complete(&first, failure.clone()).await;
    assert_eq!(problem(&late), (409, "stale-lease"));
    assert_eq!(silent.scene(&first).await, 404);
    let revoked = &silent.heartbeat(&[&first]).await["revoked"];
    assert_eq!(*revoked, json!([{"task": first["id"], "epoch": 1}]));
    let foreign = other.complete(&second, json!({"output": handle})).await;
    assert_eq!(
        problem(&foreign),
        (422, "invalid-request"),
        "not its handle"
    );

    let picture = png(2);
    let broken = &picture[..picture.len() / 2];
    let wrong = other.upload(&second, &picture, &hash(broken)).await;
    assert_eq!(problem(&wrong), (422, "wrong-hash"));
    let wrong = other.upload(&second, broken, &hash(broken)).await;
    assert_eq!(problem(&wrong), (422, "wrong-picture"));
    let brought = other.upload(&second, &picture, &hash(&picture)).await;
    assert_eq!(brought.0, 201, "{brought:?}");
    let output = json!({"output": brought.1["file"], "render_ms": 5});
    let completed = other.complete(&second, output.clone()).await;
    assert_eq!((completed.0, &completed.1["state"]), (200, &json!("done")));
    let again = other.complete(&second, output).await;
    assert_eq!(again, completed, "a lost answer is given again");
    let changed = other.complete(&second, failure).await;
    assert_eq!(problem(&changed), (409, "stale-lease"));

    let done = farm.wait_until_done(1, &job, SOON).await.unwrap();
    let frames = download_frames(api, &done).await;
    assert!(frames[&7].1 == picture, "the frame is the one that counts");
    assert_eq!(done.tasks[0].failed_attempts, 0);
    farm.stop().await.unwrap();
}

#[test]
fn the_script_is_where_the_tests_and_the_docs_say() {
    let script = Path::new("testnet/tests/http_runner.py");
    assert!(checkout().join(script).is_file());
    let docs = std::fs::read_to_string(checkout().join("docs/http-runner.md")).unwrap();
    assert!(docs.contains(script.to_str().unwrap()));
}
