//! The farm, its nodes, and tickets for new ones.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiggablend_raft::{NodeId, Roles, TimestampMs};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Caller;
use crate::app::App;
use crate::json::ApiJson;
use crate::problem::{Problem, ProblemKind};
use crate::views::{NodeView, Nodes};

const DEFAULT_TICKET_SECONDS: u64 = 15 * 60;
const TICKET_SECONDS: std::ops::RangeInclusive<u64> = 1..=30 * 24 * 60 * 60;

#[derive(Serialize, ToSchema)]
pub(crate) struct FarmView {
    id: String,
    name: String,
    fingerprint: String,
    this_node: NodeId,
    leader: Option<NodeId>,
    term: u64,
    voters: Vec<NodeId>,
    standbys: Vec<NodeId>,
    applied_index: u64,
    last_log_index: u64,
    projected_index: u64,
}

/// The farm and its Raft group.
#[utoipa::path(get, path = "/api/farm", tag = "farm", responses((status = 200, body = FarmView)))]
pub(crate) async fn farm(State(app): State<App>) -> Result<Response, Problem> {
    let status = app.log.status();
    let view = app.log.read(|state| {
        let farm = state.farm.as_ref()?;
        Some(FarmView {
            id: farm.id.to_string(),
            name: farm.name.clone(),
            fingerprint: farm.id.fingerprint(),
            this_node: status.node,
            leader: status.leader,
            term: status.term,
            voters: status.voters.iter().copied().collect(),
            standbys: status.standbys.iter().copied().collect(),
            applied_index: status.applied_index,
            last_log_index: status.last_log_index,
            projected_index: status.projected_index,
        })
    });
    let view = view.ok_or_else(|| {
        Problem::new(
            ProblemKind::NotReady,
            "this node does not know its farm yet; try again when it has caught up",
        )
        .retry_after_seconds(2)
    })?;
    Ok(Json(view).into_response())
}

#[derive(Serialize, ToSchema)]
pub(crate) struct NodeList {
    nodes: Vec<NodeView>,
}

/// The farm's nodes: what they can and what they do now.
#[utoipa::path(get, path = "/api/nodes", tag = "farm", responses((status = 200, body = NodeList)))]
pub(crate) async fn nodes(State(app): State<App>, caller: Caller) -> Response {
    let nodes = Nodes::new(app.log.status(), &app.live);
    let nodes = app.log.read(|state| {
        let members = state.members();
        members
            .map(|node| nodes.view(state, node, &caller))
            .collect()
    });
    Json(NodeList { nodes }).into_response()
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
pub(crate) struct TicketView {
    ticket: String,
    expires_at_ms: TimestampMs,
}

/// Makes a ticket for a new node. It is shown once.
#[utoipa::path(post, path = "/api/tickets", tag = "farm", request_body = NewTicket, responses((status = 201, body = TicketView)))]
pub(crate) async fn make_ticket(
    State(app): State<App>,
    caller: Caller,
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
    let ttl = Duration::from_secs(new.ttl_seconds);
    let made = app.tickets.make(
        caller.actor(),
        Some(caller.address),
        roles,
        ttl,
        new.reusable,
    );
    let (ticket, expires_at_ms) = made.await?;
    let view = TicketView {
        ticket,
        expires_at_ms,
    };
    Ok((StatusCode::CREATED, Json(view)).into_response())
}
