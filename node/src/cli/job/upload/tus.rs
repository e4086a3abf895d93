//! A scene file by tus 1.0.0 (<https://tus.io/protocols/resumable-upload>): after a break it goes
//! on where the farm says that it is.
//!
//! The pieces lie on one node, which the others pass calls on to. Where that node stays away, the
//! upload begins anew on another one.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use indicatif::ProgressBar;
use jiggablend_raft::JobId;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use reqwest::{Method, RequestBuilder, Response, StatusCode};

use super::{Scene, path_of, stalled};
use crate::cli::CliError;
use crate::cli::client::{AttemptError, CALL_TIMEOUT, Client, good_answer, send};

const VERSION: &str = "1.0.0";
const PIECE_TYPE: &str = "application/offset+octet-stream";
/// How long a node may be away with the pieces that it has.
const HOLDER_PATIENCE: Duration = Duration::from_secs(12);
/// The node may have to end another request before it says how far the upload is.
const LOOK_TIMEOUT: Duration = Duration::from_secs(20);
/// More than the system buffers: so much has gone out that the node was there for a while.
const MUCH_BYTES: u64 = 16 * 1024 * 1024;
/// How often an upload may begin anew before something else must be wrong.
const MAX_PLACES: u32 = 8;

/// The largest file that the farm takes by tus; `None` where it does not speak it.
pub async fn discover(job: JobId, client: &Client) -> Result<Option<u64>, CliError> {
    client
        .on_some_node(async |url| {
            let request = client
                .request(Method::OPTIONS, url, &upload_path(job))
                .timeout(CALL_TIMEOUT);
            let response = send(url, speaking_tus(request)).await?;
            let speaks = response
                .headers()
                .get("tus-version")
                .and_then(|versions| versions.to_str().ok())
                .is_some_and(|versions| versions.split(',').any(|known| known.trim() == VERSION));
            let max = number(response.headers(), "tus-max-size").unwrap_or(u64::MAX);
            if matches!(
                response.status(),
                StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
            ) {
                return Ok(None);
            }
            good_answer(url, response, true).await?;
            Ok(speaks.then_some(max))
        })
        .await
}

fn upload_path(job: JobId) -> String {
    format!("{}/upload", path_of(job))
}

fn speaking_tus(request: RequestBuilder) -> RequestBuilder {
    request.header("Tus-Resumable", VERSION)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// Sends the file, whatever breaks, as long as it moves.
pub async fn send_pieces(
    job: JobId,
    scene: &Scene<'_>,
    client: &Client,
    bar: &ProgressBar,
) -> Result<(), CliError> {
    let upload = Upload {
        job,
        scene,
        client,
        bar,
        place: RefCell::default(),
        places: Cell::new(0),
        away_since: Cell::new(None),
        arrived_bytes: Cell::new(0),
    };
    client
        .on_some_node(async |url| upload.attempt(url).await)
        .await
}

/// One file on its way.
struct Upload<'a> {
    job: JobId,
    scene: &'a Scene<'a>,
    client: &'a Client,
    bar: &'a ProgressBar,
    /// The path to send pieces to.
    place: RefCell<Option<String>>,
    places: Cell<u32>,
    /// Since when nobody has heard from the node that has the pieces.
    away_since: Cell<Option<Instant>>,
    /// What the farm has said to have.
    arrived_bytes: Cell<u64>,
}

impl Upload<'_> {
    async fn attempt(&self, url: &str) -> Result<(), AttemptError> {
        let known = self.place.borrow().clone();
        let (place, offset) = match known {
            None => (self.begin(url).await?, 0),
            Some(place) => match self.look(url, &place).await {
                Ok(offset) => (place, offset),
                Err(error) => return Err(self.without_place(url, error)),
            },
        };
        self.away_since.set(None);
        let has_arrived = offset > self.arrived_bytes.get();
        self.arrived_bytes.set(offset);
        let sent = Arc::new(AtomicU64::new(0));
        let answer = self.send_rest(url, &place, offset, &sent).await;
        let has_moved = has_arrived || sent.load(Ordering::Relaxed) > MUCH_BYTES;
        match answer {
            Ok(arrived) if arrived == self.scene.size_bytes => Ok(()),
            Ok(arrived) => Err(AttemptError::elsewhere(
                url,
                format!("took {arrived} bytes of {}", self.scene.size_bytes),
            )),
            // Where it goes on, the farm says next.
            Err(AttemptError::Elsewhere { error, .. }) => Err(AttemptError::Elsewhere {
                error,
                progressed: has_moved,
            }),
            Err(AttemptError::Final(CliError::Problem(problem)))
                if matches!(
                    problem.name(),
                    "conflict" | "upload-stalled" | "bad-upload" | "unknown-upload"
                ) =>
            {
                Err(AttemptError::Elsewhere {
                    error: CliError::Problem(problem),
                    progressed: has_moved,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a place for the pieces.
    async fn begin(&self, url: &str) -> Result<String, AttemptError> {
        if self.places.replace(self.places.get() + 1) >= MAX_PLACES {
            let why = "the farm lost the upload again and again; try again later, with another --url first";
            return Err(CliError::Refused(why.to_owned()).into());
        }
        let name = STANDARD.encode(self.scene.name.as_bytes());
        let request = self
            .client
            .request(Method::POST, url, &upload_path(self.job))
            .timeout(CALL_TIMEOUT)
            .header("Upload-Length", self.scene.size_bytes)
            .header("Upload-Metadata", format!("filename {name}"));
        let response = send(url, speaking_tus(request)).await?;
        let response = good_answer(url, response, true).await?;
        let place = place_of(&response)
            .ok_or_else(|| AttemptError::elsewhere(url, "made an upload and did not say where"))?;
        self.arrived_bytes.set(0);
        *self.place.borrow_mut() = Some(place.clone());
        Ok(place)
    }

    /// How much the farm has.
    async fn look(&self, url: &str, place: &str) -> Result<u64, AttemptError> {
        let request = self
            .client
            .request(Method::HEAD, url, place)
            .timeout(LOOK_TIMEOUT);
        let response = send(url, speaking_tus(request)).await?;
        let response = good_answer(url, response, false).await?;
        number(response.headers(), "upload-offset")
            .filter(|offset| *offset <= self.scene.size_bytes)
            .ok_or_else(|| AttemptError::elsewhere(url, "did not say how much it has"))
    }

    /// What follows from an error of [`Self::look`]: the place may be gone, or its node away.
    fn without_place(&self, url: &str, error: AttemptError) -> AttemptError {
        match error {
            AttemptError::Final(CliError::Problem(problem)) if problem.status == 404 => {
                *self.place.borrow_mut() = None;
                AttemptError::elsewhere(url, "does not have what was sent so far")
            }
            AttemptError::Elsewhere { error, progressed } => {
                let since = self.away_since.get().unwrap_or_else(Instant::now);
                self.away_since.set(Some(since));
                if since.elapsed() > HOLDER_PATIENCE {
                    self.away_since.set(None);
                    *self.place.borrow_mut() = None;
                }
                AttemptError::Elsewhere { error, progressed }
            }
            other => other,
        }
    }

    /// Sends everything from `offset` on; the answer says how much has arrived.
    async fn send_rest(
        &self,
        url: &str,
        place: &str,
        offset: u64,
        sent: &Arc<AtomicU64>,
    ) -> Result<u64, AttemptError> {
        let body = self
            .scene
            .body_from(offset, Arc::clone(sent), self.bar.clone())
            .await?;
        let request = self
            .client
            .request(Method::PATCH, url, place)
            .header(CONTENT_TYPE, PIECE_TYPE)
            .header("Upload-Offset", offset)
            .body(body);
        let exchange = async {
            let response = send(url, speaking_tus(request)).await?;
            good_answer(url, response, false).await
        };
        let response: Response = tokio::select! {
            answer = exchange => answer?,
            () = stalled(sent) => {
                return Err(AttemptError::elsewhere(url, "takes no more of the file"));
            }
        };
        number(response.headers(), "upload-offset")
            .ok_or_else(|| AttemptError::elsewhere(url, "did not say how much has arrived"))
    }
}

/// The path of `Location`: the host in it may be another one than the one that was called, and
/// any node serves it.
fn place_of(response: &Response) -> Option<String> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    let place = response.url().join(location).ok()?;
    let path = place.path();
    path.starts_with("/api/jobs/").then(|| path.to_owned())
}
