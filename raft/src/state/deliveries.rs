//! What is on its way to webhooks, and what came of it. In the state, so that retries survive a
//! change of leader.

use super::{Effect, Refusal, State, Touched};
use crate::{
    Delivery, DeliveryEvent, DeliveryId, DeliveryOutcome, JobId, NodeId, TimestampMs, WebhookId,
};

/// Open deliveries of a webhook; beyond, the oldest is given up.
const MAX_OPEN: usize = 1_000;
/// Ended deliveries of a webhook that are kept to look at.
const MAX_ENDED: usize = 50;
const MAX_ERROR_CHARS: usize = 300;

/// Why an attempt was none of success.
pub(super) struct AttemptFailure<'a> {
    pub(super) error: &'a str,
    pub(super) status: Option<u16>,
    /// `None`: it is given up.
    pub(super) retry_at: Option<TimestampMs>,
}

impl State {
    /// A new delivery, due at once.
    pub(super) fn enqueue(
        &mut self,
        webhook: WebhookId,
        event: DeliveryEvent,
        (job, node): (Option<JobId>, Option<NodeId>),
        at: TimestampMs,
        touched: &mut Touched,
    ) -> DeliveryId {
        let oldest = self.index.deliveries.open.of(webhook).next();
        if self.index.deliveries.open.count(webhook) >= MAX_OPEN
            && let Some(oldest) = oldest
        {
            let reason = format!("more than {MAX_OPEN} deliveries waited for this webhook");
            self.end_delivery(oldest, given_up(at, &reason), touched);
        }
        let id = DeliveryId(self.last_delivery.0 + 1);
        self.last_delivery = id;
        let delivery = Delivery {
            id,
            webhook,
            event,
            job,
            node,
            at,
            attempts: 0,
            next_at: at,
            outcome: None,
            last_error: None,
            last_status: None,
        };
        self.put_delivery(delivery, touched);
        id
    }

    pub(super) fn give_up_open_deliveries(
        &mut self,
        webhook: WebhookId,
        reason: &str,
        at: TimestampMs,
        touched: &mut Touched,
    ) {
        let open: Vec<_> = self.index.deliveries.open.of(webhook).collect();
        for delivery in open {
            self.end_delivery(delivery, given_up(at, reason), touched);
        }
    }

    /// Ends it, and drops the webhook's oldest ended one where there are too many.
    fn end_delivery(&mut self, id: DeliveryId, outcome: DeliveryOutcome, touched: &mut Touched) {
        let Some(known) = self.deliveries.get(&id) else {
            return;
        };
        let ended = Delivery {
            outcome: Some(outcome),
            ..known.clone()
        };
        let webhook = ended.webhook;
        self.put_delivery(ended, touched);
        let oldest = self.index.deliveries.ended.of(webhook).next();
        if self.index.deliveries.ended.count(webhook) > MAX_ENDED
            && let Some(oldest) = oldest
        {
            self.remove_delivery(oldest, touched);
        }
    }

    pub(super) fn delivery_done(
        &mut self,
        id: DeliveryId,
        attempt: u32,
        status: u16,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let Some(mut delivery) = self.attempted(id, attempt)? else {
            return Ok(Effect::Done);
        };
        delivery.attempts = attempt;
        let webhook = delivery.webhook;
        self.put_delivery(delivery, touched);
        self.end_delivery(id, DeliveryOutcome::Delivered { at, status }, touched);
        self.set_failures(webhook, |_| 0, touched);
        Ok(Effect::Done)
    }

    pub(super) fn delivery_failed(
        &mut self,
        id: DeliveryId,
        attempt: u32,
        failure: &AttemptFailure<'_>,
        at: TimestampMs,
        touched: &mut Touched,
    ) -> Result<Effect, Refusal> {
        let AttemptFailure {
            error,
            status,
            retry_at,
        } = *failure;
        let Some(mut delivery) = self.attempted(id, attempt)? else {
            return Ok(Effect::Done);
        };
        delivery.attempts = attempt;
        delivery.last_error = Some(error.chars().take(MAX_ERROR_CHARS).collect());
        delivery.last_status = status;
        delivery.next_at = retry_at.unwrap_or(delivery.next_at);
        let webhook = delivery.webhook;
        self.put_delivery(delivery, touched);
        if retry_at.is_none() {
            self.end_delivery(id, given_up(at, error), touched);
        }
        self.set_failures(webhook, |failures| failures.saturating_add(1), touched);
        Ok(Effect::Done)
    }

    /// A copy of the delivery where `attempt` is its next one; `None` where that attempt was told
    /// of already, or nothing more is to be done.
    fn attempted(&self, id: DeliveryId, attempt: u32) -> Result<Option<Delivery>, Refusal> {
        let Some(delivery) = self.deliveries.get(&id) else {
            return Err(Refusal::NotFound(format!("there is no delivery {id}")));
        };
        let is_next = delivery.outcome.is_none() && attempt == delivery.attempts + 1;
        Ok(is_next.then(|| delivery.clone()))
    }

    fn set_failures(
        &mut self,
        id: WebhookId,
        failures: impl Fn(u32) -> u32,
        touched: &mut Touched,
    ) {
        let Some(known) = self.webhooks.get(&id) else {
            return;
        };
        let now = failures(known.failures);
        if now != known.failures {
            let mut webhook = known.clone();
            webhook.failures = now;
            self.put_webhook(webhook, touched);
        }
    }
}

fn given_up(at: TimestampMs, error: &str) -> DeliveryOutcome {
    let error = error.chars().take(MAX_ERROR_CHARS).collect();
    DeliveryOutcome::GivenUp { at, error }
}
