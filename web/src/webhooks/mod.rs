//! Webhooks: addresses that are told of events, and what was sent to them.
//!
//! These routes only change what the job log says; the leader sends. A webhook is its owner's:
//! others have none of that name. Admins see all of them.

mod address;
mod view;

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiggablend_raft::{
    Action, Delivery, State as FarmState, TimestampMs, Webhook, WebhookEvent, WebhookId,
    WebhookShape,
};
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::{IntoParams, ToSchema};

pub use address::WebhookReach;
use view::{DeliveryView, WebhookView};

use crate::access::Caller;
use crate::app::App;
use crate::auth::{Door, Try, checked_name};
use crate::json::ApiJson;
use crate::path::ApiPath;
use crate::problem::{Problem, ProblemKind};
use crate::query::ApiQuery;
use crate::secrets::{IdempotencyHeader, IdempotencyKey, key_reused};

const MAX_URL_CHARS: usize = 2000;
const DEFAULT_DELIVERIES: usize = 50;
const MAX_DELIVERIES: usize = 500;
/// What a secret begins with, by the Standard Webhooks specification.
const SECRET_PREFIX: &str = "whsec_";

#[derive(Serialize, ToSchema)]
pub(crate) struct WebhookList {
    webhooks: Vec<WebhookView>,
}

/// One's own webhooks; admins see all.
#[utoipa::path(
    get, path = "/api/webhooks", tag = "webhooks", operation_id = "list_webhooks",
    responses((status = 200, body = WebhookList)),
)]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Json<WebhookList> {
    let webhooks = app.log.read(|state| match caller.is_admin() {
        true => state.webhooks.values().map(WebhookView::of).collect(),
        false => {
            let own = state.webhooks_of(caller.owner());
            own.map(WebhookView::of).collect()
        }
    });
    Json(WebhookList { webhooks })
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWebhook {
    #[schema(
        max_length = 100,
        pattern = r"^[^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*$"
    )]
    name: String,
    /// An `https` or `http` address.
    #[schema(max_length = 2000, pattern = "^https?://[^\\s@]+$")]
    url: String,
    /// `json` is signed by the Standard Webhooks specification; the others are what chats take.
    #[serde(default = "json_shape")]
    shape: WebhookShape,
    #[schema(value_type = Vec<WebhookEvent>, min_items = 1)]
    events: BTreeSet<WebhookEvent>,
    /// Of every job, and of nodes; for admins.
    #[serde(default)]
    all_jobs: bool,
}

fn json_shape() -> WebhookShape {
    WebhookShape::Json
}

#[derive(Serialize, ToSchema)]
pub(crate) struct NewWebhookView {
    /// `whsec_…`: the key of the signatures. It is shown once.
    secret: String,
    #[serde(flatten)]
    webhook: WebhookView,
}

/// Makes a webhook.
#[utoipa::path(
    post, path = "/api/webhooks", tag = "webhooks", operation_id = "create_webhook",
    request_body = NewWebhook, params(IdempotencyHeader),
    responses((status = 201, body = NewWebhookView)),
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    key: IdempotencyKey,
    ApiJson(new): ApiJson<NewWebhook>,
) -> Result<(StatusCode, Json<NewWebhookView>), Problem> {
    let seed = key.seed(&app, &caller, "POST /api/webhooks")?;
    let secret = webhook_secret(&seed.secret(""));
    let webhook = Webhook {
        id: seed.id(),
        owner: caller.owner(),
        name: webhook_name(&new.name)?,
        url: webhook_url(&app, &new.url)?,
        shape: new.shape,
        events: checked_events(new.events)?,
        all_jobs: checked_all_jobs(&caller, new.all_jobs)?,
        secret: secret.clone(),
        enabled: true,
        created_at: TimestampMs::now(),
        failures: 0,
    };
    let id = webhook.id;
    let known = app.log.read(|state| state.webhooks.get(&id).cloned());
    let asked_before = |known: &Webhook| Webhook {
        created_at: known.created_at,
        failures: known.failures,
        enabled: known.enabled,
        ..webhook.clone()
    };
    match known {
        Some(known) if asked_before(&known) != known => return Err(key_reused()),
        Some(_) => {}
        None => drop(save(&app, &caller, webhook).await?),
    }
    let webhook = look(&app, &caller, id)?;
    let view = NewWebhookView {
        secret,
        webhook: WebhookView::of(&webhook),
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// 256 bits from hex, in the specification's form.
fn webhook_secret(hex: &str) -> String {
    let key = hex::decode(hex).unwrap_or_else(|_| hex.as_bytes().to_vec());
    format!("{SECRET_PREFIX}{}", STANDARD.encode(key))
}

fn invalid(why: impl Into<String>) -> Problem {
    Problem::new(ProblemKind::InvalidRequest, why)
}

fn webhook_name(name: &str) -> Result<String, Problem> {
    let name = checked_name(name)?;
    if name.is_empty() {
        return Err(invalid("name is empty; say what the webhook is for"));
    }
    Ok(name)
}

/// What can be told of an address before its name is resolved; the leader looks at the rest.
fn webhook_url(app: &App, url: &str) -> Result<String, Problem> {
    if url.chars().count() > MAX_URL_CHARS {
        return Err(invalid(format!(
            "url is longer than {MAX_URL_CHARS} characters"
        )));
    }
    let parsed = Url::parse(url).map_err(|error| invalid(format!("url is no address: {error}")))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(invalid("url must begin with https:// or http://"));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err(invalid(
            "url holds a name or a password; the signature is what tells who calls",
        ));
    }
    let address = match parsed.host() {
        Some(url::Host::Ipv4(address)) => Some(address.into()),
        Some(url::Host::Ipv6(address)) => Some(address.into()),
        Some(url::Host::Domain(_)) => None,
        None => return Err(invalid("url names no host")),
    };
    let reach = app
        .log
        .read(|state| match state.settings.webhooks_to_private_addresses {
            true => WebhookReach::beyond_public(app.config.webhooks_to_this_machine),
            false => WebhookReach::Public,
        });
    if address.is_some_and(|address| !reach.allows(address)) {
        return Err(invalid(
            "url is no public host; an admin may let webhooks into private networks in the settings (webhooks_to_private_addresses), but never to the nodes themselves",
        ));
    }
    Ok(parsed.into())
}

fn checked_events(events: BTreeSet<WebhookEvent>) -> Result<BTreeSet<WebhookEvent>, Problem> {
    match events.is_empty() {
        true => Err(invalid("events is empty; name at least one")),
        false => Ok(events),
    }
}

fn checked_all_jobs(caller: &Caller, all_jobs: bool) -> Result<bool, Problem> {
    if all_jobs && !caller.is_admin() {
        return Err(Problem::new(
            ProblemKind::NotAllowed,
            "all_jobs is for admins, and for tokens of theirs with the scope 'admin'; without it a webhook is told of your own jobs",
        ));
    }
    Ok(all_jobs)
}

async fn save(app: &App, caller: &Caller, webhook: Webhook) -> Result<(), Problem> {
    app.propose(caller, Action::WebhookSaved { webhook })
        .await?;
    Ok(())
}

/// The webhook, if it is the caller's or the caller sees all.
fn look(app: &App, caller: &Caller, id: WebhookId) -> Result<Webhook, Problem> {
    let webhook = app.log.read(|state| {
        let webhook = state.webhooks.get(&id);
        webhook
            .filter(|webhook| caller.is_admin() || webhook.owner == caller.owner())
            .cloned()
    });
    webhook.ok_or_else(|| {
        Problem::new(
            ProblemKind::UnknownWebhook,
            "there is no such webhook; GET /api/webhooks lists yours",
        )
    })
}

/// The same, for what one that is told of all jobs would tell of them, or make of it.
fn look_to_use(app: &App, caller: &Caller, id: WebhookId) -> Result<Webhook, Problem> {
    let webhook = look(app, caller, id)?;
    checked_all_jobs(caller, webhook.all_jobs)?;
    Ok(webhook)
}

/// A webhook.
#[utoipa::path(
    get, path = "/api/webhooks/{webhook}", tag = "webhooks", operation_id = "get_webhook",
    params(("webhook" = WebhookId, Path)), responses((status = 200, body = WebhookView)),
)]
pub(crate) async fn get(
    State(app): State<App>,
    caller: Caller,
    ApiPath(id): ApiPath<WebhookId>,
) -> Result<Json<WebhookView>, Problem> {
    look(&app, &caller, id).map(|webhook| Json(WebhookView::of(&webhook)))
}

/// What is to be another way; the rest stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WebhookChange {
    #[schema(
        max_length = 100,
        pattern = r"^[^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*$"
    )]
    name: Option<String>,
    #[schema(max_length = 2000, pattern = "^https?://[^\\s@]+$")]
    url: Option<String>,
    shape: Option<WebhookShape>,
    #[schema(value_type = Option<Vec<WebhookEvent>>, min_items = 1)]
    events: Option<BTreeSet<WebhookEvent>>,
    all_jobs: Option<bool>,
    /// One that is switched off is told nothing, and what waits for it is given up.
    enabled: Option<bool>,
}

/// Changes a webhook.
#[utoipa::path(
    patch, path = "/api/webhooks/{webhook}", tag = "webhooks", operation_id = "change_webhook",
    params(("webhook" = WebhookId, Path)), request_body = WebhookChange,
    responses((status = 200, body = WebhookView)),
)]
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    ApiPath(id): ApiPath<WebhookId>,
    ApiJson(change): ApiJson<WebhookChange>,
) -> Result<Json<WebhookView>, Problem> {
    let mut webhook = look_to_use(&app, &caller, id)?;
    if let Some(name) = change.name {
        webhook.name = webhook_name(&name)?;
    }
    if let Some(url) = change.url {
        webhook.url = webhook_url(&app, &url)?;
    }
    if let Some(events) = change.events {
        webhook.events = checked_events(events)?;
    }
    if let Some(all_jobs) = change.all_jobs {
        webhook.all_jobs = checked_all_jobs(&caller, all_jobs)?;
    }
    webhook.shape = change.shape.unwrap_or(webhook.shape);
    webhook.enabled = change.enabled.unwrap_or(webhook.enabled);
    save(&app, &caller, webhook).await?;
    look(&app, &caller, id).map(|webhook| Json(WebhookView::of(&webhook)))
}

/// Deletes a webhook and what waits for it.
#[utoipa::path(
    delete, path = "/api/webhooks/{webhook}", tag = "webhooks", operation_id = "delete_webhook",
    params(("webhook" = WebhookId, Path)), responses((status = 204, description = "Deleted")),
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    ApiPath(id): ApiPath<WebhookId>,
) -> Result<StatusCode, Problem> {
    let webhook = look_to_use(&app, &caller, id)?.id;
    app.propose(&caller, Action::WebhookDeleted { webhook })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a message that says that it is a test, once. What came of it is among the deliveries.
#[utoipa::path(
    post, path = "/api/webhooks/{webhook}/test", tag = "webhooks", operation_id = "test_webhook",
    params(("webhook" = WebhookId, Path)), responses((status = 202, body = DeliveryView)),
)]
pub(crate) async fn test(
    State(app): State<App>,
    caller: Caller,
    ApiPath(id): ApiPath<WebhookId>,
) -> Result<(StatusCode, Json<DeliveryView>), Problem> {
    let webhook = look_to_use(&app, &caller, id)?.id;
    let tries = [Try::by_account(&app, Door::WebhookTest, &who(&caller))?];
    app.attempt(&tries).await?;
    let effect = app
        .propose(&caller, Action::WebhookTested { webhook })
        .await?;
    let delivery = app.log.read(|state| match effect {
        jiggablend_raft::Effect::Enqueued(id) => state.deliveries.get(&id).map(DeliveryView::of),
        _ => None,
    });
    let delivery = delivery.ok_or_else(|| {
        Problem::new(
            ProblemKind::NotReady,
            "the test is on its way, but this node does not know of it yet; look at its deliveries",
        )
    })?;
    Ok((StatusCode::ACCEPTED, Json(delivery)))
}

/// Whose tests they are, for the limit.
fn who(caller: &Caller) -> String {
    format!("{:?}", caller.owner())
}

/// A webhook may have been told of all jobs once; what it was told then stays for admins.
fn may_be_told(state: &FarmState, caller: &Caller, delivery: &Delivery) -> bool {
    let is_own = |job| {
        let job = state.jobs.get(&job);
        job.is_some_and(|job| caller.may_see(job))
    };
    caller.is_admin() || (delivery.node.is_none() && delivery.job.is_none_or(is_own))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeliveryPage {
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct DeliveryList {
    deliveries: Vec<DeliveryView>,
}

/// What was sent and what waits, newest first. Of what has ended, the newest fifty are kept.
#[utoipa::path(
    get, path = "/api/webhooks/{webhook}/deliveries", tag = "webhooks",
    operation_id = "list_webhook_deliveries",
    params(("webhook" = WebhookId, Path), DeliveryPage),
    responses((status = 200, body = DeliveryList)),
)]
pub(crate) async fn deliveries(
    State(app): State<App>,
    caller: Caller,
    ApiPath(id): ApiPath<WebhookId>,
    ApiQuery(page): ApiQuery<DeliveryPage>,
) -> Result<Json<DeliveryList>, Problem> {
    let id = look_to_use(&app, &caller, id)?.id;
    let limit = page.limit.unwrap_or(DEFAULT_DELIVERIES);
    if !(1..=MAX_DELIVERIES).contains(&limit) {
        return Err(invalid(format!(
            "limit is {limit}; it must be from 1 to {MAX_DELIVERIES}"
        )));
    }
    let deliveries = app.log.read(|state| {
        let deliveries = state.deliveries_of(id).into_iter();
        let deliveries = deliveries.filter(|delivery| may_be_told(state, &caller, delivery));
        deliveries.take(limit).map(DeliveryView::of).collect()
    });
    Ok(Json(DeliveryList { deliveries }))
}
