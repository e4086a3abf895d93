//! Sessions of browsers and tokens of programs, and what goes when its time is over.

use super::users::check_name;
use super::{Effect, Refusal, State, Touched};
use crate::{ApiToken, SecretHash, Session, TimestampMs, TokenId, UserId};

/// A user who signs in once more loses the session that would expire first.
const MAX_SESSIONS_OF_A_USER: usize = 100;
const MAX_TOKENS_OF_A_USER: usize = 100;
/// How long a create may be repeated and still not bring back what was revoked: a year.
const ENDED_SECRETS_KEPT_MS: u64 = 365 * 24 * 60 * 60 * 1000;

impl State {
    pub(super) fn session_created(
        &mut self,
        session: Session,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        self.check_enabled(session.user)?;
        if self.sessions.contains_key(&session.hash) {
            return Ok(Effect::Done);
        }
        if self.index.people.sessions.count(session.user) >= MAX_SESSIONS_OF_A_USER {
            let first = self
                .sessions_of(session.user)
                .min_by_key(|session| (session.expires_at, session.hash));
            if let Some(hash) = first.map(|session| session.hash) {
                self.remove_session(hash, touched);
            }
        }
        self.put_session(session, touched);
        Ok(Effect::Done)
    }

    pub(super) fn check_enabled(&self, user: UserId) -> Result<(), Refusal> {
        match self.user(user)?.disabled {
            false => Ok(()),
            true => Err(Refusal::NotAllowed(
                "the account is disabled; ask one of the farm's admins".into(),
            )),
        }
    }

    pub(super) fn session_ended(
        &mut self,
        session: SecretHash,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        self.remove_session(session, touched);
        Ok(Effect::Done)
    }

    pub(super) fn sessions_ended(
        &mut self,
        user: UserId,
        except: Option<SecretHash>,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        self.user(user)?;
        self.end_sessions(user, except, touched);
        Ok(Effect::Done)
    }

    pub(super) fn end_sessions(
        &mut self,
        user: UserId,
        except: Option<SecretHash>,
        touched: &mut Touched,
    ) {
        let sessions: Vec<_> = self.index.people.sessions.of(user).collect();
        for session in sessions {
            if Some(session) != except {
                self.remove_session(session, touched);
            }
        }
    }

    pub(super) fn token_created(
        &mut self,
        token: ApiToken,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        if let Some(known) = self.tokens.get(&token.id) {
            return match known.hash == token.hash {
                true => Ok(Effect::Done),
                false => Err(Refusal::Conflict(format!(
                    "token {} is there already",
                    token.id
                ))),
            };
        }
        self.check_secret_not_ended("this token", token.hash)?;
        check_name("a token", &token.name)?;
        self.check_enabled(token.user)?;
        if self.index.people.token_hashes.contains_key(&token.hash) {
            return Err(Refusal::Conflict(
                "another token has this secret; make one with a new secret".into(),
            ));
        }
        if self.index.people.tokens.count(token.user) >= MAX_TOKENS_OF_A_USER {
            return Err(Refusal::Conflict(format!(
                "the user has {MAX_TOKENS_OF_A_USER} tokens already; revoke one first"
            )));
        }
        self.put_token(token, touched);
        Ok(Effect::Done)
    }

    pub(super) fn token_revoked(
        &mut self,
        token: TokenId,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        self.remove_token(token, at, touched);
        Ok(Effect::Done)
    }

    pub(super) fn end_tokens(&mut self, user: UserId, at: TimestampMs, touched: &mut Touched) {
        let tokens: Vec<_> = self.index.people.tokens.of(user).collect();
        for token in tokens {
            self.remove_token(token, at, touched);
        }
    }

    /// Drops what has a time that is over at `at`.
    pub(super) fn expired_removed(
        &mut self,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let is_over = |end: TimestampMs| end <= at;
        let sessions = expired(
            self.sessions.values(),
            |s| is_over(s.expires_at),
            |s| s.hash,
        );
        for session in sessions {
            self.remove_session(session, touched);
        }
        let has_end_over = |end: Option<TimestampMs>| end.is_some_and(is_over);
        let tokens = expired(
            self.tokens.values(),
            |t| has_end_over(t.expires_at),
            |t| t.id,
        );
        for token in tokens {
            self.remove_token(token, at, touched);
        }
        let invitations = self.invitations.values();
        for invitation in expired(invitations, |i| is_over(i.expires_at), |i| i.id) {
            self.remove_invitation(invitation, at, touched);
        }
        let registration_tokens = self.registration_tokens.values();
        let over = expired(
            registration_tokens,
            |t| has_end_over(t.expires_at),
            |t| t.id,
        );
        for token in over {
            self.remove_registration_token(token, at, touched);
        }
        for ticket in expired(self.tickets.values(), |t| is_over(t.expires_at), |t| t.hash) {
            self.tickets.remove(&ticket);
            touched.ticket(ticket);
            self.end_secret(Some(ticket), at, touched);
        }
        let long_ago = TimestampMs(at.0.saturating_sub(ENDED_SECRETS_KEPT_MS));
        let forgotten: Vec<_> = self
            .ended_secrets
            .iter()
            .filter(|(_, ended_at)| **ended_at < long_ago)
            .map(|(hash, _)| *hash)
            .collect();
        for hash in forgotten {
            self.forget_ended_secret(hash, touched);
        }
        self.drop_expired_sign_ins(at, touched);
        Ok(Effect::Done)
    }
}

/// The keys of those things whose time is over.
fn expired<'a, T: 'a, K>(
    things: impl Iterator<Item = &'a T>,
    is_over: impl Fn(&T) -> bool,
    key: impl Fn(&T) -> K,
) -> Vec<K> {
    things.filter(|thing| is_over(thing)).map(key).collect()
}
