//! Invitations to make an account.

use super::{Effect, Refusal, State, Touched};
use crate::{Invitation, InvitationId, SecretHash, TimestampMs, UserId, normalized_email};

impl State {
    pub(super) fn invitation_created(
        &mut self,
        invitation: Invitation,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        if let Some(known) = self.invitations.get(&invitation.id) {
            return match known.hash == invitation.hash {
                true => Ok(Effect::Done),
                false => Err(Refusal::Conflict(format!(
                    "invitation {} is there already",
                    invitation.id
                ))),
            };
        }
        self.check_secret_not_ended("this invitation", invitation.hash)?;
        if self.invitation_by_hash(invitation.hash).is_some() {
            return Err(Refusal::Conflict(
                "another invitation has this secret; make one with a new secret".into(),
            ));
        }
        self.put_invitation(invitation, touched);
        Ok(Effect::Done)
    }

    pub(super) fn invitation_revoked(
        &mut self,
        invitation: InvitationId,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        self.remove_invitation(invitation, at, touched);
        Ok(Effect::Done)
    }

    /// The invitation with that secret, if it lets somebody with that address in at `at`.
    pub(super) fn usable_invitation(
        &self,
        hash: SecretHash,
        email: Option<&str>,
        at: TimestampMs,
    ) -> Result<&Invitation, Refusal> {
        let refuse = |why: &str| {
            Refusal::NotAllowed(format!(
                "the invitation {why}; ask one of the farm's admins for a new one"
            ))
        };
        let invitation = self
            .invitation_by_hash(hash)
            .ok_or_else(|| refuse("is not known, or was revoked"))?;
        if at >= invitation.expires_at {
            return Err(refuse("has expired"));
        }
        if !invitation.reusable && !invitation.used_by.is_empty() {
            return Err(refuse("was used already"));
        }
        if let Some(wanted) = &invitation.email
            && email.map(normalized_email) != Some(normalized_email(wanted))
        {
            return Err(refuse("is for another e-mail address"));
        }
        Ok(invitation)
    }

    /// The user came with that invitation; a one-time invitation is spent with this.
    pub(super) fn note_invited(&mut self, hash: SecretHash, user: UserId, touched: &mut Touched) {
        if let Some(invitation) = self.invitation_by_hash(hash) {
            let mut invitation = invitation.clone();
            invitation.used_by.push(user);
            self.put_invitation(invitation, touched);
        }
    }
}
