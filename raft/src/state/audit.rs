//! The audit log: every change that somebody made, in words.

use super::{Effect, State, Touched};
use crate::{
    Action, AuditEntry, Command, Identity, MAX_AUDIT_DETAIL_CHARS, MAX_AUDIT_ENTRIES,
    NewCredential, Owner, Roles, SecretHash, ShareAccess, UserChange, UserRole,
};

/// What a change was about (an id), and the rest of it in one line without secrets.
type Words = (String, String);

impl State {
    /// Notes the command where it changed something and is somebody's change.
    pub(super) fn write_audit(
        &mut self,
        command: &Command,
        effect: &Effect,
        touched: &mut Touched,
    ) {
        if touched.rows.is_empty() {
            return;
        }
        let Some((subject, detail)) = words(&command.action, effect) else {
            return;
        };
        let entry = AuditEntry {
            number: self.audit_next,
            at: command.at,
            actor: command.actor,
            from: command.from,
            action: command.action.name().to_owned(),
            subject,
            detail: one_line(&detail),
        };
        touched.audit(entry.number);
        self.audit_next += 1;
        self.audit.insert(entry.number, entry);
        while self.audit.len() > MAX_AUDIT_ENTRIES {
            self.audit.pop_first();
        }
    }
}

/// The words for those commands that are somebody's change. Leases, results, announcements and
/// what expires by itself are not.
fn words(action: &Action, effect: &Effect) -> Option<Words> {
    people(action, effect)
        .or_else(|| doors(action, effect))
        .or_else(|| jobs(action))
        .or_else(|| farm(action, effect))
}

fn people(action: &Action, effect: &Effect) -> Option<Words> {
    Some(match action {
        Action::UserCreated {
            user,
            name,
            email,
            role,
            ..
        } => {
            let who = who(name, email.as_deref());
            (user.to_string(), format!("{who}, {}", role_word(*role)))
        }
        Action::UserRegistered {
            user,
            name,
            email,
            credential,
            invitation,
        } => {
            let how = match credential {
                NewCredential::Password(_) => "with a password".to_owned(),
                NewCredential::External(identity) => format!("through {}", identity.provider),
            };
            let invited = if invitation.is_some() {
                ", invited"
            } else {
                ""
            };
            let who = who(name, email.as_deref());
            (user.to_string(), format!("{who} {how}{invited}"))
        }
        Action::UserChanged { user, change } => (user.to_string(), change_words(change)),
        Action::UserDeleted { user } => (user.to_string(), String::new()),
        Action::IdentityLinked { user, identity } | Action::IdentityUnlinked { user, identity } => {
            let Identity { provider, subject } = identity;
            (user.to_string(), format!("{subject} at {provider}"))
        }
        Action::SessionCreated { user, agent, .. } => (user.to_string(), agent.clone()),
        Action::SessionEnded { session } => (short(*session), String::new()),
        Action::SessionsEnded { user, except } => {
            let kept = if except.is_some() {
                "all but one"
            } else {
                "all"
            };
            (user.to_string(), kept.to_owned())
        }
        Action::TokenCreated {
            token,
            user,
            name,
            scopes,
            ..
        } => {
            let scopes: Vec<String> = scopes.iter().map(|scope| format!("{scope:?}")).collect();
            let scopes = scopes.join(", ").to_lowercase();
            let detail = format!("'{name}' of user {user} for {scopes}");
            (token.to_string(), detail)
        }
        Action::TokenRevoked { token } => (token.to_string(), String::new()),
        Action::DeviceSignInApproved { user_code, user } => (
            user.to_string(),
            format!("the command line that shows {user_code}"),
        ),
        Action::DeviceSignInRefused { user_code } => (
            user_code.clone(),
            "the command line that shows it".to_owned(),
        ),
        Action::DeviceSignInFinished { device } => match effect {
            Effect::ApprovedBy(user) => {
                let detail = format!("as user {user}, at this address");
                (short(*device), detail)
            }
            _ => (short(*device), String::new()),
        },
        _ => return None,
    })
}

fn doors(action: &Action, effect: &Effect) -> Option<Words> {
    Some(match action {
        Action::InvitationCreated {
            invitation,
            role,
            email,
            reusable,
            ..
        } => {
            let whom = email.as_deref().unwrap_or("whoever has it");
            let detail = format!("{} for {whom}{}", role_word(*role), many(*reusable));
            (invitation.to_string(), detail)
        }
        Action::InvitationRevoked { invitation } => (invitation.to_string(), String::new()),
        Action::TicketCreated {
            ticket,
            roles,
            reusable,
            ..
        } => {
            let detail = format!("{}{}", role_words(*roles), many(*reusable));
            (short(*ticket), detail)
        }
        Action::TicketRevoked { ticket } => (short(*ticket), String::new()),
        Action::RegistrationTokenCreated {
            token,
            name,
            reusable,
            ..
        } => (token.to_string(), format!("'{name}'{}", many(*reusable))),
        Action::RegistrationTokenRevoked { token } => (token.to_string(), String::new()),
        Action::NodeAdmitted { ticket, node } => {
            let detail = format!("'{}' with ticket {}", node.name, short(*ticket));
            (admitted(effect), detail)
        }
        Action::RunnerRegistered { name, .. } => (admitted(effect), format!("'{name}' over HTTP")),
        Action::NodeRemoved { node } => (node.to_string(), String::new()),
        _ => return None,
    })
}

fn jobs(action: &Action) -> Option<Words> {
    Some(match action {
        Action::JobCreated {
            job, name, owner, ..
        } => {
            let owner = match owner {
                Owner::User(user) => format!("user {user}"),
                Owner::Operator(node) => format!("the operator of node {node}"),
            };
            (job.to_string(), format!("'{name}' of {owner}"))
        }
        Action::SceneAdded { job, file, .. } => {
            let detail = format!("'{}', {} bytes", file.name, file.size_bytes);
            (job.to_string(), detail)
        }
        Action::JobCancelled { job } => (job.to_string(), String::new()),
        Action::JobShared { job, user, access } => {
            let access = match access {
                ShareAccess::View => "view",
                ShareAccess::Manage => "manage",
            };
            (job.to_string(), format!("with user {user} to {access}"))
        }
        Action::JobUnshared { job, user } => (job.to_string(), format!("with user {user}")),
        _ => return None,
    })
}

fn farm(action: &Action, effect: &Effect) -> Option<Words> {
    Some(match action {
        Action::FarmCreated { farm, name, .. } => (farm.to_string(), format!("'{name}'")),
        Action::FarmRenamed { name } => ("farm".to_owned(), format!("'{name}'")),
        Action::SettingsChanged { settings } => {
            let settings = serde_json::to_string(settings).unwrap_or_default();
            ("settings".to_owned(), settings)
        }
        Action::WebhookSaved { webhook } => {
            let state = if webhook.enabled { "on" } else { "off" };
            // Its address may hold a secret.
            let detail = format!("'{}', {state}", webhook.name);
            (webhook.id.to_string(), detail)
        }
        Action::WebhookDeleted { webhook } => (webhook.to_string(), String::new()),
        Action::WebhookTested { webhook } => match effect {
            Effect::Enqueued(delivery) => (webhook.to_string(), format!("delivery {delivery}")),
            _ => (webhook.to_string(), String::new()),
        },
        _ => return None,
    })
}

fn change_words(change: &UserChange) -> String {
    match change {
        UserChange::Name(name) => format!("name '{name}'"),
        UserChange::Email(Some(email)) => format!("e-mail address {email}"),
        UserChange::Email(None) => "no e-mail address".to_owned(),
        UserChange::Role(role) => format!("role {}", role_word(*role)),
        UserChange::Disabled(true) => "disabled".to_owned(),
        UserChange::Disabled(false) => "enabled".to_owned(),
        UserChange::Password { .. } => "password".to_owned(),
        UserChange::Quota(None) => "the farm's default quota".to_owned(),
        UserChange::Quota(Some(quota)) => {
            let quota = serde_json::to_string(quota).unwrap_or_default();
            format!("quota {quota}")
        }
    }
}

fn who(name: &str, email: Option<&str>) -> String {
    match email {
        Some(email) if name.is_empty() => email.to_owned(),
        Some(email) => format!("{name} <{email}>"),
        None => name.to_owned(),
    }
}

fn role_word(role: UserRole) -> &'static str {
    match role {
        UserRole::Admin => "admin",
        UserRole::Member => "member",
        UserRole::Viewer => "viewer",
    }
}

fn role_words(roles: Roles) -> &'static str {
    match (roles.voter, roles.runner) {
        (true, true) => "voter and runner",
        (true, false) => "voter",
        (false, true) => "runner",
        (false, false) => "standby",
    }
}

fn many(reusable: bool) -> &'static str {
    if reusable { ", reusable" } else { "" }
}

fn admitted(effect: &Effect) -> String {
    match effect {
        Effect::Admitted(node) => node.to_string(),
        _ => String::new(),
    }
}

/// Enough of a secret's hash to tell it from others.
fn short(hash: SecretHash) -> String {
    hex::encode(&hash.0[..8])
}

/// Without control characters and Unicode's own line ends, cut to [`MAX_AUDIT_DETAIL_CHARS`].
fn one_line(text: &str) -> String {
    let ends_line = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    text.chars()
        .map(|c| if ends_line(c) { ' ' } else { c })
        .take(MAX_AUDIT_DETAIL_CHARS)
        .collect()
}
