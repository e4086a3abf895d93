//! Who changed what, when, and from where.

use axum::Json;
use axum::extract::State;
use jiggablend_raft::{Action, Actor, AuditEntry, State as FarmState, TimestampMs};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};

use crate::app::App;
use crate::problem::{Problem, ProblemKind};
use crate::query::ApiQuery;

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1000;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditQuery {
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// Entries with a smaller number.
    #[param(minimum = 0)]
    before: Option<i64>,
    /// The id of a user, `node-N`, or `farm`.
    actor: Option<String>,
    /// What was done, for example `user_created`.
    #[param(schema_with = action_schema)]
    action: Option<String>,
    /// The id of what it was done to.
    subject: Option<String>,
}

fn action_schema() -> Object {
    let names = Action::NAMES.iter().copied();
    let schema = ObjectBuilder::new().schema_type(Type::String);
    schema.enum_values(Some(names)).build()
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AuditPage {
    /// The newest first.
    entries: Vec<AuditEntryView>,
    /// There where more follow: the `before` of the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_before: Option<u64>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct AuditEntryView {
    number: u64,
    at_ms: TimestampMs,
    actor: ActorView,
    /// The client's address.
    from: Option<String>,
    action: String,
    subject: String,
    detail: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ActorView {
    /// `user`, `operator` of a node, `node`, or `farm`.
    kind: &'static str,
    id: String,
    /// Null for a user who is there no longer.
    name: Option<String>,
}

impl ActorView {
    pub(crate) fn of(state: &FarmState, actor: Actor) -> Self {
        let node_name = |node| state.nodes.get(&node).map(|node| node.name.clone());
        let (kind, name) = match actor {
            Actor::Farm => ("farm", state.farm.as_ref().map(|farm| farm.name.clone())),
            Actor::Node(node) => ("node", node_name(node)),
            Actor::Operator(node) => ("operator", node_name(node)),
            Actor::User(user) => {
                let user = state.users.get(&user);
                ("user", user.map(|user| user.name.clone()))
            }
        };
        Self {
            kind,
            id: id_of(actor),
            name,
        }
    }
}

fn id_of(actor: Actor) -> String {
    match actor {
        Actor::Farm => "farm".to_owned(),
        Actor::Node(node) | Actor::Operator(node) => format!("node-{node}"),
        Actor::User(user) => user.to_string(),
    }
}

/// The audit log, of 100,000 changes; then the oldest of whoever has the most goes.
#[utoipa::path(
    get, path = "/api/audit", tag = "audit", params(AuditQuery),
    responses((status = 200, body = AuditPage)),
)]
pub(crate) async fn list(
    State(app): State<App>,
    ApiQuery(query): ApiQuery<AuditQuery>,
) -> Result<Json<AuditPage>, Problem> {
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        let why = format!("limit must be from 1 to {MAX_PAGE}");
        return Err(Problem::new(ProblemKind::InvalidRequest, why));
    }
    if let Some(action) = &query.action
        && !Action::NAMES.contains(&action.as_str())
    {
        let why =
            "action is no kind of change; GET /api/audit shows them, for example user_created";
        return Err(Problem::new(ProblemKind::InvalidRequest, why));
    }
    let before = u64::try_from(query.before.unwrap_or(i64::MAX)).map_err(|_| {
        let why = "before must be the number of an entry, 0 or more";
        Problem::new(ProblemKind::InvalidRequest, why)
    })?;
    let page = app.log.read(|state| {
        let entries = state.audit.range(..before).rev();
        let mut entries: Vec<AuditEntryView> = entries
            .map(|(_, entry)| entry)
            .filter(|entry| is_asked_for(entry, &query))
            .take(limit + 1)
            .map(|entry| AuditEntryView {
                number: entry.number,
                at_ms: entry.at,
                actor: ActorView::of(state, entry.actor),
                from: entry.from.map(|address| address.to_string()),
                action: entry.action.clone(),
                subject: entry.subject.clone(),
                detail: entry.detail.clone(),
            })
            .collect();
        let has_more = entries.len() > limit;
        entries.truncate(limit);
        AuditPage {
            next_before: entries.last().filter(|_| has_more).map(|last| last.number),
            entries,
        }
    });
    Ok(Json(page))
}

fn is_asked_for(entry: &AuditEntry, query: &AuditQuery) -> bool {
    let is = |wanted: &Option<String>, value: &str| {
        wanted.as_deref().is_none_or(|wanted| wanted == value)
    };
    is(&query.action, &entry.action)
        && is(&query.subject, &entry.subject)
        && is(&query.actor, &id_of(entry.actor))
}
