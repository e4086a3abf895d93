//! Local accounts and the sessions of those who signed in.

use super::{Effect, Refusal, State, Touched};
use crate::{SecretHash, Session, TimestampMs, User, UserId, normalized_email};

impl State {
    pub(super) fn user_created(
        &mut self,
        user: User,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        if self.users.contains_key(&user.id) {
            return Ok(Effect::Done);
        }
        if user.password_hash.is_some() {
            self.check_local_email(user.id, user.email.as_deref())?;
        }
        touched.user(user.id);
        self.users.insert(user.id, user);
        Ok(Effect::Done)
    }

    /// Why the user cannot have a local account under that address, if they cannot.
    fn check_local_email(&self, user: UserId, email: Option<&str>) -> Result<(), Refusal> {
        let email = email.map(str::trim).unwrap_or_default();
        if email.is_empty() {
            return Err(Refusal::Invalid(
                "a local account needs an e-mail address".into(),
            ));
        }
        match self.user_by_email(email) {
            Some(known) if known.id != user => Err(Refusal::Conflict(format!(
                "{email} has a local account already"
            ))),
            _ => Ok(()),
        }
    }

    /// The local account with that address, whatever its case.
    pub fn user_by_email(&self, email: &str) -> Option<&User> {
        let email = normalized_email(email);
        self.users.values().find(|user| {
            user.password_hash.is_some()
                && user.email.as_deref().map(normalized_email) == Some(email.clone())
        })
    }

    pub(super) fn session_created(
        &mut self,
        session: Session,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        if !self.users.contains_key(&session.user) {
            return Err(Refusal::NotFound(format!(
                "there is no user {}",
                session.user
            )));
        }
        self.sessions.entry(session.hash).or_insert_with(|| {
            touched.session(session.hash);
            session
        });
        Ok(Effect::Done)
    }

    pub(super) fn session_ended(
        &mut self,
        session: &SecretHash,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        if self.sessions.remove(session).is_some() {
            touched.session(*session);
        }
        Ok(Effect::Done)
    }

    /// Drops the sessions and tickets whose time is over at `at`.
    pub(super) fn expired_removed(
        &mut self,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        self.sessions.retain(|hash, session| {
            let stays = session.expires_at > at;
            if !stays {
                touched.session(*hash);
            }
            stays
        });
        self.tickets.retain(|hash, ticket| {
            let stays = ticket.expires_at > at;
            if !stays {
                touched.ticket(*hash);
            }
            stays
        });
        Ok(Effect::Done)
    }
}
