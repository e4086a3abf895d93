//! The leader's task that sends what is due.

use std::collections::BTreeMap;
use std::time::Duration;

use jiggablend_raft::{
    Action, Actor, Applied, Change, Command, DeliveryEvent, DeliveryId, JobLog, TimestampMs,
    WebhookId,
};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;
use tracing::{debug, warn};

use super::message::{Message, message};
use super::post::{Post, PostError};

/// Deliveries that are under way at most, of all webhooks and of one.
const MAX_AT_ONCE: usize = 16;
const MAX_AT_ONCE_OF_ONE: usize = 2;

/// How long after each attempt the next one comes; then the delivery is given up.
pub(super) const RETRY_AFTER: [Duration; 7] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 60 * 60),
    Duration::from_secs(6 * 60 * 60),
    Duration::from_secs(12 * 60 * 60),
];

/// Sends while this node leads.
pub(in crate::leader) struct Deliveries {
    log: JobLog,
    post: Post,
    under_way: BTreeMap<DeliveryId, WebhookId>,
    ended: JoinSet<DeliveryId>,
}

/// One attempt, with all that it needs.
struct Attempt {
    delivery: DeliveryId,
    webhook: WebhookId,
    number: u32,
    url: String,
    secret: String,
    message: Message,
    may_be_private: bool,
    /// Whoever calls for a test looks at the answer, and calls again.
    is_test: bool,
}

impl Deliveries {
    /// `to_this_machine`: it may reach what runs on the nodes themselves, for tests.
    pub(in crate::leader) fn new(log: JobLog, to_this_machine: bool) -> reqwest::Result<Self> {
        Ok(Self {
            log,
            post: Post::new(to_this_machine)?,
            under_way: BTreeMap::new(),
            ended: JoinSet::new(),
        })
    }

    /// Runs until it is dropped, or the log is gone. What is under way then is sent again by the
    /// next leader, under the same id.
    pub(in crate::leader) async fn run(mut self) {
        let mut applied = self.log.subscribe();
        loop {
            self.start_due();
            let next = self.next_due();
            tokio::select! {
                Some(ended) = self.ended.join_next() => {
                    // A task that broke off is no longer known by its id: all are looked at anew.
                    match ended {
                        Ok(delivery) => drop(self.under_way.remove(&delivery)),
                        Err(error) => {
                            warn!("a webhook's delivery broke off: {error}");
                            self.ended.abort_all();
                            self.under_way.clear();
                        }
                    }
                }
                news = wait_for_news(&mut applied) => if news.is_none() { return },
                () = until(next) => {}
            }
        }
    }

    fn start_due(&mut self) {
        let now = TimestampMs::now();
        for attempt in self.due(now) {
            self.under_way.insert(attempt.delivery, attempt.webhook);
            let (log, post) = (self.log.clone(), self.post.clone());
            self.ended.spawn(async move {
                let delivery = attempt.delivery;
                attempt_and_tell(&log, &post, attempt).await;
                delivery
            });
        }
    }

    fn due(&self, now: TimestampMs) -> Vec<Attempt> {
        let mut at_once: BTreeMap<WebhookId, usize> = BTreeMap::new();
        for webhook in self.under_way.values() {
            *at_once.entry(*webhook).or_default() += 1;
        }
        let mut room = MAX_AT_ONCE.saturating_sub(self.under_way.len());
        self.log.read(|state| {
            let mut attempts = Vec::new();
            for delivery in state.due_deliveries(now) {
                if room == 0 {
                    break;
                }
                let of_webhook = at_once.entry(delivery.webhook).or_default();
                let is_under_way = self.under_way.contains_key(&delivery.id);
                if is_under_way || *of_webhook >= MAX_AT_ONCE_OF_ONE {
                    continue;
                }
                let Some(webhook) = state.webhooks.get(&delivery.webhook) else {
                    continue;
                };
                *of_webhook += 1;
                room -= 1;
                attempts.push(Attempt {
                    delivery: delivery.id,
                    webhook: webhook.id,
                    number: delivery.attempts + 1,
                    url: webhook.url.clone(),
                    secret: webhook.secret.clone(),
                    message: message(state, webhook, delivery),
                    may_be_private: state.settings.webhooks_to_private_addresses,
                    is_test: delivery.event == DeliveryEvent::Test,
                });
            }
            attempts
        })
    }

    /// When something that is not under way is due next. What is due and waits for its turn is
    /// looked at when another one ends.
    fn next_due(&self) -> Option<TimestampMs> {
        let now = TimestampMs::now();
        self.log.read(|state| {
            let mut open = state.due_deliveries(TimestampMs(u64::MAX));
            open.find(|delivery| delivery.next_at > now)
                .map(|delivery| delivery.next_at)
        })
    }
}

async fn attempt_and_tell(log: &JobLog, post: &Post, attempt: Attempt) {
    let sent = post.send(
        &attempt.url,
        &attempt.secret,
        &attempt.message,
        attempt.may_be_private,
    );
    let (delivery, number) = (attempt.delivery, attempt.number);
    let told = match sent.await {
        Ok(status) => Action::DeliveryDone {
            delivery,
            attempt: number,
            status,
        },
        Err(error) => {
            debug!(webhook = %attempt.webhook, %delivery, attempt = number, "cannot deliver: {error}");
            let retry_after = match attempt.is_test {
                true => None,
                false => retry_after(&error, number),
            };
            Action::DeliveryFailed {
                delivery,
                attempt: number,
                error: error.to_string(),
                status: error.status(),
                retry_at: retry_after.map(|after| TimestampMs::now().plus(after)),
            }
        }
    };
    // Another leader tells it, where this one no longer can.
    if let Err(error) = log.propose(Command::new(Actor::Farm, told)).await {
        debug!(%delivery, "what came of a delivery is not in the log: {error}");
    }
}

/// `None`: it is given up.
fn retry_after(error: &PostError, attempt: u32) -> Option<Duration> {
    match error {
        // Asking again changes nothing; whoever changes the address makes new deliveries.
        PostError::Gone | PostError::NotAnAddress(_) => None,
        PostError::Private(_)
        | PostError::NoPublicAddress(_)
        | PostError::Refused(_)
        | PostError::Unreachable(_) => RETRY_AFTER.get(attempt.checked_sub(1)? as usize).copied(),
    }
}

async fn until(at: Option<TimestampMs>) {
    match at {
        Some(at) => {
            let left = at.0.saturating_sub(TimestampMs::now().0);
            tokio::time::sleep(Duration::from_millis(left)).await;
        }
        None => std::future::pending().await,
    }
}

/// Waits for a change that is about deliveries; `None` when there will be none.
async fn wait_for_news(
    applied: &mut tokio::sync::broadcast::Receiver<std::sync::Arc<Applied>>,
) -> Option<()> {
    loop {
        match applied.recv().await {
            Ok(applied) => {
                let mut changes = applied.changes.iter();
                if changes.any(|change| matches!(change, Change::Delivery(_))) {
                    return Some(());
                }
            }
            Err(RecvError::Lagged(_)) => return Some(()),
            Err(RecvError::Closed) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_come_later_and_later_and_end() {
        let error = PostError::Unreachable("refused".into());
        let waits: Vec<_> = (1..=9)
            .map(|attempt| retry_after(&error, attempt))
            .collect();
        assert!(waits[..7].is_sorted() && waits[..7].iter().all(Option::is_some));
        assert_eq!(waits[7..], [None, None]);
        assert_eq!(retry_after(&PostError::Gone, 1), None);
    }
}
