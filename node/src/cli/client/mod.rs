//! HTTP with failover: every call goes to the best known node and, where that one is gone or has
//! no leader, to the next, until one answers or patience is over.

mod answer;
mod certificates;
mod way;

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

pub use answer::{AttemptError, good_answer, send, whole_body};
pub use certificates::{complaint, read_ca, roots};
use way::{NearOnly, Way};

use super::CliError;
use super::api_types::{NodeList, Problem};
use super::args::{ClientOptions, WayOptions};
use super::names::query_value;
use super::output::Output;
use super::peers::{self, Peers};
use super::target::{AddressBook, SignedInBy, Target, Whose};
use answer::{in_the_open, innermost, problem_of};

/// How long nodes are tried again after the first failure: an election, a restart.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same while no node has ever answered this command: more likely none runs.
const FIRST_PATIENCE: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For a call whose answer is small. A node that hangs must not hold up the others.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(8);
const LEARN_TIMEOUT: Duration = Duration::from_secs(2);
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// Before this much waiting there is no word about it.
const QUIET: Duration = Duration::from_secs(1);

/// A client of the farm, not of one node.
pub struct Client {
    https: reqwest::Client,
    /// For plain HTTP: where a secret is sent it reaches only what is near.
    http: reqwest::Client,
    token: Option<String>,
    by: SignedInBy,
    peers: Mutex<Peers>,
    /// Where the addresses are kept for the next use.
    addresses: AddressBook,
    way: WayRule,
    /// False for questions that only the named node can answer.
    follows: bool,
    has_answered: AtomicBool,
    has_learned: AtomicBool,
    output: Output,
}

/// To which addresses requests may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WayRule {
    /// Nothing secret is sent, or its owner said that it may be.
    Any,
    /// Over TLS, or to what is near.
    SealedOrNear,
    /// A farm that was named by https gets no secret over plain HTTP through a node's address,
    /// which on another network may be anybody's.
    Sealed,
}

impl WayRule {
    fn new(has_secrets: bool, is_insecure: bool, named: &[String]) -> Self {
        if !has_secrets || is_insecure {
            Self::Any
        } else if named.iter().all(|url| Way::to(url) == Way::Sealed) {
            Self::Sealed
        } else {
            Self::SealedOrNear
        }
    }

    fn allows(self, url: &str) -> bool {
        match (self, Way::to(url)) {
            (Self::Any, _) | (_, Way::Sealed) => true,
            (Self::SealedOrNear, Way::Near | Way::Named) => true,
            (Self::SealedOrNear, Way::Open) | (Self::Sealed, _) => false,
        }
    }
}

/// One call of the API with a JSON answer.
struct Call<'a> {
    method: Method,
    path: &'a str,
    body: Option<&'a Value>,
    /// What it is about is known to exist: a node that says 404 is only behind.
    exists: bool,
    /// The farm makes one thing of all calls with the same one.
    idempotency_key: Option<String>,
}

impl<'a> Call<'a> {
    fn new(method: Method, path: &'a str) -> Self {
        Self {
            method,
            path,
            body: None,
            exists: false,
            idempotency_key: None,
        }
    }
}

impl Client {
    /// A client that goes on through any node of the farm.
    pub fn connect(options: &ClientOptions, output: &Output) -> Result<Self, CliError> {
        Self::connect_for(options, Whose::Anybodys, output)
    }

    /// The same for what an account has of its own.
    pub fn connect_to_account(options: &ClientOptions, output: &Output) -> Result<Self, CliError> {
        Self::connect_for(options, Whose::Accounts, output)
    }

    /// A client that asks the named node alone, or this machine's.
    pub fn connect_to_one(options: &ClientOptions, output: &Output) -> Result<Self, CliError> {
        let client = Self::connect_for(options, Whose::Machines, output)?;
        Ok(client.alone())
    }

    fn connect_for(
        options: &ClientOptions,
        whose: Whose,
        output: &Output,
    ) -> Result<Self, CliError> {
        let target = Target::of(options, whose)?;
        let has_secrets = target.token.is_some();
        Self::new(target, has_secrets, &options.way, output)
    }

    /// `has_secrets`: passwords or tokens are sent, in whatever place.
    pub fn new(
        target: Target,
        has_secrets: bool,
        way_options: &WayOptions,
        output: &Output,
    ) -> Result<Self, CliError> {
        let way = WayRule::new(has_secrets, way_options.insecure, &target.urls);
        if let Some(url) = target.urls.iter().find(|url| !way.allows(url)) {
            return Err(in_the_open(url, "it is no address of a private network"));
        }
        let ca = match &way_options.ca {
            Some(path) => Some(read_ca(path)?),
            None => target.ca,
        };
        let known = target.addresses.read();
        let known = known.into_iter().filter(|url| way.allows(url)).collect();
        Ok(Self {
            https: http_client(WayRule::Any, ca.as_deref())?,
            http: http_client(way, None)?,
            token: target.token,
            by: target.by,
            peers: Mutex::new(Peers::new(target.urls, known)),
            addresses: target.addresses,
            way,
            follows: true,
            has_answered: AtomicBool::new(false),
            has_learned: AtomicBool::new(false),
            output: output.clone(),
        })
    }

    /// The same for the first node alone.
    pub fn alone(mut self) -> Self {
        let named = self.peers().order()[..1].to_vec();
        self.peers = Mutex::new(Peers::new(named, Vec::new()));
        self.follows = false;
        self
    }

    /// What it signs in with.
    pub fn signed_in_by(&self) -> &SignedInBy {
        &self.by
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
            && self.way.allows(&url)
        {
            self.peers().add(url);
        }
    }

    /// A request to that node, signed in, without a timeout of its own.
    pub fn request(&self, method: Method, url: &str, path: &str) -> RequestBuilder {
        let client = match Way::to(url) {
            Way::Sealed => &self.https,
            Way::Near | Way::Named | Way::Open => &self.http,
        };
        let request = client.request(method, format!("{url}{path}"));
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
        let mut call = Call::new(Method::GET, path);
        call.exists = exists;
        self.call(call).await
    }

    /// A list that comes in pages, whole: everything in `field` of each.
    pub async fn get_pages<T: DeserializeOwned>(
        &self,
        path: &str,
        field: &str,
    ) -> Result<Vec<T>, CliError> {
        let mut all = Vec::new();
        let mut next = String::new();
        loop {
            let mut page: Value = self.get(&format!("{path}{next}")).await?;
            let Value::Array(things) = page[field].take() else {
                return Ok(all);
            };
            let is_empty = things.is_empty();
            for thing in things {
                let thing = serde_json::from_value(thing).map_err(|error| {
                    CliError::Refused(format!("cannot understand one of the {field}: {error}"))
                })?;
                all.push(thing);
            }
            let cursor = match &page["next_cursor"] {
                Value::Number(cursor) => cursor.to_string(),
                Value::String(cursor) => query_value(cursor),
                _ => return Ok(all),
            };
            if is_empty {
                return Ok(all);
            }
            let joint = if path.contains('?') { '&' } else { '?' };
            next = format!("{joint}cursor={cursor}");
        }
    }

    /// The call must be one that does no harm when it arrives twice.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, CliError> {
        self.send_body(Method::POST, path, body).await
    }

    /// Makes something, once, however often the call has to be sent: it has a key of its own.
    pub async fn create<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, CliError> {
        let mut call = Call::new(Method::POST, path);
        call.body = Some(body);
        call.idempotency_key = Some(Uuid::new_v4().to_string());
        Ok(self.call(call).await?.1)
    }

    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, CliError> {
        self.send_body(Method::PUT, path, body).await
    }

    pub async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, CliError> {
        self.send_body(Method::PATCH, path, body).await
    }

    async fn send_body<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<T, CliError> {
        let mut call = Call::new(method, path);
        call.body = Some(body);
        Ok(self.call(call).await?.1)
    }

    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        Ok(self.call(Call::new(Method::DELETE, path)).await?.1)
    }

    /// Takes something away that is known to have been there: where it is gone after an attempt
    /// whose answer was lost, that was it.
    pub async fn remove(&self, path: &str) -> Result<(), CliError> {
        let may_be_done = Cell::new(false);
        self.on_some_node(async |url| {
            let request = self.request(Method::DELETE, url, path);
            let response = send(url, request.timeout(CALL_TIMEOUT)).await;
            let before = may_be_done.replace(true);
            let response = response?;
            if before && response.status() == StatusCode::NOT_FOUND {
                return Ok(());
            }
            good_answer(url, response, false).await.map(drop)
        })
        .await
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
                if let Some(key) = &call.idempotency_key {
                    request = request.header("Idempotency-Key", key);
                }
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
        // "Done", without words.
        let body: &[u8] = if body.is_empty() { b"null" } else { &body };
        let answer = serde_json::from_slice(body).map_err(|error| CliError::Node {
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
            // No waiting makes a certificate a better one.
            let mut is_hopeless = !self.has_answered.load(Ordering::Relaxed);
            for url in &round {
                match attempt(url).await {
                    Ok(answer) => {
                        self.has_answered.store(true, Ordering::Relaxed);
                        self.peers().answered(url);
                        self.learn_nodes(url).await;
                        return Ok(answer);
                    }
                    Err(AttemptError::Final(error)) => return Err(self.in_our_words(error)),
                    Err(AttemptError::Elsewhere { error, progressed }) => {
                        self.has_learned.store(false, Ordering::Relaxed);
                        self.peers().failed(url);
                        is_hopeless &= matches!(error, CliError::Certificate { .. });
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
            if is_hopeless || waited + backoff > self.patience() {
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

    /// What the farm says of who calls, with what that means here.
    fn in_our_words(&self, error: CliError) -> CliError {
        match error {
            CliError::Problem(problem) if problem.name() == "not-signed-in" => {
                let detail = self.by.advice();
                CliError::Problem(Problem { detail, ..problem })
            }
            CliError::Problem(problem) if problem.name() == "not-allowed" => {
                let detail = match &self.by {
                    SignedInBy::Nothing => problem.detail,
                    by => format!("{} (signed in with {by})", problem.detail),
                };
                CliError::Problem(Problem { detail, ..problem })
            }
            other => other,
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
            let mut addresses = peers::addresses_of(&list.nodes);
            addresses.retain(|url| self.way.allows(url));
            self.addresses.write(&addresses);
            self.peers().learned(addresses);
        }
    }
}

/// `way`: what it may connect to.
/// `ca`: whose certificates it believes too.
fn http_client(way: WayRule, ca: Option<&str>) -> Result<reqwest::Client, CliError> {
    let cannot = |error: reqwest::Error| {
        CliError::Refused(format!("cannot set up HTTP: {}", innermost(&error)))
    };
    let mut builder = reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        // The token goes to nodes of the farm, never where an answer points.
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("jiggablend/", env!("CARGO_PKG_VERSION")));
    if way != WayRule::Any {
        // A proxy would see the secret, and would find the address itself.
        builder = builder.dns_resolver(NearOnly).no_proxy();
    }
    if let Some(ca) = ca {
        builder = builder.tls_certs_merge(roots(ca).map_err(cannot)?);
    }
    builder.build().map_err(cannot)
}

/// What is said when patience is over.
fn gave_up(tried: Vec<String>, error: CliError) -> CliError {
    match error {
        CliError::Node { reason, .. } => CliError::NoNode { tried, reason },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(has_secrets: bool, insecure: bool, named: &str) -> WayRule {
        WayRule::new(has_secrets, insecure, &[named.to_owned()])
    }

    #[test]
    fn a_secret_leaves_private_networks_sealed_or_not_at_all() {
        let near = rule(true, false, "http://10.0.0.1:8080");
        assert!(near.allows("http://10.0.0.1:8080"));
        assert!(near.allows("http://attic:8080"));
        assert!(near.allows("https://198.51.100.7"));
        assert!(!near.allows("http://198.51.100.7"));
    }

    #[test]
    fn a_farm_that_was_named_by_https_is_never_called_without() {
        let sealed = rule(true, false, "https://farm.example");
        assert!(sealed.allows("https://10.0.0.1:8080"));
        assert!(!sealed.allows("http://10.0.0.1:8080"));
    }

    #[test]
    fn without_a_secret_or_with_its_owners_word_any_address_will_do() {
        for rule in [
            rule(false, false, "http://198.51.100.7"),
            rule(true, true, "http://198.51.100.7"),
        ] {
            assert!(rule.allows("http://198.51.100.7"));
        }
    }
}
