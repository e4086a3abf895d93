//! Users by what they sign in with.

use std::collections::{BTreeMap, BTreeSet};

use super::groups::Groups;
use crate::{
    ApiToken, Identity, Invitation, InvitationId, SecretHash, Session, TokenId, User, UserId,
    UserRole, normalized_email,
};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PeopleIndex {
    /// Addresses of local accounts, normalized.
    pub(crate) emails: BTreeMap<String, UserId>,
    pub(crate) identities: BTreeMap<Identity, UserId>,
    pub(crate) enabled_admins: BTreeSet<UserId>,
    pub(crate) sessions: Groups<UserId, SecretHash>,
    pub(crate) tokens: Groups<UserId, TokenId>,
    pub(crate) token_hashes: BTreeMap<SecretHash, TokenId>,
    pub(crate) invitations: BTreeMap<SecretHash, InvitationId>,
}

impl PeopleIndex {
    pub(crate) fn user(&mut self, before: Option<&User>, after: Option<&User>) {
        if let Some(user) = before {
            if let Some(email) = local_email(user) {
                self.emails.remove(&email);
            }
            for identity in &user.identities {
                self.identities.remove(identity);
            }
            self.enabled_admins.remove(&user.id);
        }
        if let Some(user) = after {
            if let Some(email) = local_email(user) {
                self.emails.insert(email, user.id);
            }
            for identity in &user.identities {
                self.identities.insert(identity.clone(), user.id);
            }
            if user.role == UserRole::Admin && !user.disabled {
                self.enabled_admins.insert(user.id);
            }
        }
    }

    pub(crate) fn session(&mut self, before: Option<&Session>, after: Option<&Session>) {
        if let Some(session) = before {
            self.sessions.remove(session.user, session.hash);
        }
        if let Some(session) = after {
            self.sessions.add(session.user, session.hash);
        }
    }

    pub(crate) fn token(&mut self, before: Option<&ApiToken>, after: Option<&ApiToken>) {
        if let Some(token) = before {
            self.tokens.remove(token.user, token.id);
            self.token_hashes.remove(&token.hash);
        }
        if let Some(token) = after {
            self.tokens.add(token.user, token.id);
            self.token_hashes.insert(token.hash, token.id);
        }
    }

    pub(crate) fn invitation(&mut self, before: Option<&Invitation>, after: Option<&Invitation>) {
        if let Some(invitation) = before {
            self.invitations.remove(&invitation.hash);
        }
        if let Some(invitation) = after {
            self.invitations.insert(invitation.hash, invitation.id);
        }
    }
}

fn local_email(user: &User) -> Option<String> {
    user.password_hash.as_ref()?;
    user.email.as_deref().map(normalized_email)
}
