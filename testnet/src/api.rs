//! One node's API, as a client sees it.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, RequestBuilder, Response, StatusCode, multipart};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::wire::{Farm, File, Job, JobSummary, Node};
use crate::{Result, TestnetError};

/// No single answer takes longer, except the live stream.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Api {
    url: String,
    token: Option<String>,
    http: reqwest::Client,
}

/// A job to submit. Without `frames` the scene's own range is taken.
#[derive(Debug, Clone, Default)]
pub struct NewJob {
    pub name: String,
    pub frames: Option<String>,
    pub video: bool,
}

#[derive(Debug, Deserialize)]
struct ProblemBody {
    #[serde(rename = "type")]
    problem_type: String,
    detail: String,
}

#[derive(Debug, Deserialize)]
struct JobList {
    jobs: Vec<JobSummary>,
}

#[derive(Debug, Deserialize)]
struct FileList {
    files: Vec<File>,
}

#[derive(Debug, Deserialize)]
struct NodeList {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct NewTicket {
    ticket: String,
}

#[derive(Debug, Deserialize)]
struct NewRegistrationToken {
    token: String,
}

impl Api {
    /// A client that signs in with an operator's token.
    pub fn with_token(url: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: Some(token.into()),
            http: reqwest::Client::new(),
        }
    }

    /// A client without a sign-in; keeps the cookies that it is given, as a browser does.
    pub fn without_sign_in(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            token: None,
            http: reqwest::Client::builder()
                .cookie_store(true)
                .build()
                .expect("a client with cookies needs nothing from the system"),
        }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The bearer token that it signs in with.
    pub fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    /// A request as it is, for what the methods below do not say.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn send(&self, doing: &str, request: RequestBuilder) -> Result<Response> {
        let response = request
            .send()
            .await
            .map_err(TestnetError::http(format!("{doing} at {}", self.url)))?;
        let status = response.status();
        if status.is_success() || status == StatusCode::NOT_MODIFIED {
            return Ok(response);
        }
        let body = response.text().await.unwrap_or_default();
        let (name, detail) = match serde_json::from_str::<ProblemBody>(&body) {
            Ok(problem) => {
                let name = problem.problem_type.rsplit(':').next().unwrap_or_default();
                (name.to_owned(), problem.detail)
            }
            Err(_) => (String::new(), body.chars().take(300).collect()),
        };
        Err(TestnetError::Problem {
            doing: format!("{doing} at {}", self.url),
            status: status.as_u16(),
            name,
            detail,
        })
    }

    async fn json<T: DeserializeOwned>(&self, doing: &str, request: RequestBuilder) -> Result<T> {
        let response = self.send(doing, request.timeout(ANSWER_TIMEOUT)).await?;
        let body = response.bytes().await.map_err(TestnetError::http(doing))?;
        serde_json::from_slice(&body).map_err(|error| TestnetError::Answer {
            doing: format!("{doing} at {}", self.url),
            reason: format!("{error} in {}", String::from_utf8_lossy(&body)),
        })
    }

    async fn get<T: DeserializeOwned>(&self, doing: &str, path: &str) -> Result<T> {
        self.json(doing, self.request(Method::GET, path)).await
    }

    /// Signs in with a local account; later calls hold the session's cookie.
    pub async fn sign_in(&self, email: &str, password: &str) -> Result<Value> {
        let request = self
            .request(Method::POST, "/api/auth/login")
            .json(&json!({"email": email, "password": password}));
        self.json("signing in", request).await
    }

    /// True where this node's state is up to date with a leader that it can reach.
    pub async fn is_ready(&self) -> Result<()> {
        let request = self.request(Method::GET, "/readyz").timeout(ANSWER_TIMEOUT);
        self.send("asking whether the node is ready", request)
            .await
            .map(drop)
    }

    pub async fn farm(&self) -> Result<Farm> {
        self.get("asking for the farm", "/api/farm").await
    }

    pub async fn nodes(&self) -> Result<Vec<Node>> {
        let list: NodeList = self.get("asking for the nodes", "/api/nodes").await?;
        Ok(list.nodes)
    }

    pub async fn jobs(&self) -> Result<Vec<JobSummary>> {
        let list: JobList = self.get("asking for the jobs", "/api/jobs").await?;
        Ok(list.jobs)
    }

    pub async fn job(&self, id: &str) -> Result<Job> {
        self.get("asking for a job", &format!("/api/jobs/{id}"))
            .await
    }

    /// Makes a job that waits for its scene.
    pub async fn create_job(&self, new: &NewJob) -> Result<Job> {
        let mut body = json!({"name": new.name, "video": new.video});
        if let Some(frames) = &new.frames {
            body["frames"] = json!(frames);
        }
        let request = self.request(Method::POST, "/api/jobs").json(&body);
        self.json("making a job", request).await
    }

    /// Gives a job its scene: the job starts.
    pub async fn upload_scene(&self, job: &str, name: &str, bytes: Vec<u8>) -> Result<File> {
        let part = multipart::Part::bytes(bytes).file_name(name.to_owned());
        let request = self
            .request(Method::POST, &format!("/api/jobs/{job}/upload"))
            .multipart(multipart::Form::new().part("file", part));
        self.json("uploading a scene", request).await
    }

    /// Makes a job and gives it its scene. Returns the job's id.
    pub async fn submit(&self, scene: &Path, new: &NewJob) -> Result<String> {
        let bytes = tokio::fs::read(scene)
            .await
            .map_err(TestnetError::io(format!("reading {}", scene.display())))?;
        let name = scene.file_name().unwrap_or_default().to_string_lossy();
        let job = self.create_job(new).await?;
        self.upload_scene(&job.summary.id, &name, bytes).await?;
        Ok(job.summary.id)
    }

    pub async fn cancel(&self, job: &str) -> Result<Job> {
        let request = self.request(Method::DELETE, &format!("/api/jobs/{job}"));
        self.json("cancelling a job", request).await
    }

    /// The job's files of one kind, `None` for all.
    pub async fn files(&self, job: &str, kind: Option<&str>) -> Result<Vec<File>> {
        let query = kind.map(|kind| format!("?kind={kind}")).unwrap_or_default();
        let path = format!("/api/jobs/{job}/files{query}");
        let list: FileList = self.get("asking for a job's files", &path).await?;
        Ok(list.files)
    }

    pub async fn download(&self, file: &File) -> Result<Bytes> {
        let request = self
            .request(Method::GET, &file.url)
            .timeout(ANSWER_TIMEOUT * 2);
        let doing = format!("downloading {}", file.name);
        let response = self.send(&doing, request).await?;
        response.bytes().await.map_err(TestnetError::http(doing))
    }

    /// A token with which a runner that speaks only HTTP registers.
    pub async fn registration_token(&self, reusable: bool) -> Result<String> {
        let request = self
            .request(Method::POST, "/api/admin/registration-tokens")
            .json(&json!({"name": "testnet", "reusable": reusable}));
        let made: NewRegistrationToken = self
            .json("asking for a registration token", request)
            .await?;
        Ok(made.token)
    }

    /// A ticket for one more node.
    pub async fn ticket(&self) -> Result<String> {
        let request = self.request(Method::POST, "/api/tickets").json(&json!({}));
        let ticket: NewTicket = self.json("asking for a ticket", request).await?;
        Ok(ticket.ticket)
    }
}
