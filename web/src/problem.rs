//! What the API answers when it cannot do what was asked: RFC 9457 problems.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiggablend_raft::{JobId, ProposeError, Refusal};
use serde::Serialize;
use utoipa::ToSchema;

macro_rules! problem_kinds {
    ($($kind:ident = $status:ident, $name:literal, $title:literal;)*) => {
        /// The problems that the API knows. Names are stable: clients compare them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum ProblemKind { $($kind),* }

        impl ProblemKind {
            fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status),* }
            }

            /// The last part of the problem's `type`.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$kind => $name),* }
            }

            fn title(self) -> &'static str {
                match self { $(Self::$kind => $title),* }
            }
        }
    };
}

problem_kinds! {
    SignInExpired = BAD_REQUEST, "sign-in-expired", "The sign-in is over";
    AuthorizationPending = BAD_REQUEST, "authorization-pending", "Nobody has approved it yet";
    SlowDown = BAD_REQUEST, "slow-down", "It asks too often";
    DeviceExpired = BAD_REQUEST, "expired", "The device's sign-in is over";
    DeviceDenied = BAD_REQUEST, "denied", "The device's sign-in was refused";
    BadJson = BAD_REQUEST, "bad-json", "The body is not JSON";
    BadUpload = BAD_REQUEST, "bad-upload", "The upload cannot be read";
    TlsNeeded = BAD_REQUEST, "tls-needed", "The node speaks TLS";
    NotSignedIn = UNAUTHORIZED, "not-signed-in", "Not signed in";
    WrongCredentials = UNAUTHORIZED, "wrong-credentials", "Wrong e-mail address or password";
    NotAllowed = FORBIDDEN, "not-allowed", "Not allowed";
    WrongRegistrationToken = UNAUTHORIZED, "wrong-registration-token", "The registration token is not good";
    WrongPassword = FORBIDDEN, "wrong-password", "Wrong password";
    AccountDisabled = FORBIDDEN, "account-disabled", "The account is disabled";
    RegistrationRefused = FORBIDDEN, "registration-refused", "The farm takes no such account";
    LocalAccountsOff = FORBIDDEN, "local-accounts-off", "The node has no local accounts";
    SignInRefused = FORBIDDEN, "sign-in-refused", "The provider did not sign in";
    QuotaExceeded = FORBIDDEN, "quota-exceeded", "The quota is used up";
    CrossSite = FORBIDDEN, "cross-site", "The request came from another site";
    NotFound = NOT_FOUND, "not-found", "There is no such thing";
    UnknownJob = NOT_FOUND, "unknown-job", "There is no such job";
    UnknownProvider = NOT_FOUND, "unknown-provider", "There is no such provider";
    UnknownTask = NOT_FOUND, "unknown-task", "There is no such task";
    UnknownRegistrationToken = NOT_FOUND, "unknown-registration-token", "There is no such registration token";
    UnknownWebhook = NOT_FOUND, "unknown-webhook", "There is no such webhook";
    UnknownFile = NOT_FOUND, "unknown-file", "There is no such file";
    NoLog = NOT_FOUND, "no-log", "There is no log";
    UnknownUpload = NOT_FOUND, "unknown-upload", "There is no such upload";
    MethodNotAllowed = METHOD_NOT_ALLOWED, "method-not-allowed", "The route has no such method";
    UploadStalled = REQUEST_TIMEOUT, "upload-stalled", "The upload stalled";
    Conflict = CONFLICT, "conflict", "It cannot be done in this state";
    IdentityTaken = CONFLICT, "identity-taken", "The identity is another user's";
    JobIsOver = CONFLICT, "job-is-over", "The job is over";
    SceneIsThere = CONFLICT, "scene-is-there", "The job has its scene file";
    StaleLease = CONFLICT, "stale-lease", "The lease is over";
    TooLarge = PAYLOAD_TOO_LARGE, "too-large", "Too large";
    WrongMediaType = UNSUPPORTED_MEDIA_TYPE, "wrong-media-type", "The body has another type";
    WrongTusVersion = PRECONDITION_FAILED, "wrong-tus-version", "The request speaks another tus";
    PreconditionFailed = PRECONDITION_FAILED, "precondition-failed", "It is not what was expected";
    BadRange = RANGE_NOT_SATISFIABLE, "bad-range", "The range lies outside the file";
    InvalidRequest = UNPROCESSABLE_ENTITY, "invalid-request", "The request is not valid";
    NoPreview = UNPROCESSABLE_ENTITY, "no-preview", "The file has no preview";
    IdempotencyKeyReused = UNPROCESSABLE_ENTITY, "idempotency-key-reused", "The key was used for another request";
    BadFrames = UNPROCESSABLE_ENTITY, "bad-frames", "The frames are not valid";
    WrongHash = UNPROCESSABLE_ENTITY, "wrong-hash", "The file is not what its hash says";
    WrongPicture = UNPROCESSABLE_ENTITY, "wrong-picture", "The picture does not count";
    NotABlend = UNPROCESSABLE_ENTITY, "not-a-blend", "The file is not a .blend";
    TruncatedBlend = UNPROCESSABLE_ENTITY, "truncated-blend", "The .blend ends too early";
    DamagedBlend = UNPROCESSABLE_ENTITY, "damaged-blend", "The .blend is damaged";
    NoScene = UNPROCESSABLE_ENTITY, "no-scene", "The .blend has no scene to render";
    TooManyAttempts = TOO_MANY_REQUESTS, "too-many-attempts", "Too many attempts";
    Internal = INTERNAL_SERVER_ERROR, "internal", "The node made an error";
    ProviderFailed = BAD_GATEWAY, "provider-failed", "The provider did not answer as it should";
    Busy = SERVICE_UNAVAILABLE, "busy", "The node is busy";
    NoLeader = SERVICE_UNAVAILABLE, "no-leader", "The farm has no leader";
    NotReady = SERVICE_UNAVAILABLE, "not-ready", "The node is not ready";
    LogStopped = SERVICE_UNAVAILABLE, "log-stopped", "The node's job log has stopped";
    TooFewCopies = SERVICE_UNAVAILABLE, "too-few-copies", "The file could not be kept safely";
    NodeUnreachable = SERVICE_UNAVAILABLE, "node-unreachable", "The node that must answer cannot be reached";
    ContentUnavailable = SERVICE_UNAVAILABLE, "content-unavailable", "No node that has the file can be reached";
    StorageFull = INSUFFICIENT_STORAGE, "storage-full", "The node's disk is full";
}

const PROBLEM_TYPE: &str = "application/problem+json";

/// Why a request failed, for programs and for people.
#[derive(Debug)]
pub(crate) struct Problem {
    kind: ProblemKind,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// RFC 9457.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// `urn:jiggablend:problem:NAME`
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl Problem {
    /// `detail` is one line: what was being done, to what, and what to do next.
    pub(crate) fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            headers: Vec::new(),
        }
    }

    /// Says when asking again makes sense.
    pub(crate) fn retry_after_seconds(self, seconds: u64) -> Self {
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    pub(crate) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(crate) fn not_signed_in() -> Self {
        Self::new(
            ProblemKind::NotSignedIn,
            "this needs a signed-in user; sign in, or send the node's token as a bearer token",
        )
        .header(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"jiggablend\""),
        )
    }

    /// Also what those get who may not see the job.
    pub(crate) fn unknown_job(id: &str) -> Self {
        let id: String = id.chars().take(64).collect();
        Self::new(
            ProblemKind::UnknownJob,
            format!("there is no job '{id}'; GET /api/jobs lists yours"),
        )
    }

    pub(crate) fn unknown_task(job: JobId, index: u32) -> Self {
        Self::new(
            ProblemKind::UnknownTask,
            format!("job {job} has no task {index}; GET /api/jobs/{job} lists its tasks"),
        )
    }

    /// True where the same request would fail again: the client must change something.
    pub(crate) fn is_the_clients(&self) -> bool {
        self.kind.status().is_client_error()
    }

    pub(crate) fn account_disabled() -> Self {
        let why = "this account is disabled; ask an admin";
        Self::new(ProblemKind::AccountDisabled, why)
    }

    /// `reason` is for the node's log: it names other nodes' addresses and what Raft said.
    pub(crate) fn no_leader(reason: &str) -> Self {
        tracing::warn!(reason, "no leader takes what was asked for");
        let why = "this node cannot reach a leader of the farm now; try again when a majority of its voters is up";
        Self::new(ProblemKind::NoLeader, why).retry_after_seconds(2)
    }

    pub(crate) fn log_stopped(reason: &str) -> Self {
        tracing::warn!(reason, "asked for something that needs the job log");
        let why = "this node's job log has stopped, and its own log says why; use another node";
        Self::new(ProblemKind::LogStopped, why)
    }

    pub(crate) fn farm_unknown() -> Self {
        let why = "this node does not know its farm yet; try again when it has caught up";
        Self::new(ProblemKind::NotReady, why).retry_after_seconds(2)
    }

    pub(crate) fn kind(&self) -> ProblemKind {
        self.kind
    }
}

/// Makes whatever a layer or an extractor refused by itself into a problem too.
pub(crate) async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let media_type = response.headers().get(header::CONTENT_TYPE);
    let is_one = media_type.is_some_and(|value| value == PROBLEM_TYPE);
    if is_one || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (kind, what) = match status {
        StatusCode::PAYLOAD_TOO_LARGE => (ProblemKind::TooLarge, "the body is too large"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            (ProblemKind::WrongMediaType, "the body has another type")
        }
        StatusCode::NOT_FOUND => (ProblemKind::NotFound, "there is nothing at this address"),
        _ if status.is_client_error() => (
            ProblemKind::InvalidRequest,
            "the request cannot be understood; see /api/docs",
        ),
        _ => (
            ProblemKind::Internal,
            "the node made an error; its log says more",
        ),
    };
    Problem::new(kind, what).into_response()
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        if status.is_server_error() {
            tracing::warn!(problem = self.kind.name(), detail = self.detail);
        }
        let body = ProblemBody {
            r#type: format!("urn:jiggablend:problem:{}", self.kind.name()),
            title: self.kind.title(),
            status: status.as_u16(),
            detail: &self.detail,
        };
        let mut response = (status, Json(body)).into_response();
        response.headers_mut().extend(self.headers);
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
        response
    }
}

/// What a proposal's failure means where the route has no better word for it.
impl From<ProposeError> for Problem {
    fn from(error: ProposeError) -> Self {
        let detail = error.to_string();
        match error {
            ProposeError::Refused(Refusal::Invalid(_)) => {
                Self::new(ProblemKind::InvalidRequest, detail)
            }
            ProposeError::Refused(Refusal::NotFound(_)) => Self::new(ProblemKind::NotFound, detail),
            ProposeError::Refused(Refusal::NotAllowed(_)) => {
                Self::new(ProblemKind::NotAllowed, detail)
            }
            ProposeError::Refused(Refusal::QuotaExceeded(_)) => {
                Self::new(ProblemKind::QuotaExceeded, detail)
            }
            ProposeError::Refused(_) => Self::new(ProblemKind::Conflict, detail),
            ProposeError::NoLeader(reason) => Self::no_leader(&reason),
            ProposeError::Stopped(reason) => Self::log_stopped(&reason),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::http::HeaderMap;

    use super::*;

    async fn answered(problem: Problem) -> (StatusCode, HeaderMap, serde_json::Value) {
        let response = problem.into_response();
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 64 * 1024).await.unwrap();
        let body = serde_json::from_slice(&bytes).unwrap();
        (parts.status, parts.headers, body)
    }

    #[tokio::test]
    async fn a_farm_without_a_leader_asks_to_come_back() {
        let reason = "has to forward request to: None, None (/ip4/10.0.0.7/tcp/7100)";
        let (status, headers, body) = answered(ProposeError::NoLeader(reason.into()).into()).await;
        assert!(!body.to_string().contains("10.0.0.7"), "{body}");
        assert!(!body.to_string().contains("forward"), "{body}");
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(headers["retry-after"], "2");
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(body["type"], "urn:jiggablend:problem:no-leader");
        assert_eq!(body["status"], 503);
    }

    #[tokio::test]
    async fn an_unknown_job_is_named_but_not_at_any_length() {
        let (status, _, body) = answered(Problem::unknown_job(&"x".repeat(9000))).await;
        assert_eq!(status, StatusCode::NOT_FOUND);
        assert_eq!(body["type"], "urn:jiggablend:problem:unknown-job");
        assert!(body["detail"].as_str().unwrap().len() < 200);
    }
}
