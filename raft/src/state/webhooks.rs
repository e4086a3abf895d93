//! Webhooks: who is told of what.

use std::collections::BTreeSet;

use super::touched::Happening;
use super::users::check_name;
use super::{Effect, Refusal, State, Touched};
use crate::{DeliveryEvent, Owner, TimestampMs, Webhook, WebhookId};

const MAX_WEBHOOKS_OF_AN_OWNER: usize = 50;
const MAX_URL_CHARS: usize = 2_000;

impl State {
    pub(super) fn webhook_saved(
        &mut self,
        wanted: &Webhook,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        check_name("a webhook", &wanted.name)?;
        if wanted.url.is_empty() || wanted.url.chars().count() > MAX_URL_CHARS {
            return Err(Refusal::Invalid(format!(
                "a webhook needs an address of at most {MAX_URL_CHARS} characters"
            )));
        }
        let known = self.webhooks.get(&wanted.id);
        if known.is_some_and(|known| known.owner != wanted.owner) {
            return Err(Refusal::Conflict(format!(
                "webhook {} belongs to somebody else",
                wanted.id
            )));
        }
        if !self.is_there(wanted.owner) {
            return Err(Refusal::NotFound(
                "the webhook's owner is not on this farm, or disabled".into(),
            ));
        }
        let count = self.index.deliveries.webhooks.count(wanted.owner);
        if known.is_none() && count >= MAX_WEBHOOKS_OF_AN_OWNER {
            return Err(Refusal::Conflict(format!(
                "the owner has {MAX_WEBHOOKS_OF_AN_OWNER} webhooks already; delete one first"
            )));
        }
        let webhook = Webhook {
            created_at: known.map_or(at, |known| known.created_at),
            failures: known.map_or(0, |known| known.failures),
            ..wanted.clone()
        };
        if known == Some(&webhook) {
            return Ok(Effect::Done);
        }
        let (id, is_enabled) = (webhook.id, webhook.enabled);
        self.put_webhook(webhook, touched);
        if !is_enabled {
            self.give_up_open_deliveries(id, "the webhook was switched off", at, touched);
        }
        Ok(Effect::Done)
    }

    pub(super) fn webhook_deleted(
        &mut self,
        webhook: WebhookId,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        self.drop_webhook(webhook, touched);
        Ok(Effect::Done)
    }

    /// The webhook and its deliveries go.
    pub(super) fn drop_webhook(&mut self, webhook: WebhookId, touched: &mut Touched) {
        let deliveries: Vec<_> = self.deliveries_of(webhook).iter().map(|d| d.id).collect();
        for delivery in deliveries {
            self.remove_delivery(delivery, touched);
        }
        self.remove_webhook(webhook, touched);
    }

    pub(super) fn webhook_tested(
        &mut self,
        id: WebhookId,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let Some(webhook) = self.webhooks.get(&id) else {
            return Err(Refusal::NotFound(format!("there is no webhook {id}")));
        };
        if !webhook.enabled {
            return Err(Refusal::Conflict(format!(
                "webhook {id} is switched off; switch it on to test it"
            )));
        }
        // Proposed again after a lost answer: this very test is there already.
        let same = self
            .deliveries_of(id)
            .into_iter()
            .find(|known| known.event == DeliveryEvent::Test && known.at == at);
        let delivery = match same {
            Some(known) => known.id,
            None => self.enqueue(id, DeliveryEvent::Test, (None, None), at, touched),
        };
        Ok(Effect::Enqueued(delivery))
    }

    /// Enqueues what happened for every webhook that wants to know and whose owner may.
    pub(super) fn tell_webhooks(
        &mut self,
        happening: Happening,
        at: TimestampMs,
        touched: &mut Touched,
    ) {
        let Happening { event, job, node } = happening;
        for webhook in self.webhooks_for(happening) {
            let about = (job, node);
            self.enqueue(webhook, DeliveryEvent::Event(event), about, at, touched);
        }
    }

    fn webhooks_for(&self, happening: Happening) -> BTreeSet<WebhookId> {
        let index = &self.index.deliveries;
        let owner: Option<Owner> = happening
            .job
            .and_then(|job| self.jobs.get(&job))
            .map(|job| job.owner);
        let of_owner = owner.into_iter().flat_map(|owner| index.webhooks.of(owner));
        let of_all = index.webhooks_of_all.iter().copied();
        let wants_it =
            |webhook: &Webhook| webhook.enabled && webhook.events.contains(&happening.event);
        let may_know = |webhook: &Webhook| match Some(webhook.owner) == owner {
            true => self.is_there(webhook.owner),
            false => self.sees_all(webhook.owner),
        };
        of_owner
            .chain(of_all)
            .filter(|id| {
                let webhook = self.webhooks.get(id);
                webhook.is_some_and(|webhook| wants_it(webhook) && may_know(webhook))
            })
            .collect()
    }
}
