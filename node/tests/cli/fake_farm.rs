//! Nodes of a made-up farm: they speak the API, share one state, and die when told to.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use axum::body::{Body, Bytes};
use axum::extract::multipart::MultipartRejection;
use axum::extract::{DefaultBodyLimit, Multipart, Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::StreamExt;
use jiggablend_transfer::{Chunking, ManifestHash};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::fake_accounts::{self, FakeAccounts};
use crate::fake_events;
use crate::fake_jobs;
use crate::fake_tus::{self, FakeTus};

/// The log index at which every test's events begin.
pub const FIRST_INDEX: u64 = 10;

const NODE_NAMES: [&str; 3] = ["attic", "barn", "cellar"];

/// What all nodes of the farm know.
#[derive(Default)]
pub struct Farm {
    inner: Mutex<Inner>,
}

#[derive(Default)]
pub struct Inner {
    pub nodes: Vec<String>,
    pub job: Option<Value>,
    pub tasks: BTreeMap<u64, Value>,
    /// What is still to happen: each entry is one log entry's changes. It happens as it is sent.
    pub script: Vec<Vec<Value>>,
    /// How much of the script has happened.
    pub happened: usize,
    pub files: Vec<FakeFile>,
    /// What the nodes were asked, as `METHOD path`.
    pub calls: Vec<String>,
    pub last_event_ids: Vec<String>,
    pub created_ids: Vec<String>,
    pub scene_bytes: Option<usize>,
    /// The scene, where it came by tus.
    pub scene: Vec<u8>,
    /// The job of each `Idempotency-Key`.
    pub jobs_by_key: BTreeMap<String, Uuid>,
    /// What was asked of the list of jobs.
    pub list_queries: Vec<String>,
    pub accounts: FakeAccounts,
    /// None: this farm does not speak tus.
    pub tus: Option<FakeTus>,
    /// What Blender said in every attempt.
    pub log: String,
    /// With whom the job is shared, by the user's id.
    pub shares: BTreeMap<String, Value>,
    pub ranges: Vec<String>,
}

pub struct FakeFile {
    pub id: Uuid,
    pub name: String,
    pub kind: &'static str,
    pub bytes: Vec<u8>,
}

impl FakeFile {
    /// The hash of its manifest.
    fn content(&self) -> String {
        let hash = ManifestHash::of_file(&self.bytes[..], Chunking::Fixed);
        hash.unwrap().to_string()
    }
}

/// How a node misbehaves.
#[derive(Debug, Clone, Copy, Default)]
pub struct Habits {
    /// Dies in the middle of the event after this many.
    pub dies_after_events: Option<usize>,
    pub dies_after_create: bool,
    pub dies_after_upload: bool,
    /// Dies when it has sent this many bytes of a file.
    pub dies_after_download_bytes: Option<usize>,
    /// Sends old events again when a stream is resumed.
    pub repeats_events: bool,
    /// Has no old events: answers a resumed stream with a reset.
    pub forgets_events: bool,
    /// Everything has happened before the first event is sent; each event shows the things that
    /// it changed as they are now.
    pub is_ahead: bool,
    /// Sends one byte of each file as another one.
    pub damages_downloads: bool,
    pub has_no_leader: bool,
    /// Says that there are more jobs, once.
    pub pages_jobs: bool,
    pub refuses_upload: bool,
    /// Takes so many bytes of a tus upload, and no more; once.
    pub stalls_upload_after_bytes: Option<usize>,
    /// Dies when it has so many bytes of a tus upload.
    pub dies_after_upload_bytes: Option<usize>,
    /// Dies when it has sent so many bytes of a log.
    pub dies_after_log_bytes: Option<usize>,
}

/// One node. Dropping it ends it.
pub struct FakeNode {
    pub url: String,
    death: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
pub struct Context {
    pub farm: Arc<Farm>,
    pub habits: Habits,
    pub url: String,
    death: CancellationToken,
}

impl Farm {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// A job of `frames` frames with a scene, and a script in which they are rendered. Frame 2's
    /// first lease is lost.
    pub fn with_job(frames: u64) -> Arc<Self> {
        let farm = Self::new();
        let id = Uuid::now_v7();
        {
            let mut inner = farm.inner();
            inner.make_job(id, "cat");
            inner.write_script(frames, "done");
        }
        farm
    }

    pub fn job_id(&self) -> String {
        let inner = self.inner();
        let job = inner.job.as_ref().expect("there is a job");
        job["id"].as_str().unwrap().to_owned()
    }

    /// How often it was asked for something.
    pub fn count_calls(&self, call: &str) -> usize {
        let inner = self.inner();
        inner.calls.iter().filter(|known| *known == call).count()
    }
}

impl Inner {
    pub fn make_job(&mut self, id: Uuid, name: &str) {
        self.job = Some(json!({
            "id": id, "name": name, "owner": {"id": "node-1", "name": "node-1"},
            "state": "active", "created_at_ms": 1, "started_at_ms": 1, "finished_at_ms": null,
            "frames": "1-6", "counts": counts(), "frame_counts": counts(), "failure": null,
            "video": false, "waiting_for": null,
        }));
    }

    /// Frames are leased and rendered one after the other; then the job ends in `end`.
    pub fn write_script(&mut self, frames: u64, end: &str) {
        for frame in 1..=frames {
            let index = frame - 1;
            self.tasks.insert(index, task(index, 0, "pending"));
            let mut epoch = 1;
            self.say_task(task(index, epoch, "leased"));
            if frame == 2 {
                self.say_task(task(index, epoch, "pending"));
                epoch += 1;
                self.say_task(task(index, epoch, "leased"));
            }
            let is_last = frame == frames;
            let state = if is_last { end } else { "done" };
            self.say_task(task(index, epoch, state));
        }
        let mut job = self.job.clone().unwrap();
        job["state"] = json!(end);
        job["finished_at_ms"] = json!(5_001);
        if end == "failed" {
            job["failure"] = json!({"kind": "crashed", "message": "1 of 3 frames failed: Blender ended by signal 11"});
        }
        self.script.push(vec![json!({ "job": job })]);
    }

    fn say_task(&mut self, task: Value) {
        let mut change = task;
        change["job"] = self.job.as_ref().unwrap()["id"].clone();
        self.script.push(vec![json!({ "task": change })]);
    }

    /// Lets the script happen up to `count` entries.
    pub fn happen(&mut self, count: usize) {
        while self.happened < count.min(self.script.len()) {
            for change in self.script[self.happened].clone() {
                if let Some(task) = change.get("task") {
                    self.tasks
                        .insert(task["index"].as_u64().unwrap(), task.clone());
                }
                if let Some(job) = change.get("job") {
                    self.job = Some(job.clone());
                }
            }
            self.happened += 1;
        }
    }

    pub fn applied_index(&self) -> u64 {
        FIRST_INDEX + self.happened as u64
    }

    fn whole_job(&self) -> Value {
        let mut job = self.job.clone().unwrap();
        job["tasks"] = self.tasks.values().cloned().collect();
        job["scene"] = match self.scene_bytes {
            Some(size_bytes) => json!({
                "id": Uuid::nil(), "kind": "scene", "name": "cat.blend", "size_bytes": size_bytes,
                "content": "0".repeat(64), "created_at_ms": 1,
            }),
            None => Value::Null,
        };
        job["scene_facts"] = Value::Null;
        job
    }
}

fn counts() -> Value {
    json!({"waiting": 0, "pending": 5, "leased": 0, "done": 1, "failed": 0, "cancelled": 0})
}

fn task(index: u64, epoch: u64, state: &str) -> Value {
    let failure = match state {
        "failed" => json!({"kind": "crashed", "message": "Blender ended by signal 11"}),
        _ => Value::Null,
    };
    json!({
        "index": index, "kind": "frame", "frame": index + 1, "state": state, "epoch": epoch,
        "node": if epoch > 0 { json!(2) } else { Value::Null },
        "failed_attempts": 0, "file": null, "failure": failure, "log_file": null,
        "render_ms": if state == "done" { json!(1_500) } else { Value::Null },
    })
}

impl FakeNode {
    /// A node that answers on a free port of loopback and is in the farm's list.
    pub fn start(farm: &Arc<Farm>, habits: Habits) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        farm.inner().nodes.push(url.clone());
        let death = CancellationToken::new();
        let context = Context {
            farm: Arc::clone(farm),
            habits,
            url: url.clone(),
            death: death.clone(),
        };
        let serve = async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let dies = context.death.clone();
            tokio::select! {
                served = axum::serve(listener, router(context)) => served.unwrap(),
                () = dies.cancelled() => {}
            }
        };
        // With the runtime every connection is gone, as after `kill -9`.
        let thread = std::thread::spawn(move || {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap()
                .block_on(serve);
        });
        Self {
            url,
            death,
            thread: Some(thread),
        }
    }

    /// Ends it now.
    pub fn die(&mut self) {
        self.death.cancel();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }

    pub fn is_dead(&self) -> bool {
        self.death.is_cancelled()
    }
}

impl Drop for FakeNode {
    fn drop(&mut self) {
        self.die();
    }
}

fn router(context: Context) -> Router {
    Router::new()
        .route("/api/farm", get(farm))
        .route("/api/nodes", get(nodes))
        .route("/api/tickets", post(ticket))
        .route("/api/jobs", get(list_jobs).post(create_job))
        .route("/api/jobs/{id}", get(show_job).delete(cancel_job))
        .route("/api/jobs/{id}/upload", post(upload))
        .route("/api/jobs/{id}/files", get(list_files))
        .route("/api/jobs/{id}/files/{file}/download", get(download))
        .route("/readyz", get(StatusCode::OK))
        .merge(fake_accounts::router())
        .merge(fake_events::router())
        .merge(fake_tus::router())
        .merge(fake_jobs::router())
        .layer(DefaultBodyLimit::disable())
        .layer(axum::middleware::from_fn_with_state(context.clone(), door))
        .with_state(context)
}

/// Notes every call and lets only the operator in.
async fn door(
    State(context): State<Context>,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let call = format!("{} {}", request.method(), request.uri().path());
    context.farm.inner().calls.push(call);
    let is_public = fake_accounts::is_public(request.uri().path());
    if !is_public && !context.farm.inner().accounts.knows(request.headers()) {
        return problem(401, "not-signed-in", "this call needs someone signed in");
    }
    next.run(request).await
}

pub fn problem(status: u16, name: &str, detail: &str) -> Response {
    let body = json!({
        "type": format!("urn:jiggablend:problem:{name}"), "title": name, "status": status,
        "detail": detail,
    });
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

async fn farm(State(context): State<Context>) -> Json<Value> {
    let inner = context.farm.inner();
    Json(json!({
        "id": "farm-1", "name": "barn", "fingerprint": "ab12-cd34", "this_node": 1, "leader": 1,
        "term": 3, "voters": [1, 2], "standbys": [], "applied_index": inner.applied_index(),
        "last_log_index": inner.applied_index(), "projected_index": 1,
    }))
}

async fn nodes(State(context): State<Context>) -> Json<Value> {
    let inner = context.farm.inner();
    let nodes: Vec<Value> = inner
        .nodes
        .iter()
        .zip(1..)
        .map(|(url, id)| {
            json!({
                "id": id, "name": NODE_NAMES[id - 1], "peer_id": "p",
                "web_address": url, "version": "0.1.0", "roles": {"voter": true, "runner": true},
                "vote": "voter", "is_leader": id == 1, "is_this_node": id == 1, "connected": true,
                "joined_at_ms": 1, "working_on": [],
                "runner": {"blender_version": "3.4.1", "why_not": null, "devices": [],
                           "ffmpeg": null, "slots": 1, "cpu_threads": 2, "memory_bytes": 1024},
            })
        })
        .collect();
    Json(json!({ "nodes": nodes }))
}

async fn ticket(Json(body): Json<Value>) -> Response {
    let expires_at_ms = 4_102_444_800_000_u64;
    let text = format!("jigga1{}{}", body["ttl_seconds"], body["voter"]);
    let answer = json!({"ticket": text, "expires_at_ms": expires_at_ms});
    (StatusCode::CREATED, Json(answer)).into_response()
}

/// Two pages, where a cursor is not given yet, of the one job.
async fn list_jobs(State(context): State<Context>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let has_cursor = query.contains("cursor=");
    context.farm.inner().list_queries.push(query);
    if context.habits.has_no_leader {
        return problem(503, "no-leader", "there is no leader; try again");
    }
    let jobs: Vec<Value> = context.farm.inner().job.iter().cloned().collect();
    let mut page = json!({ "jobs": jobs });
    if context.habits.pages_jobs && !has_cursor {
        page["next_cursor"] = json!("a/b");
    }
    Json(page).into_response()
}

async fn create_job(
    State(context): State<Context>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if context.habits.has_no_leader {
        return problem(503, "no-leader", "there is no leader; try again");
    }
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let answer = {
        let mut inner = context.farm.inner();
        let known = inner.jobs_by_key.get(&key).copied();
        let id = known.unwrap_or_else(Uuid::now_v7);
        inner.jobs_by_key.insert(key, id);
        inner.created_ids.push(id.to_string());
        inner.make_job(id, body["name"].as_str().unwrap());
        inner.whole_job()
    };
    if context.habits.dies_after_create {
        return context.die().await;
    }
    (StatusCode::CREATED, Json(answer)).into_response()
}

async fn show_job(State(context): State<Context>, Path(id): Path<String>) -> Response {
    let inner = context.farm.inner();
    match &inner.job {
        Some(job) if job["id"] == json!(id) => Json(inner.whole_job()).into_response(),
        _ => {
            let detail = format!("there is no job '{id}'; GET /api/jobs lists yours");
            problem(404, "unknown-job", &detail)
        }
    }
}

async fn cancel_job(State(context): State<Context>) -> Json<Value> {
    let mut inner = context.farm.inner();
    let job = inner.job.as_mut().unwrap();
    job["state"] = json!("cancelled");
    Json(inner.whole_job())
}

async fn upload(
    State(context): State<Context>,
    Path(job): Path<String>,
    headers: HeaderMap,
    form: Result<Multipart, MultipartRejection>,
) -> Response {
    if headers.contains_key("tus-resumable") {
        return fake_tus::create(&context, &job, &headers);
    }
    let mut form = form.unwrap();
    let field = form.next_field().await.unwrap().expect("a part");
    assert_eq!(field.name(), Some("file"));
    let bytes = field.bytes().await.unwrap();
    if context.habits.refuses_upload {
        let detail = "checking cat.blend: it ends in the middle; save it again and upload it anew";
        return problem(422, "truncated-blend", detail);
    }
    {
        let mut inner = context.farm.inner();
        if inner.scene_bytes.is_some() {
            return problem(409, "scene-is-there", "the job has its scene already");
        }
        inner.scene_bytes = Some(bytes.len());
        inner.write_script(3, "done");
    }
    if context.habits.dies_after_upload {
        return context.die().await;
    }
    (StatusCode::CREATED, Json(json!({}))).into_response()
}

async fn list_files(State(context): State<Context>) -> Json<Value> {
    let inner = context.farm.inner();
    let files: Vec<Value> = inner
        .files
        .iter()
        .map(|file| {
            json!({
                "id": file.id, "job": Uuid::nil(), "task": 1, "kind": file.kind, "name": file.name,
                "media_type": "image/png", "size_bytes": file.bytes.len(),
                "content": file.content(), "holders": [1], "created_at_ms": 1, "url": "/",
            })
        })
        .collect();
    Json(json!({ "files": files }))
}

async fn download(
    State(context): State<Context>,
    Path((_, id)): Path<(String, Uuid)>,
    headers: HeaderMap,
) -> Response {
    let range = headers.get(header::RANGE).map(|range| {
        let range = range.to_str().unwrap().to_owned();
        context.farm.inner().ranges.push(range.clone());
        let start = range.trim_start_matches("bytes=").trim_end_matches('-');
        start.parse::<usize>().unwrap()
    });
    let bytes = {
        let inner = context.farm.inner();
        let file = inner.files.iter().find(|file| file.id == id).unwrap();
        let mut bytes = file.bytes[range.unwrap_or(0)..].to_vec();
        if context.habits.damages_downloads {
            bytes[0] ^= 1;
        }
        Bytes::from(bytes)
    };
    let status = match range {
        Some(_) => StatusCode::PARTIAL_CONTENT,
        None => StatusCode::OK,
    };
    let length = [(header::CONTENT_LENGTH, bytes.len())];
    let body = match context.habits.dies_after_download_bytes {
        Some(count) if count < bytes.len() => {
            let start = bytes.slice(..count);
            Body::from_stream(
                futures::stream::iter([start])
                    .chain(context.last_breath())
                    .map(ok),
            )
        }
        _ => Body::from(bytes),
    };
    (status, length, body).into_response()
}

pub fn ok(bytes: Bytes) -> Result<Bytes, Infallible> {
    Ok(bytes)
}

impl Context {
    /// Never answers: the node is gone first.
    pub async fn die(&self) -> Response {
        self.death.cancel();
        pending().await
    }

    /// A stream that has nothing to give but the node's end, after what was sent before it is
    /// on its way.
    pub fn last_breath(&self) -> impl futures::Stream<Item = Bytes> + Send + use<> {
        let death = self.death.clone();
        futures::stream::once(async move {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            death.cancel();
            pending().await
        })
    }
}
