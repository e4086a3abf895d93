//! Finding somebody to share with: names and ids, and nothing else about anybody.

use axum::Json;
use axum::extract::State;
use jiggablend_raft::{User, UserId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::access::Caller;
use crate::app::App;
use crate::problem::{Problem, ProblemKind};
use crate::query::ApiQuery;

const MAX_FOUND: usize = 20;
const MAX_QUERY_CHARS: usize = 100;

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct NameQuery {
    /// A part of a name; for admins also a whole e-mail address.
    #[param(min_length = 1, max_length = 100)]
    q: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct UserNames {
    users: Vec<UserName>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct UserName {
    id: UserId,
    name: String,
}

/// People whose name has that in it, at most twenty.
#[utoipa::path(
    get, path = "/api/users/names", tag = "users", params(NameQuery),
    responses((status = 200, body = UserNames)),
)]
pub(crate) async fn find(
    State(app): State<App>,
    caller: Caller,
    ApiQuery(query): ApiQuery<NameQuery>,
) -> Result<Json<UserNames>, Problem> {
    let wanted = query.q.trim().to_lowercase();
    if wanted.is_empty() || wanted.chars().count() > MAX_QUERY_CHARS {
        let why = format!("q must have 1 to {MAX_QUERY_CHARS} characters of a name");
        return Err(Problem::new(ProblemKind::InvalidRequest, why));
    }
    let users = app.log.read(|state| {
        let by_address = caller.is_admin();
        let users = state.users.values();
        let found = users.filter(|user| is_meant(user, &wanted, by_address));
        found
            .take(MAX_FOUND)
            .map(|user| UserName {
                id: user.id,
                name: user.name.clone(),
            })
            .collect()
    });
    Ok(Json(UserNames { users }))
}

/// A part of an address finds nobody: it would tell the rest, letter by letter. A whole one finds
/// somebody only for admins: others would learn who has an account here.
fn is_meant(user: &User, wanted: &str, by_address: bool) -> bool {
    let has_address = by_address && user.email.as_deref() == Some(wanted);
    !user.disabled && (has_address || user.name.to_lowercase().contains(wanted))
}
