//! The farm and its nodes.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiggablend_raft::{Action, NodeId};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::Caller;
use crate::app::App;
use crate::path::ApiPath;
use crate::problem::{Problem, ProblemKind};
use crate::views::{NodeView, Nodes};

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

/// One node of the farm.
#[utoipa::path(
    get, path = "/api/nodes/{node}", tag = "farm", params(("node" = NodeId, Path)),
    responses((status = 200, body = NodeView)),
)]
pub(crate) async fn node(
    State(app): State<App>,
    caller: Caller,
    ApiPath(id): ApiPath<NodeId>,
) -> Result<Json<NodeView>, Problem> {
    let nodes = Nodes::new(app.log.status(), &app.live);
    let view = app.log.read(|state| {
        let node = state.nodes.get(&id).filter(|node| !node.removed)?;
        Some(nodes.view(state, node, &caller))
    });
    view.map(Json).ok_or_else(|| unknown_node(id))
}

fn unknown_node(id: NodeId) -> Problem {
    Problem::new(
        ProblemKind::NotFound,
        format!("this farm has no node {id}; GET /api/nodes lists them"),
    )
}

/// Removes a node, or a runner that speaks only HTTP, for good: its leases end, its connections
/// are closed, and it comes back only with a new ticket and an empty data directory.
#[utoipa::path(
    delete, path = "/api/nodes/{node}", tag = "farm", params(("node" = NodeId, Path)),
    responses((status = 204, description = "It is removed")),
)]
pub(crate) async fn remove_node(
    State(app): State<App>,
    caller: Caller,
    ApiPath(id): ApiPath<NodeId>,
) -> Result<StatusCode, Problem> {
    let is_there = app
        .log
        .read(|state| state.nodes.get(&id).is_some_and(|node| !node.removed));
    if !is_there {
        return Err(unknown_node(id));
    }
    if app.log.status().leader == Some(id) {
        return Err(Problem::new(
            ProblemKind::Conflict,
            format!("node {id} leads the farm now; stop it, and remove it when another leads"),
        ));
    }
    app.propose(&caller, Action::NodeRemoved { node: id })
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
