//! Webhooks by whose they are, deliveries by when they are due.

use std::collections::BTreeSet;

use super::groups::Groups;
use crate::{Delivery, DeliveryId, Owner, TimestampMs, Webhook, WebhookId};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct DeliveryIndex {
    pub(crate) webhooks: Groups<Owner, WebhookId>,
    /// Those that are told of every job and of nodes.
    pub(crate) webhooks_of_all: BTreeSet<WebhookId>,
    /// Open deliveries by the time of their next attempt.
    pub(crate) due: BTreeSet<(TimestampMs, DeliveryId)>,
    pub(crate) open: Groups<WebhookId, DeliveryId>,
    pub(crate) ended: Groups<WebhookId, DeliveryId>,
}

impl DeliveryIndex {
    pub(crate) fn webhook(&mut self, before: Option<&Webhook>, after: Option<&Webhook>) {
        if let Some(webhook) = before {
            self.webhooks.remove(webhook.owner, webhook.id);
            self.webhooks_of_all.remove(&webhook.id);
        }
        if let Some(webhook) = after {
            self.webhooks.add(webhook.owner, webhook.id);
            if webhook.all_jobs {
                self.webhooks_of_all.insert(webhook.id);
            }
        }
    }

    pub(crate) fn delivery(&mut self, before: Option<&Delivery>, after: Option<&Delivery>) {
        if let Some(delivery) = before {
            self.due.remove(&(delivery.next_at, delivery.id));
            self.open.remove(delivery.webhook, delivery.id);
            self.ended.remove(delivery.webhook, delivery.id);
        }
        let Some(delivery) = after else { return };
        if delivery.outcome.is_some() {
            self.ended.add(delivery.webhook, delivery.id);
        } else {
            self.due.insert((delivery.next_at, delivery.id));
            self.open.add(delivery.webhook, delivery.id);
        }
    }
}
