//! What somebody sees of their own account.

use axum::Json;
use axum::extract::State;
use jiggablend_raft::{Quota, State as FarmState, Usage, User, UserRole};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::{Caller, Credential, Identity};
use crate::app::App;

/// Who calls, and what they may take of the farm.
#[derive(Serialize, ToSchema)]
pub(crate) struct Me {
    user: UserView,
    /// Accounts at providers with which this one signs in.
    identities: Vec<IdentityView>,
    has_password: bool,
    /// Of an API token; null for sessions and operators, which are good for everything.
    scopes: Option<Vec<jiggablend_raft::Scope>>,
    quota: Quota,
    usage: Usage,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct UserView {
    id: String,
    name: String,
    email: Option<String>,
    role: UserRole,
    /// `user`, or `operator`: whoever owns a node's machine.
    kind: &'static str,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct IdentityView {
    /// As in the routes; the issuer's address where this node has no such provider.
    provider: String,
    /// For people.
    name: String,
    subject: String,
}

impl UserView {
    pub(crate) fn of(identity: &Identity) -> Self {
        match identity {
            Identity::User {
                id,
                name,
                email,
                role,
            } => Self {
                id: id.to_string(),
                name: name.clone(),
                email: email.clone(),
                role: *role,
                kind: "user",
            },
            Identity::Operator(node) => Self {
                id: format!("node-{node}"),
                name: format!("operator of node {node}"),
                email: None,
                role: UserRole::Admin,
                kind: "operator",
            },
        }
    }
}

impl Me {
    pub(crate) fn of(app: &App, state: &FarmState, caller: &Caller) -> Self {
        let user = caller.user().and_then(|user| state.users.get(&user));
        Self {
            user: UserView::of(&caller.identity),
            identities: user
                .map(|user| identities_of(app, user))
                .unwrap_or_default(),
            has_password: user.is_some_and(|user| user.password_hash.is_some()),
            scopes: match &caller.credential {
                Credential::ApiToken { scopes, .. } => Some(scopes.iter().copied().collect()),
                Credential::Session(_) | Credential::NodeToken(_) => None,
            },
            quota: state.quota_of(caller.owner()),
            usage: state.usage_of(caller.owner()),
        }
    }
}

pub(crate) fn identities_of(app: &App, user: &User) -> Vec<IdentityView> {
    let view = |identity: &jiggablend_raft::Identity| {
        let known = app.providers.of_identity(identity);
        IdentityView {
            provider: known.map_or(&identity.provider, |known| &known.id).clone(),
            name: known
                .map_or(&identity.provider, |known| &known.name)
                .clone(),
            subject: identity.subject.clone(),
        }
    };
    user.identities.iter().map(view).collect()
}

/// Who calls, what they sign in with, and what they take of the farm.
#[utoipa::path(get, path = "/api/auth/me", tag = "sign-in", responses((status = 200, body = Me)))]
pub(crate) async fn me(State(app): State<App>, caller: Caller) -> Json<Me> {
    Json(app.log.read(|state| Me::of(&app, state, &caller)))
}
