//! The small things of the state, of which there are few and which nobody queries by SQL, in the
//! one form in which the projection keeps them: a kind, a key, and a body in JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::State;
use crate::{DeliveryId, InvitationId, RegistrationTokenId, SecretHash, TimestampMs, WebhookId};

/// Names one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RecordKey {
    Settings,
    RegistrationToken(RegistrationTokenId),
    Invitation(InvitationId),
    SignIn(SecretHash),
    DeviceSignIn(SecretHash),
    Blocked(SecretHash),
    EndedSecret(SecretHash),
    Webhook(WebhookId),
    Delivery(DeliveryId),
}

impl RecordKey {
    pub(crate) fn kind(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::RegistrationToken(_) => "registration_token",
            Self::Invitation(_) => "invitation",
            Self::SignIn(_) => "sign_in",
            Self::DeviceSignIn(_) => "device_sign_in",
            Self::Blocked(_) => "blocked",
            Self::EndedSecret(_) => "ended_secret",
            Self::Webhook(_) => "webhook",
            Self::Delivery(_) => "delivery",
        }
    }

    /// The record's key among those of its kind.
    pub(crate) fn id(self) -> String {
        match self {
            Self::Settings => String::new(),
            Self::RegistrationToken(id) => id.to_string(),
            Self::Invitation(id) => id.to_string(),
            Self::SignIn(hash)
            | Self::DeviceSignIn(hash)
            | Self::Blocked(hash)
            | Self::EndedSecret(hash) => hash.to_string(),
            Self::Webhook(id) => id.to_string(),
            Self::Delivery(id) => id.to_string(),
        }
    }
}

impl State {
    /// The record's body, or `None` where it is no more.
    pub(crate) fn record(&self, key: RecordKey) -> Option<String> {
        match key {
            RecordKey::Settings => Some(body(&self.settings)),
            RecordKey::RegistrationToken(id) => self.registration_tokens.get(&id).map(body),
            RecordKey::Invitation(id) => self.invitations.get(&id).map(body),
            RecordKey::SignIn(hash) => self.sign_ins.get(&hash).map(body),
            RecordKey::DeviceSignIn(hash) => self.device_sign_ins.get(&hash).map(body),
            RecordKey::Blocked(hash) => self.blocked.get(&hash).map(|until| body(&(hash, until))),
            RecordKey::EndedSecret(hash) => {
                let ended_at = self.ended_secrets.get(&hash);
                ended_at.map(|ended_at| body(&(hash, ended_at)))
            }
            RecordKey::Webhook(id) => self.webhooks.get(&id).map(body),
            RecordKey::Delivery(id) => self.deliveries.get(&id).map(body),
        }
    }

    /// The keys of all records.
    pub(crate) fn record_keys(&self) -> Vec<RecordKey> {
        let mut keys = vec![RecordKey::Settings];
        let tokens = self.registration_tokens.keys();
        keys.extend(tokens.copied().map(RecordKey::RegistrationToken));
        keys.extend(self.invitations.keys().copied().map(RecordKey::Invitation));
        keys.extend(self.sign_ins.keys().copied().map(RecordKey::SignIn));
        let devices = self.device_sign_ins.keys();
        keys.extend(devices.copied().map(RecordKey::DeviceSignIn));
        keys.extend(self.blocked.keys().copied().map(RecordKey::Blocked));
        let ended = self.ended_secrets.keys();
        keys.extend(ended.copied().map(RecordKey::EndedSecret));
        keys.extend(self.webhooks.keys().copied().map(RecordKey::Webhook));
        keys.extend(self.deliveries.keys().copied().map(RecordKey::Delivery));
        keys
    }

    /// Puts a record back as it was. The index must be built anew afterwards.
    pub(crate) fn load_record(&mut self, kind: &str, text: &str) -> Result<(), String> {
        match kind {
            "settings" => self.settings = of_body(text)?,
            "registration_token" => {
                let token: crate::RegistrationToken = of_body(text)?;
                self.registration_tokens.insert(token.id, token);
            }
            "invitation" => {
                let invitation: crate::Invitation = of_body(text)?;
                self.invitations.insert(invitation.id, invitation);
            }
            "sign_in" => {
                let sign_in: crate::PendingSignIn = of_body(text)?;
                self.sign_ins.insert(sign_in.state, sign_in);
            }
            "device_sign_in" => {
                let sign_in: crate::DeviceSignIn = of_body(text)?;
                self.device_sign_ins.insert(sign_in.device, sign_in);
            }
            "blocked" => {
                let (key, until): (SecretHash, TimestampMs) = of_body(text)?;
                self.blocked.insert(key, until);
            }
            "ended_secret" => {
                let (hash, ended_at): (SecretHash, TimestampMs) = of_body(text)?;
                self.ended_secrets.insert(hash, ended_at);
            }
            "webhook" => {
                let webhook: crate::Webhook = of_body(text)?;
                self.webhooks.insert(webhook.id, webhook);
            }
            "delivery" => {
                let delivery: crate::Delivery = of_body(text)?;
                self.deliveries.insert(delivery.id, delivery);
            }
            other => return Err(format!("a record is of the unknown kind '{other}'")),
        }
        Ok(())
    }
}

fn body<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("plain values are always JSON")
}

fn of_body<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| format!("a record cannot be read: {error}"))
}
