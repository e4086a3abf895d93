//! Local accounts and the sessions of those who signed in.

use super::{Effect, Refusal, State, Touched};
use crate::{SecretHash, Session, TimestampMs, User};

impl State {
    pub(super) fn user_created(
        &mut self,
        user: User,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        if self.users.contains_key(&user.id) {
            return Ok(Effect::Done);
        }
        if user.email.trim().is_empty() {
            return Err(Refusal::Invalid(
                "an account needs an e-mail address".into(),
            ));
        }
        let is_taken = self
            .users
            .values()
            .any(|known| known.email.eq_ignore_ascii_case(&user.email));
        if is_taken {
            return Err(Refusal::Conflict(format!(
                "{} has a local account already",
                user.email
            )));
        }
        touched.user(user.id);
        self.users.insert(user.id, user);
        Ok(Effect::Done)
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
