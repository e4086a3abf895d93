//! How small things come into the state and leave it: with their rows and their place in the
//! index, in one place.

use super::{RecordKey, Refusal, State, Touched};
use crate::{
    ApiToken, Delivery, DeliveryId, DeviceSignIn, Invitation, InvitationId, Node, PendingSignIn,
    RegistrationToken, RegistrationTokenId, SecretHash, Session, TimestampMs, TokenId, User,
    UserId, Webhook, WebhookId,
};

/// `put` inserts or replaces, `remove` removes; both note the row and keep the index.
macro_rules! kept {
    ($put:ident, $remove:ident: $map:ident => $value:ty, $id:ident => $key:ty,
     $($index:ident).+, $touch:expr) => {
        pub(super) fn $put(&mut self, value: $value, touched: &mut Touched) {
            $touch(touched, value.$id);
            let before = self.$map.get(&value.$id);
            self.index.$($index).+(before, Some(&value));
            self.$map.insert(value.$id, value);
        }

        pub(super) fn $remove(&mut self, id: $key, touched: &mut Touched) {
            if let Some(before) = self.$map.remove(&id) {
                $touch(touched, id);
                self.index.$($index).+(Some(&before), None);
            }
        }
    };
}

impl State {
    kept!(put_user, remove_user: users => User, id => UserId, people.user, Touched::user);
    kept!(put_session, remove_session: sessions => Session, hash => SecretHash,
        people.session, Touched::session);
    kept!(put_token, drop_token: tokens => ApiToken, id => TokenId,
        people.token, Touched::token);
    kept!(put_invitation, drop_invitation: invitations => Invitation, id => InvitationId,
        people.invitation, |touched: &mut Touched, id| touched.record(RecordKey::Invitation(id)));
    kept!(put_registration_token, drop_registration_token:
        registration_tokens => RegistrationToken, id => RegistrationTokenId,
        nodes.registration_token,
        |touched: &mut Touched, id| touched.record(RecordKey::RegistrationToken(id)));
    kept!(put_sign_in, remove_sign_in: sign_ins => PendingSignIn, state => SecretHash,
        sign_ins.sign_in, |touched: &mut Touched, id| touched.record(RecordKey::SignIn(id)));
    kept!(put_device, remove_device: device_sign_ins => DeviceSignIn, device => SecretHash,
        sign_ins.device, |touched: &mut Touched, id| touched.record(RecordKey::DeviceSignIn(id)));
    kept!(put_webhook, remove_webhook: webhooks => Webhook, id => WebhookId,
        deliveries.webhook, |touched: &mut Touched, id| touched.record(RecordKey::Webhook(id)));
    kept!(put_delivery, remove_delivery: deliveries => Delivery, id => DeliveryId,
        deliveries.delivery, Touched::delivery);

    pub(super) fn remove_token(&mut self, id: TokenId, at: TimestampMs, touched: &mut Touched) {
        self.end_secret(self.tokens.get(&id).map(|token| token.hash), at, touched);
        self.drop_token(id, touched);
    }

    pub(super) fn remove_invitation(
        &mut self,
        id: InvitationId,
        at: TimestampMs,
        touched: &mut Touched,
    ) {
        let hash = self.invitations.get(&id).map(|invitation| invitation.hash);
        self.end_secret(hash, at, touched);
        self.drop_invitation(id, touched);
    }

    pub(super) fn remove_registration_token(
        &mut self,
        id: RegistrationTokenId,
        at: TimestampMs,
        touched: &mut Touched,
    ) {
        let hash = self.registration_tokens.get(&id).map(|token| token.hash);
        self.end_secret(hash, at, touched);
        self.drop_registration_token(id, touched);
    }

    /// It opens nothing any more, and nothing is made with it again.
    pub(super) fn end_secret(
        &mut self,
        hash: Option<SecretHash>,
        at: TimestampMs,
        touched: &mut Touched,
    ) {
        if let Some(hash) = hash {
            touched.record(RecordKey::EndedSecret(hash));
            self.ended_secrets.insert(hash, at);
        }
    }

    pub(super) fn forget_ended_secret(&mut self, hash: SecretHash, touched: &mut Touched) {
        touched.record(RecordKey::EndedSecret(hash));
        self.ended_secrets.remove(&hash);
    }

    /// A create that is repeated after its secret was revoked, or has expired, makes nothing.
    pub(super) fn check_secret_not_ended(
        &self,
        what: &str,
        hash: SecretHash,
    ) -> Result<(), Refusal> {
        match self.ended_secrets.contains_key(&hash) {
            false => Ok(()),
            true => Err(Refusal::Conflict(format!(
                "{what} was made and has been revoked or has expired; make a new one, with \
                 another idempotency key"
            ))),
        }
    }

    /// Nodes stay, also when they are removed from the farm.
    pub(super) fn put_node(&mut self, node: Node, touched: &mut Touched) {
        touched.node(node.id);
        self.index.nodes.node(self.nodes.get(&node.id), Some(&node));
        self.nodes.insert(node.id, node);
    }

    /// `None` removes.
    pub(super) fn put_blocked(
        &mut self,
        key: SecretHash,
        until: Option<TimestampMs>,
        touched: &mut Touched,
    ) {
        touched.record(RecordKey::Blocked(key));
        let before = match until {
            Some(until) => self.blocked.insert(key, until),
            None => self.blocked.remove(&key),
        };
        self.index.sign_ins.blocked(key, before, until);
    }
}
