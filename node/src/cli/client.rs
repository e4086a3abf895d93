//! HTTP with failover: every call goes to the best known node and, where that one is gone or has
//! no leader, to the next, until one answers or patience is over.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::CliError;
use super::api_types::{NodeList, Problem};
use super::args::ClientOptions;
use super::endpoint::Endpoint;
use super::output::Output;
use super::peers::{self, Peers};

/// How long nodes are tried again after the first failure: an election, a restart.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same while no node has ever answered this command: more likely none runs.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For a call whose answer is small. A node that hangs must not hold up the others.
const CALL_TIMEOUT: Duration = Duration::from_secs(8);
const LEARN_TIMEOUT: Duration = Duration::from_secs(2);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// Before this much waiting there is no word about it.
const QUIET: Duration = Duration::from_secs(1);

/// Why one node did not do what was asked for.
#[derive(Debug)]
pub enum AttemptError {
    /// Another node, or this one later, may do it.
    Elsewhere {
        error: CliError,
        /// Something moved, so that patience starts anew.
        progressed: bool,
    },
    /// Every node would say the same.
    Final(CliError),
}

impl From<CliError> for AttemptError {
    fn from(error: CliError) -> Self {
        Self::Final(error)
    }
}

impl AttemptError {
    /// The node at `url` could not; nothing moved.
    pub fn elsewhere(url: &str, reason: impl std::fmt::Display) -> Self {
        Self::Elsewhere {
            error: CliError::Node {
                url: url.to_owned(),
                reason: reason.to_string(),
            },
            progressed: false,
        }
    }

    /// The connection to `url` failed.
    pub fn lost(url: &str, error: &reqwest::Error) -> Self {
        Self::elsewhere(url, innermost(error))
    }
}

/// A client of the farm, not of one node.
pub struct Client {
    http: reqwest::Client,
    token: Option<String>,
    peers: Mutex<Peers>,
    /// Where the addresses are kept for the next use; only for this machine's own farm.
    cache: Option<PathBuf>,
    /// False for questions that only the named node can answer.
    follows: bool,
    has_answered: AtomicBool,
    has_learned: AtomicBool,
    output: Output,
}

/// One call of the API with a JSON answer.
struct Call<'a> {
    method: Method,
    path: &'a str,
    body: Option<&'a Value>,
    /// What it is about is known to exist: a node that says 404 is only behind.
    exists: bool,
}

impl Client {
    /// A client that goes on through any node of the farm.
    pub fn connect(options: &ClientOptions, output: &Output) -> Result<Self, CliError> {
        let data_dir = options.data.path();
        if !options.urls.is_empty() {
            let urls = named_urls(&options.urls)?;
            return Self::new(urls, options.token.clone(), None, output);
        }
        let endpoint = read_endpoint(&data_dir)?;
        let cache = data_dir.join("peers.json");
        let token = options.token.clone().unwrap_or(endpoint.token);
        Self::new(vec![endpoint.url], Some(token), Some(cache), output)
    }

    /// A client that asks the named node alone.
    pub fn connect_to_one(options: &ClientOptions, output: &Output) -> Result<Self, CliError> {
        let mut client = Self::connect(options, output)?;
        let named = client.peers().order()[..1].to_vec();
        client.peers = Mutex::new(Peers::new(named, Vec::new()));
        client.follows = false;
        Ok(client)
    }

    fn new(
        urls: Vec<String>,
        token: Option<String>,
        cache: Option<PathBuf>,
        output: &Output,
    ) -> Result<Self, CliError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            // The token goes to nodes of the farm, never where an answer points.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("jiggablend/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| {
                CliError::Refused(format!("cannot set up HTTP: {}", innermost(&error)))
            })?;
        let cached = cache.as_deref().map(peers::read_cache).unwrap_or_default();
        Ok(Self {
            http,
            token,
            peers: Mutex::new(Peers::new(urls, cached)),
            cache,
            follows: true,
            has_answered: AtomicBool::new(false),
            has_learned: AtomicBool::new(false),
            output: output.clone(),
        })
    }

    fn peers(&self) -> std::sync::MutexGuard<'_, Peers> {
        self.peers
            .lock()
            .expect("nothing panics while it holds the peers")
    }

    /// The node that is asked first now.
    pub fn current_url(&self) -> String {
        self.peers().order()[0].clone()
    }

    /// Asks this node last from now on.
    pub fn mark_failed(&self, url: &str) {
        self.peers().failed(url);
    }

    /// A node that came into the farm while we watched.
    pub fn add_node(&self, web_address: &str) {
        if self.follows
            && let Some(url) = peers::normalise(web_address)
        {
            self.peers().add(url);
        }
    }

    /// A request to that node, signed in, without a timeout of its own.
    pub fn request(&self, method: Method, url: &str, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{url}{path}"));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        Ok(self.get_from(path, false).await?.1)
    }

    /// Like [`Self::get`] for something that is known to exist, for example a job that was just
    /// made: a node that does not know it yet is passed over.
    pub async fn get_existing<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        Ok(self.get_from(path, true).await?.1)
    }

    /// The answer and the node that gave it.
    pub async fn get_from<T: DeserializeOwned>(
        &self,
        path: &str,
        exists: bool,
    ) -> Result<(String, T), CliError> {
        self.call(Call {
            method: Method::GET,
            path,
            body: None,
            exists,
        })
        .await
    }

    /// The call must be one that does no harm when it arrives twice.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, CliError> {
        let call = Call {
            method: Method::POST,
            path,
            body: Some(body),
            exists: false,
        };
        Ok(self.call(call).await?.1)
    }

    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        let call = Call {
            method: Method::DELETE,
            path,
            body: None,
            exists: false,
        };
        Ok(self.call(call).await?.1)
    }

    /// Why the node is not ready, in its own words; `None` where it is.
    pub async fn not_ready(&self) -> Result<Option<String>, CliError> {
        self.on_some_node(async |url| {
            let request = self
                .request(Method::GET, url, "/readyz")
                .timeout(CALL_TIMEOUT);
            let response = send(url, request).await?;
            if response.status().is_success() {
                return Ok(None);
            }
            let status = response.status();
            let body = response
                .bytes()
                .await
                .map_err(|error| AttemptError::lost(url, &error))?;
            Ok(Some(problem_of(url, status, &body).detail))
        })
        .await
    }

    async fn call<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<(String, T), CliError> {
        let (url, body) = self
            .on_some_node(async |url| {
                let mut request = self
                    .request(call.method.clone(), url, call.path)
                    .timeout(CALL_TIMEOUT);
                if let Some(body) = call.body {
                    request = request.json(body);
                }
                let response = send(url, request).await?;
                Ok((
                    url.to_owned(),
                    whole_body(url, response, call.exists).await?,
                ))
            })
            .await?;
        let answer = serde_json::from_slice(&body).map_err(|error| CliError::Node {
            url: url.clone(),
            reason: format!(
                "gave an answer to {} that makes no sense: {error}",
                call.path
            ),
        })?;
        Ok((url, answer))
    }

    /// Tries `attempt` on one node after the other, in rounds with growing pauses, until one
    /// succeeds, one says no for good, or patience is over.
    pub async fn on_some_node<T>(
        &self,
        attempt: impl AsyncFn(&str) -> Result<T, AttemptError>,
    ) -> Result<T, CliError> {
        let mut failing_since: Option<Instant> = None;
        let mut backoff = FIRST_BACKOFF;
        let mut said_so = false;
        loop {
            let round = self.peers().order().to_vec();
            let mut last_error = None;
            for url in &round {
                match attempt(url).await {
                    Ok(answer) => {
                        self.has_answered.store(true, Ordering::Relaxed);
                        self.peers().answered(url);
                        self.learn_nodes(url).await;
                        return Ok(answer);
                    }
                    Err(AttemptError::Final(error)) => return Err(error),
                    Err(AttemptError::Elsewhere { error, progressed }) => {
                        self.has_learned.store(false, Ordering::Relaxed);
                        self.peers().failed(url);
                        if matches!(error, CliError::Problem(_)) {
                            self.has_answered.store(true, Ordering::Relaxed);
                        }
                        if progressed {
                            failing_since = None;
                            backoff = FIRST_BACKOFF;
                        }
                        failing_since.get_or_insert_with(Instant::now);
                        last_error = Some(error);
                    }
                }
                if failing_since.is_some_and(|since| since.elapsed() > self.patience()) {
                    break;
                }
            }
            let error = last_error.expect("a round without success or a final word has an error");
            let waited = failing_since
                .map(|since| since.elapsed())
                .unwrap_or_default();
            if waited + backoff > self.patience() {
                return Err(gave_up(round, error));
            }
            if waited > QUIET && !said_so {
                said_so = true;
                let seconds = self.patience().as_secs();
                self.output
                    .note(&format!("{error}; trying again for up to {seconds} s"));
            }
            tokio::time::sleep(backoff).await;
            backoff = (backoff * 2).min(MAX_BACKOFF);
        }
    }

    fn patience(&self) -> Duration {
        if !self.follows {
            Duration::ZERO
        } else if self.has_answered.load(Ordering::Relaxed) {
            PATIENCE
        } else {
            FIRST_PATIENCE
        }
    }

    /// Asks the node that just answered for the others, once, so that they are known when it
    /// dies. That it fails is no error.
    async fn learn_nodes(&self, url: &str) {
        if !self.follows || self.has_learned.swap(true, Ordering::Relaxed) {
            return;
        }
        let request = self
            .request(Method::GET, url, "/api/nodes")
            .timeout(LEARN_TIMEOUT);
        let Ok(response) = send(url, request).await else {
            return;
        };
        let Ok(body) = whole_body(url, response, false).await else {
            return;
        };
        if let Ok(list) = serde_json::from_slice::<NodeList>(&body) {
            let addresses = peers::addresses_of(&list.nodes);
            if let Some(cache) = &self.cache {
                peers::write_cache(cache, &addresses);
            }
            self.peers().learned(addresses);
        }
    }
}

fn named_urls(urls: &[String]) -> Result<Vec<String>, CliError> {
    urls.iter()
        .map(|url| {
            peers::normalise(url).ok_or_else(|| {
                CliError::Usage(format!(
                    "'{url}' is no web address; write for example --url http://127.0.0.1:8080"
                ))
            })
        })
        .collect()
}

fn read_endpoint(data_dir: &Path) -> Result<Endpoint, CliError> {
    Endpoint::read(data_dir)?.ok_or_else(|| CliError::NoEndpoint(Endpoint::path(data_dir)))
}

/// Sends; that the connection fails is a reason to try another node.
pub async fn send(url: &str, request: RequestBuilder) -> Result<Response, AttemptError> {
    request
        .send()
        .await
        .map_err(|error| AttemptError::lost(url, &error))
}

/// The body of a good answer; an error otherwise.
pub async fn whole_body(
    url: &str,
    response: Response,
    exists: bool,
) -> Result<Bytes, AttemptError> {
    let response = good_answer(url, response, exists).await?;
    response
        .bytes()
        .await
        .map_err(|error| AttemptError::lost(url, &error))
}

/// The answer itself where its status is a success. With `exists`, a 404 says that the node is
/// behind, not that there is no such thing.
pub async fn good_answer(
    url: &str,
    response: Response,
    exists: bool,
) -> Result<Response, AttemptError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = response.bytes().await.unwrap_or_default();
    let error = CliError::Problem(problem_of(url, status, &body));
    if may_differ_elsewhere(status) || (exists && status == StatusCode::NOT_FOUND) {
        return Err(AttemptError::Elsewhere {
            error,
            progressed: false,
        });
    }
    Err(AttemptError::Final(error))
}

/// True where the status speaks of the node, not of the request.
fn may_differ_elsewhere(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::BAD_GATEWAY
            | StatusCode::GATEWAY_TIMEOUT
            | StatusCode::INSUFFICIENT_STORAGE
    )
}

fn problem_of(url: &str, status: StatusCode, body: &[u8]) -> Problem {
    let problem = serde_json::from_slice(body).unwrap_or_else(|_| Problem {
        problem_type: String::new(),
        title: String::new(),
        status: status.as_u16(),
        detail: format!("{url} answered {status} without saying why"),
    });
    if status != StatusCode::UNAUTHORIZED {
        return problem;
    }
    Problem {
        detail: format!(
            "{}; use the token of a node's data directory: --data DIR, --token or JIGGABLEND_TOKEN",
            problem.detail
        ),
        ..problem
    }
}

/// What is said when patience is over.
fn gave_up(tried: Vec<String>, error: CliError) -> CliError {
    match error {
        CliError::Node { reason, .. } => CliError::NoNode { tried, reason },
        other => other,
    }
}

/// The innermost cause: `Connection refused` says more than three wrappers around it.
fn innermost(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "did not answer in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
