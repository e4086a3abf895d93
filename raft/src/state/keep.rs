//! How small things come into the state and leave it: with their rows and their place in the
//! index, in one place.

use super::{RecordKey, State, Touched};
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
    kept!(put_token, remove_token: tokens => ApiToken, id => TokenId,
        people.token, Touched::token);
    kept!(put_invitation, remove_invitation: invitations => Invitation, id => InvitationId,
        people.invitation, |touched: &mut Touched, id| touched.record(RecordKey::Invitation(id)));
    kept!(put_registration_token, remove_registration_token:
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
