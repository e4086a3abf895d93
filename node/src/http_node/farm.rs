//! The farm over HTTP: every call goes to the node that answered last and, where that one does
//! not, to the next.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::messages::{Registered, Registration};
use crate::cli::{Peers, complaint, normalise, roots};

/// Before a call that no node answered is made again.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Beyond what a call takes anyway, a node that hangs is given up after this.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of the farm, not of one node. Cheap to clone.
#[derive(Clone)]
pub(super) struct Farm(Arc<Shared>);

struct Shared {
    http: reqwest::Client,
    peers: Mutex<Peers>,
    credential: Mutex<Option<String>>,
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// No node answered, or none could do it now: worth trying again.
    #[error("{0}")]
    NoAnswer(String),
    /// Every node would say the same.
    #[error("{0}")]
    Refused(Problem),
}

/// What a node said when it refused.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// The last part of its type, for example `stale-lease`.
    pub(super) name: String,
    detail: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail.is_empty() {
            true => write!(f, "{}", self.status),
            false => f.write_str(&self.detail),
        }
    }
}

#[derive(Deserialize)]
struct ProblemBody {
    r#type: String,
    detail: String,
}

impl Farm {
    /// `named` by the user come first, then what was known at the last start.
    /// `ca`: whose certificates are believed beside those that this machine knows, as PEM.
    pub(super) fn new(
        named: &[String],
        known: Vec<String>,
        ca: Option<&str>,
    ) -> anyhow::Result<Self> {
        let read = |url: &String| {
            normalise(url).with_context(|| {
                format!("'{url}' is no web address of a node; write http://HOST:PORT")
            })
        };
        let named: Vec<String> = named.iter().map(read).collect::<Result<_, _>>()?;
        ensure!(
            !named.is_empty(),
            "no web address of a node is given; name one with --http"
        );
        let ca = ca.map(roots).transpose();
        let ca = ca.context("cannot read the certificates of --ca")?;
        let http = reqwest::Client::builder()
            .tls_certs_merge(ca.unwrap_or_default())
            .connect_timeout(CONNECT_TIMEOUT)
            // The credential goes to nodes of the farm, never where an answer points.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("jiggablend/", env!("CARGO_PKG_VERSION")))
            .build()
            .context("cannot set up HTTP")?;
        Ok(Self(Arc::new(Shared {
            http,
            peers: Mutex::new(Peers::new(named, known)),
            credential: Mutex::default(),
        })))
    }

    /// Signs every call from now on.
    pub(super) fn set_credential(&self, credential: &str) {
        *lock(&self.0.credential) = Some(credential.to_owned());
    }

    /// Where the farm answers, the best address first.
    pub(super) fn urls(&self) -> Vec<String> {
        lock(&self.0.peers).order().to_vec()
    }

    /// The farm says where its nodes are.
    pub(super) fn learned(&self, addresses: &[String]) {
        let addresses = addresses.iter().filter_map(|url| normalise(url)).collect();
        lock(&self.0.peers).learned(addresses);
    }

    /// The nodes one after the other, each once, until one answers.
    pub(super) fn round(&self) -> Round<'_> {
        Round {
            farm: self,
            urls: self.urls().into_iter(),
            why: AskError::NoAnswer("no node is known".to_owned()),
        }
    }

    /// A call of which `request` makes the request to a node; the answer is JSON.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        request: impl Fn(&str) -> RequestBuilder,
    ) -> Result<T, AskError> {
        let mut round = self.round();
        while let Some(url) = round.next_url() {
            let asked = json(&url, request(&url)).await;
            if let Some(end) = round.end_of(&url, asked) {
                return end;
            }
        }
        Err(round.why)
    }

    /// A call with a JSON body and a JSON answer.
    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, AskError> {
        self.call(|url| {
            let request = self.request(Method::POST, url, path);
            request.timeout(CALL_TIMEOUT).json(body)
        })
        .await
    }

    pub(super) async fn register(
        &self,
        registration: &Registration,
        secret: &str,
    ) -> Result<Registered, AskError> {
        self.call(|url| {
            self.request(Method::POST, url, "/api/runner/register")
                .header("idempotency-key", secret)
                .timeout(2 * CALL_TIMEOUT)
                .json(registration)
        })
        .await
    }

    /// A request to that node, signed, without a timeout of its own.
    pub(super) fn request(&self, method: Method, url: &str, path: &str) -> RequestBuilder {
        let request = self.0.http.request(method, format!("{url}{path}"));
        match &*lock(&self.0.credential) {
            Some(credential) => request.bearer_auth(credential),
            None => request,
        }
    }
}

/// See [`Farm::round`].
pub(super) struct Round<'a> {
    farm: &'a Farm,
    urls: std::vec::IntoIter<String>,
    /// Why the last node did not do it.
    pub(super) why: AskError,
}

impl Round<'_> {
    /// The node to ask next; `None` where all were asked.
    pub(super) fn next_url(&mut self) -> Option<String> {
        self.urls.next()
    }

    /// Takes what that node answered; `None` where another one is to be asked.
    pub(super) fn end_of<T>(
        &mut self,
        url: &str,
        asked: Result<T, AskError>,
    ) -> Option<Result<T, AskError>> {
        let mut peers = lock(&self.farm.0.peers);
        match asked {
            Ok(answer) => {
                peers.answered(url);
                Some(Ok(answer))
            }
            // A node that is behind does not know a new runner yet.
            Err(error) if is_for_this_node_only(&error) => {
                peers.failed(url);
                self.why = error;
                None
            }
            Err(error) => Some(Err(error)),
        }
    }
}

fn is_for_this_node_only(error: &AskError) -> bool {
    match error {
        AskError::NoAnswer(_) => true,
        AskError::Refused(problem) => problem.status == StatusCode::UNAUTHORIZED,
    }
}

/// Sends it and reads the JSON of the answer.
pub(super) async fn json<T: DeserializeOwned>(
    url: &str,
    request: RequestBuilder,
) -> Result<T, AskError> {
    let response = send(url, request).await?;
    let bytes = response.bytes().await.map_err(|error| lost(url, &error))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        AskError::NoAnswer(format!("{url} gave an answer that makes no sense: {error}"))
    })
}

/// Sends it; an answer that is no success is an error.
pub(super) async fn send(url: &str, request: RequestBuilder) -> Result<Response, AskError> {
    let response = request.send().await.map_err(|error| lost(url, &error))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let problem = problem(response).await;
    let may_pass = status.is_server_error()
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
        || status.is_redirection();
    Err(match may_pass {
        true => AskError::NoAnswer(format!("{url}: {problem}")),
        false => AskError::Refused(problem),
    })
}

async fn problem(response: Response) -> Problem {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    let body = serde_json::from_slice::<ProblemBody>(&body).ok();
    let (name, detail) = match body {
        Some(body) => {
            let name = body.r#type.rsplit(':').next().unwrap_or_default();
            (name.to_owned(), body.detail)
        }
        None => (String::new(), String::new()),
    };
    Problem {
        status,
        name,
        detail,
    }
}

/// The connection to that node failed.
pub(super) fn lost(url: &str, error: &reqwest::Error) -> AskError {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    let cause = cause.to_string();
    let reason = complaint(&cause).unwrap_or(cause);
    AskError::NoAnswer(format!("{url}: {reason}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is in them is whole whatever happened to its last user.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
