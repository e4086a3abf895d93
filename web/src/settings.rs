//! What admins set for the whole farm.

use axum::Json;
use axum::extract::State;
use jiggablend_raft::{Action, Quota, Registration, Settings, State as FarmState, UserRole};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::Caller;
use crate::app::App;
use crate::json::{ApiJson, given, object};
use crate::problem::{Problem, ProblemKind};
use crate::quota::QuotaChange;

const MAX_NAME_CHARS: usize = 100;
const MAX_URL_BYTES: usize = 2000;

#[derive(Serialize, ToSchema)]
pub(crate) struct SettingsView {
    farm_name: String,
    /// Who may make an account of their own.
    registration: Registration,
    /// The role of those who do, where no invitation says another.
    default_role: UserRole,
    /// For owners that have none of their own.
    default_quota: Quota,
    /// Where people reach the farm's pages, for links.
    public_url: Option<String>,
    webhooks_to_private_addresses: bool,
}

impl SettingsView {
    fn of(state: &FarmState) -> Self {
        let farm_name = state.farm.as_ref().map(|farm| farm.name.clone());
        let settings = state.settings.clone();
        Self {
            farm_name: farm_name.unwrap_or_default(),
            registration: settings.registration,
            default_role: settings.default_role,
            default_quota: settings.default_quota,
            public_url: settings.public_url,
            webhooks_to_private_addresses: settings.webhooks_to_private_addresses,
        }
    }
}

/// The farm's settings.
#[utoipa::path(
    get, path = "/api/settings", tag = "settings", responses((status = 200, body = SettingsView)),
)]
pub(crate) async fn get(State(app): State<App>) -> Json<SettingsView> {
    Json(app.log.read(SettingsView::of))
}

/// What is left out stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingsChanges {
    #[schema(
        max_length = 100,
        pattern = r"^[^\x00-\x1F\x7F-\x9F]*[^\s\x00-\x1F\x7F-\x9F][^\x00-\x1F\x7F-\x9F]*$"
    )]
    farm_name: Option<String>,
    registration: Option<Registration>,
    default_role: Option<UserRole>,
    #[serde(default, deserialize_with = "object")]
    default_quota: Option<QuotaChange>,
    /// Null: this node's own address.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    public_url: Option<Option<String>>,
    webhooks_to_private_addresses: Option<bool>,
}

/// Changes the farm's settings.
#[utoipa::path(
    patch, path = "/api/settings", tag = "settings", request_body = SettingsChanges,
    responses((status = 200, body = SettingsView)),
)]
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    ApiJson(wanted): ApiJson<SettingsChanges>,
) -> Result<Json<SettingsView>, Problem> {
    let name = wanted.farm_name.as_deref().map(checked_name).transpose()?;
    let (before, name_before) = app.log.read(|state| {
        let name = state.farm.as_ref().map(|farm| farm.name.clone());
        (state.settings.clone(), name)
    });
    let mut settings = before.clone();
    if let Some(registration) = wanted.registration {
        settings.registration = registration;
    }
    if let Some(role) = wanted.default_role {
        settings.default_role = checked_default_role(role)?;
    }
    if let Some(quota) = wanted.default_quota {
        settings.default_quota = quota.of(settings.default_quota);
    }
    if let Some(url) = wanted.public_url {
        settings.public_url = url.as_deref().map(checked_url).transpose()?;
    }
    if let Some(allowed) = wanted.webhooks_to_private_addresses {
        settings.webhooks_to_private_addresses = allowed;
    }
    if settings != before {
        change_settings(&app, &caller, settings).await?;
    }
    if let Some(name) = name
        && Some(&name) != name_before.as_ref()
    {
        app.propose(&caller, Action::FarmRenamed { name }).await?;
    }
    Ok(Json(app.log.read(SettingsView::of)))
}

async fn change_settings(app: &App, caller: &Caller, settings: Settings) -> Result<(), Problem> {
    let changed = Action::SettingsChanged { settings };
    app.propose(caller, changed).await?;
    Ok(())
}

/// Whoever comes must not be an admin by that alone.
fn checked_default_role(role: UserRole) -> Result<UserRole, Problem> {
    if role == UserRole::Admin {
        let why = "default_role must be member or viewer; make admins one by one";
        return Err(Problem::new(ProblemKind::InvalidRequest, why));
    }
    Ok(role)
}

fn checked_name(text: &str) -> Result<String, Problem> {
    let name = text.trim();
    let is_short = name.chars().count() <= MAX_NAME_CHARS;
    if !name.is_empty() && is_short && !name.chars().any(char::is_control) {
        return Ok(name.to_owned());
    }
    let why = format!("farm_name must have 1 to {MAX_NAME_CHARS} characters and no line breaks");
    Err(Problem::new(ProblemKind::InvalidRequest, why))
}

/// Without the slash at its end, so that paths can follow.
fn checked_url(text: &str) -> Result<String, Problem> {
    let invalid = || {
        let why = "public_url must be an address like https://farm.example.org";
        Problem::new(ProblemKind::InvalidRequest, why)
    };
    let url = oauth2::url::Url::parse(text).map_err(|_| invalid())?;
    let is_web = matches!(url.scheme(), "http" | "https") && url.host().is_some();
    let is_bare = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if is_web && is_bare && text.len() <= MAX_URL_BYTES {
        Ok(url.as_str().trim_end_matches('/').to_owned())
    } else {
        Err(invalid())
    }
}

impl App {
    /// Where people reach the farm's pages: what an admin set, or this node's own address. Never
    /// what a request's headers say.
    pub(crate) fn public_url(&self) -> String {
        let url = self.log.read(|state| {
            let own = state.nodes.get(&self.config.node);
            let own = own.and_then(|node| node.web_address.clone());
            state.settings.public_url.clone().or(own)
        });
        url.unwrap_or_else(|| "http://localhost:8080".to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_public_address_is_a_web_address_and_nothing_more() {
        assert_eq!(
            checked_url("https://x.example/").unwrap(),
            "https://x.example"
        );
        assert_eq!(checked_url("http://x:81/farm").unwrap(), "http://x:81/farm");
        for bad in [
            "",
            "x.example",
            "javascript:alert(1)",
            "https://x/?q",
            "https://x/#f",
            "https://u@x/",
        ] {
            assert!(checked_url(bad).is_err(), "{bad}");
        }
    }
}
