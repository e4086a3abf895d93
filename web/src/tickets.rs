//! Tickets: with one, a machine becomes a node of the farm.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiggablend_raft::{Action, NodeId, Roles, SecretHash, State as FarmState, Ticket, TimestampMs};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::TicketOrder;
use crate::access::Caller;
use crate::app::App;
use crate::audit::ActorView;
use crate::json::ApiJson;
use crate::path::ApiPath;
use crate::problem::{Problem, ProblemKind};
use crate::secrets::{IdempotencyHeader, IdempotencyKey, key_reused};

const DEFAULT_TICKET_SECONDS: u64 = 15 * 60;
const TICKET_SECONDS: std::ops::RangeInclusive<u64> = 1..=30 * 24 * 60 * 60;
/// Of the hash of a ticket's secret: enough to tell tickets apart, and nothing to open with.
const ID_CHARS: usize = 16;

#[derive(Serialize, ToSchema)]
pub(crate) struct TicketView {
    id: String,
    created_at_ms: TimestampMs,
    created_by: ActorView,
    expires_at_ms: TimestampMs,
    reusable: bool,
    voter: bool,
    runner: bool,
    /// The node that came with it, where it lets in one.
    spent_by: Option<NodeId>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct Tickets {
    /// Those that have not expired; the newest first.
    tickets: Vec<TicketView>,
}

fn id_of(ticket: SecretHash) -> String {
    let mut id = ticket.to_string();
    id.truncate(ID_CHARS);
    id
}

impl TicketView {
    fn of(state: &FarmState, ticket: &Ticket) -> Self {
        Self {
            id: id_of(ticket.hash),
            created_at_ms: ticket.created_at,
            created_by: ActorView::of(state, ticket.created_by),
            expires_at_ms: ticket.expires_at,
            reusable: ticket.reusable,
            voter: ticket.roles.voter,
            runner: ticket.roles.runner,
            spent_by: ticket.spent_by,
        }
    }
}

/// The tickets that are out. Their secrets were shown once and are not kept.
#[utoipa::path(get, path = "/api/tickets", tag = "tickets", responses((status = 200, body = Tickets)))]
pub(crate) async fn list(State(app): State<App>) -> Json<Tickets> {
    let now = TimestampMs::now();
    let tickets = app.log.read(|state| {
        let mut tickets: Vec<&Ticket> = state.tickets.values().collect();
        tickets.retain(|ticket| ticket.expires_at > now);
        tickets.sort_by_key(|ticket| std::cmp::Reverse((ticket.created_at, ticket.hash)));
        tickets
            .into_iter()
            .map(|ticket| TicketView::of(state, ticket))
            .collect()
    });
    Json(Tickets { tickets })
}

/// Revokes a ticket. Nodes that came with it stay.
#[utoipa::path(
    delete, path = "/api/tickets/{ticket}", tag = "tickets", params(("ticket" = String, Path)),
    responses((status = 204, description = "It is revoked")),
)]
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    ApiPath(id): ApiPath<String>,
) -> Result<StatusCode, Problem> {
    let ticket = app.log.read(|state| {
        let mut tickets = state.tickets.keys();
        tickets.find(|ticket| id_of(**ticket) == id).copied()
    });
    let ticket = ticket.ok_or_else(|| {
        let why = "there is no such ticket; GET /api/tickets lists those that are out";
        Problem::new(ProblemKind::NotFound, why)
    })?;
    app.propose(&caller, Action::TicketRevoked { ticket })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewTicket {
    #[serde(default = "default_ticket_seconds")]
    #[schema(minimum = 1, maximum = 2_592_000)]
    ttl_seconds: u64,
    #[serde(default)]
    reusable: bool,
    #[serde(default = "yes")]
    voter: bool,
    #[serde(default = "yes")]
    runner: bool,
}

fn default_ticket_seconds() -> u64 {
    DEFAULT_TICKET_SECONDS
}

fn yes() -> bool {
    true
}

#[derive(Serialize, ToSchema)]
pub(crate) struct NewTicketView {
    ticket: String,
    expires_at_ms: TimestampMs,
}

/// Makes a ticket for a new node. It is shown once.
#[utoipa::path(
    post, path = "/api/tickets", tag = "tickets", request_body = NewTicket,
    params(IdempotencyHeader), responses((status = 201, body = NewTicketView)),
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    key: IdempotencyKey,
    ApiJson(new): ApiJson<NewTicket>,
) -> Result<Response, Problem> {
    if !TICKET_SECONDS.contains(&new.ttl_seconds) {
        return Err(Problem::new(
            ProblemKind::InvalidRequest,
            format!(
                "ttl_seconds is {}; it must be from {} to {}",
                new.ttl_seconds,
                TICKET_SECONDS.start(),
                TICKET_SECONDS.end()
            ),
        ));
    }
    let roles = Roles {
        voter: new.voter,
        runner: new.runner,
    };
    let seed = key.seed(&app, &caller, "POST /api/tickets")?;
    let order = TicketOrder {
        secret: seed.secret_bytes(),
        roles,
        ttl: Duration::from_secs(new.ttl_seconds),
        reusable: new.reusable,
    };
    let from = Some(caller.address);
    let ticket = app.tickets.make(caller.actor(), from, order).await?;
    let hash = SecretHash::of(&order.secret);
    let made = app.log.read(|state| state.tickets.get(&hash).cloned());
    let is_same = |made: &Ticket| {
        let ttl_ms = made.expires_at.0.saturating_sub(made.created_at.0);
        (made.roles, made.reusable, ttl_ms) == (roles, new.reusable, new.ttl_seconds * 1000)
    };
    let made = made.filter(is_same).ok_or_else(key_reused)?;
    let view = NewTicketView {
        ticket,
        expires_at_ms: made.expires_at,
    };
    Ok((StatusCode::CREATED, Json(view)).into_response())
}
