//! Accounts: how they come about, change and go.

use super::{Effect, Refusal, State, Touched};
use crate::{
    Actor, Identity, NewCredential, Owner, Registration, SecretHash, TimestampMs, User, UserChange,
    UserId, UserRole,
};

/// Names of people and things are at most this long.
pub(super) const MAX_NAME_CHARS: usize = 200;

/// Why a name cannot be taken, if it cannot.
pub(super) fn check_name(of_what: &str, name: &str) -> Result<(), Refusal> {
    if name.chars().count() > MAX_NAME_CHARS {
        return Err(Refusal::Invalid(format!(
            "the name of {of_what} is longer than {MAX_NAME_CHARS} characters; choose a shorter one"
        )));
    }
    if name.chars().any(char::is_control) {
        return Err(Refusal::Invalid(format!(
            "the name of {of_what} has control characters in it; leave them out"
        )));
    }
    Ok(())
}

/// Somebody who makes an account of their own.
pub(super) struct Registrant<'a> {
    pub(super) user: UserId,
    pub(super) name: &'a str,
    pub(super) email: Option<&'a str>,
    pub(super) credential: &'a NewCredential,
    pub(super) invitation: Option<SecretHash>,
}

impl State {
    pub(super) fn user(&self, id: UserId) -> Result<&User, Refusal> {
        self.users
            .get(&id)
            .ok_or_else(|| Refusal::NotFound(format!("there is no user {id}")))
    }

    pub(super) fn user_created(
        &mut self,
        user: User,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        if self.users.contains_key(&user.id) {
            return Ok(Effect::Done);
        }
        check_name("a user", &user.name)?;
        if user.password_hash.is_none() && user.identities.is_empty() {
            return Err(Refusal::Invalid(
                "a user needs a password or an identity to sign in with".into(),
            ));
        }
        self.check_ways_to_sign_in(&user)?;
        self.put_user(user, touched);
        Ok(Effect::Done)
    }

    pub(super) fn user_registered(
        &mut self,
        new: &Registrant<'_>,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        if self.users.contains_key(&new.user) {
            return Ok(Effect::Done);
        }
        check_name("a user", new.name)?;
        let role = self.role_of_registrant(new, at)?;
        let mut user = User {
            id: new.user,
            name: new.name.to_owned(),
            email: new.email.map(|email| email.trim().to_owned()),
            password_hash: None,
            identities: [].into(),
            role,
            disabled: false,
            quota: None,
            created_at: at,
        };
        match new.credential {
            NewCredential::Password(hash) => user.password_hash = Some(hash.clone()),
            NewCredential::External(identity) => {
                user.identities.insert(identity.clone());
            }
        }
        self.check_ways_to_sign_in(&user)?;
        if let Some(hash) = new.invitation {
            self.note_invited(hash, new.user, touched);
        }
        self.put_user(user, touched);
        Ok(Effect::Done)
    }

    /// The role that the farm's settings, or the invitation shown, give a new account.
    fn role_of_registrant(
        &self,
        new: &Registrant<'_>,
        at: TimestampMs,
    ) -> Result<UserRole, Refusal> {
        let policy = self.settings.registration;
        if policy == Registration::Closed {
            return Err(Refusal::NotAllowed(
                "this farm takes no registrations; ask one of its admins for an account".into(),
            ));
        }
        let invited = match new.invitation {
            Some(hash) => Some(self.usable_invitation(hash, new.email, at)?.role),
            None => None,
        };
        if self.users.is_empty() {
            return Ok(UserRole::Admin);
        }
        match (invited, policy) {
            (Some(role), _) => Ok(role),
            (None, Registration::Open) => Ok(self.settings.default_role),
            (None, _) => Err(Refusal::NotAllowed(
                "an account on this farm needs an invitation; ask one of its admins for one".into(),
            )),
        }
    }

    /// Why the user cannot sign in as their record says, if they cannot: an address or an
    /// identity belongs to one user.
    fn check_ways_to_sign_in(&self, user: &User) -> Result<(), Refusal> {
        if user.password_hash.is_some() {
            let email = user.email.as_deref().map(str::trim).unwrap_or_default();
            if email.is_empty() {
                return Err(Refusal::Invalid(
                    "an account with a password needs an e-mail address".into(),
                ));
            }
            let known = self.user_by_email(email);
            if known.is_some_and(|known| known.id != user.id) {
                return Err(Refusal::Conflict(format!(
                    "{email} has a local account already"
                )));
            }
        }
        for identity in &user.identities {
            self.check_identity(user.id, identity)?;
        }
        Ok(())
    }

    fn check_identity(&self, user: UserId, identity: &Identity) -> Result<(), Refusal> {
        match self.user_by_identity(identity) {
            Some(known) if known.id != user => Err(Refusal::Conflict(format!(
                "this account at {} belongs to another user of the farm",
                identity.provider
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn user_changed(
        &mut self,
        id: UserId,
        change: &UserChange,
        actor: Actor,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let before = self.user(id)?;
        let mut after = before.clone();
        match change {
            UserChange::Name(name) => {
                check_name("a user", name)?;
                after.name.clone_from(name);
            }
            UserChange::Email(email) => {
                after.email = email.as_deref().map(|email| email.trim().to_owned());
            }
            UserChange::Role(role) => after.role = *role,
            UserChange::Disabled(disabled) => after.disabled = *disabled,
            UserChange::Password { password_hash, .. } => {
                after.password_hash = Some(password_hash.clone());
            }
            UserChange::Quota(quota) => after.quota = *quota,
        }
        if after == *before {
            return Ok(Effect::Done);
        }
        if after.role != UserRole::Admin || after.disabled {
            self.check_not_last_admin(id, "be demoted or disabled")?;
        }
        self.check_ways_to_sign_in(&after)?;
        self.put_user(after, touched);
        match change {
            UserChange::Disabled(true) => {
                self.end_sessions(id, None, touched);
                self.drop_approvals_of(id, touched);
            }
            UserChange::Password { keep, .. } => {
                self.end_sessions(id, *keep, touched);
                self.drop_approvals_of(id, touched);
                // Somebody else sets it where the account may be in wrong hands, and those may
                // have made tokens.
                if actor != Actor::User(id) {
                    self.end_tokens(id, at, touched);
                }
            }
            _ => {}
        }
        Ok(Effect::Done)
    }

    fn check_not_last_admin(&self, id: UserId, what: &str) -> Result<(), Refusal> {
        let admins = &self.index.people.enabled_admins;
        if admins.len() == 1 && admins.contains(&id) {
            return Err(Refusal::Conflict(format!(
                "user {id} is the farm's last admin and cannot {what}; make another one first"
            )));
        }
        Ok(())
    }

    pub(super) fn user_deleted(
        &mut self,
        id: UserId,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        if !self.users.contains_key(&id) {
            return Ok(Effect::Done);
        }
        self.check_not_last_admin(id, "be deleted")?;
        self.end_sessions(id, None, touched);
        self.end_tokens(id, at, touched);
        let shared: Vec<_> = self.index.jobs.shared.of(id).collect();
        for (_, job) in shared {
            self.unshare(job, id, touched);
        }
        let webhooks: Vec<_> = self
            .webhooks_of(Owner::User(id))
            .map(|hook| hook.id)
            .collect();
        for webhook in webhooks {
            self.drop_webhook(webhook, touched);
        }
        self.remove_user(id, touched);
        Ok(Effect::Done)
    }

    pub(super) fn identity_linked(
        &mut self,
        id: UserId,
        identity: &Identity,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let user = self.user(id)?;
        self.check_identity(id, identity)?;
        if !user.identities.contains(identity) {
            let mut user = user.clone();
            user.identities.insert(identity.clone());
            self.put_user(user, touched);
        }
        Ok(Effect::Done)
    }

    pub(super) fn identity_unlinked(
        &mut self,
        id: UserId,
        identity: &Identity,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let mut user = self.user(id)?.clone();
        if !user.identities.remove(identity) {
            return Ok(Effect::Done);
        }
        if user.identities.is_empty() && user.password_hash.is_none() {
            return Err(Refusal::Conflict(format!(
                "the account at {} is the last way for user {id} to sign in; set a password or \
                 link another one first",
                identity.provider
            )));
        }
        self.put_user(user, touched);
        Ok(Effect::Done)
    }

    /// Whether the owner sees everything of the farm: an admin or an operator.
    pub(super) fn sees_all(&self, owner: Owner) -> bool {
        match owner {
            Owner::User(user) => self.index.people.enabled_admins.contains(&user),
            Owner::Operator(node) => self.member(node).is_ok(),
        }
    }

    /// Whether the owner is somebody who can still sign in.
    pub(super) fn is_there(&self, owner: Owner) -> bool {
        match owner {
            Owner::User(user) => self.users.get(&user).is_some_and(|user| !user.disabled),
            Owner::Operator(node) => self.member(node).is_ok(),
        }
    }
}
