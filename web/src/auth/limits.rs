//! How often one may try: a bucket of tries for each account and each address at each door.
//!
//! Buckets are this node's own. When one is empty, that goes into the job log, and every node
//! turns the account or the address away until the time is over.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiggablend_raft::{Action, Actor, SecretHash, TimestampMs};

use crate::app::App;
use crate::problem::{Problem, ProblemKind};

/// Of each kind; the fullest ones are forgotten first, since they limit nobody.
const MAX_BUCKETS: usize = 10_000;
/// Every node turns away for at least this long whom one node found trying too often.
const BLOCK: Duration = Duration::from_secs(60);
/// The answer does not wait longer for the log to have it.
const SAY_WITHIN: Duration = Duration::from_secs(2);

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Door {
    /// Guessing one account's password.
    Account,
    /// Guessing passwords from one address.
    Login,
    /// Accounts made from one address.
    Register,
    /// Runners that register from one address.
    Runner,
    /// Sign-ins with a provider, from one address.
    Provider,
    /// Command lines that want to sign in, from one address.
    Device,
    /// Questions of such command lines, from one address.
    DevicePoll,
    /// Guessing the codes that they show, by one user.
    DeviceCode,
    /// Messages that one user has webhooks send to try them.
    WebhookTest,
}

#[derive(Clone, Copy)]
struct Allowance {
    /// Tries at once.
    burst: f64,
    /// Then one in each of these.
    refill_each: Duration,
}

impl Door {
    fn allowance(self) -> Allowance {
        let (burst, refill_seconds) = match self {
            Self::Account | Self::DeviceCode | Self::WebhookTest => (10.0, 30),
            Self::Login | Self::Provider | Self::Runner => (30.0, 2),
            Self::Register => (20.0, 30),
            Self::Device => (20.0, 5),
            Self::DevicePoll => (60.0, 1),
        };
        Allowance {
            burst,
            refill_each: Duration::from_secs(refill_seconds),
        }
    }
}

/// One try of somebody at a door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Try {
    door: Door,
    /// Tells nobody outside of the farm whose try it is.
    key: SecretHash,
}

impl Try {
    /// By an account, as it was typed or as the log knows it.
    pub(crate) fn by_account(app: &App, door: Door, account: &str) -> Result<Self, Problem> {
        Self::new(app, door, account.as_bytes())
    }

    pub(crate) fn from_address(app: &App, door: Door, address: IpAddr) -> Result<Self, Problem> {
        let text = network_of(address).to_string();
        Self::new(app, door, text.as_bytes())
    }

    fn new(app: &App, door: Door, who: &[u8]) -> Result<Self, Problem> {
        let name = format!("{door:?}");
        let key = app.keyed_hash("limit", &[name.as_bytes(), who])?;
        let key = SecretHash(key);
        Ok(Self { door, key })
    }
}

/// Whoever has one IPv6 address has 2^64 of them.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = address.to_bits() >> 64 << 64;
            Ipv6Addr::from_bits(network).into()
        }
    }
}

impl App {
    /// Takes a try from each bucket, or says in how many seconds there is one.
    pub(crate) async fn attempt(&self, tries: &[Try]) -> Result<(), Problem> {
        let now = TimestampMs::now();
        let blocked_until = self.log.read(|state| {
            let until = |tried: &Try| state.blocked_until(tried.key, now);
            tries.iter().filter_map(until).max()
        });
        if let Some(until) = blocked_until {
            return Err(too_many((until.0 - now.0).div_ceil(1000)));
        }
        let Err(refused) = self.limits.take(tries, Instant::now()) else {
            return Ok(());
        };
        let wait = refused.wait.max(BLOCK);
        for key in refused.to_say {
            let until = now.plus(wait);
            let blocked = Action::SignInBlocked { key, until };
            let node = Actor::Node(self.config.node);
            let command = jiggablend_raft::Command::new(node, blocked);
            let saying = tokio::time::timeout(SAY_WITHIN, self.log.propose(command));
            // Where the log cannot take it, this node's own bucket still holds.
            if !matches!(saying.await, Ok(Ok(_))) {
                tracing::warn!("cannot tell the other nodes of too many attempts to sign in");
            }
        }
        Err(too_many(refused.wait.as_secs().max(1)))
    }

    /// Gives the tries back: it was whoever they claimed to be.
    pub(crate) fn succeeded(&self, tries: &[Try]) {
        self.limits.give_back(tries, Instant::now());
    }
}

fn too_many(wait_seconds: u64) -> Problem {
    Problem::new(
        ProblemKind::TooManyAttempts,
        format!("too many attempts; try again in {wait_seconds} s"),
    )
    .retry_after_seconds(wait_seconds)
}

/// The tries that are left, on this node.
#[derive(Default)]
pub(crate) struct Limits {
    buckets: Mutex<HashMap<Door, Buckets>>,
}

#[derive(Debug, PartialEq, Eq)]
struct Refused {
    wait: Duration,
    /// What the log has not been told within the last [`BLOCK`].
    to_say: Vec<SecretHash>,
}

impl Limits {
    /// Takes one from each bucket, or from none where one of them is empty.
    fn take(&self, tries: &[Try], now: Instant) -> Result<(), Refused> {
        let mut doors = self.lock();
        let mut refused: Option<Refused> = None;
        for tried in tries {
            let buckets = doors.entry(tried.door).or_default();
            let allowance = tried.door.allowance();
            let Some(wait) = buckets.wait(&tried.key, allowance, now) else {
                continue;
            };
            let refused = refused.get_or_insert(Refused {
                wait,
                to_say: Vec::new(),
            });
            refused.wait = refused.wait.max(wait);
            if buckets.must_say(&tried.key, now) {
                refused.to_say.push(tried.key);
            }
        }
        if let Some(refused) = refused {
            return Err(refused);
        }
        for tried in tries {
            let buckets = doors.entry(tried.door).or_default();
            buckets.change(tried.key, -1.0, tried.door.allowance(), now);
        }
        Ok(())
    }

    fn give_back(&self, tries: &[Try], now: Instant) {
        let mut doors = self.lock();
        for tried in tries {
            let buckets = doors.entry(tried.door).or_default();
            buckets.change(tried.key, 1.0, tried.door.allowance(), now);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Door, Buckets>> {
        self.buckets
            .lock()
            .expect("nothing panics while it holds the buckets")
    }
}

struct Bucket {
    tries: f64,
    at: Instant,
    said_at: Option<Instant>,
}

#[derive(Default)]
struct Buckets(HashMap<SecretHash, Bucket>);

impl Buckets {
    fn tries(&self, key: &SecretHash, allowance: Allowance, now: Instant) -> f64 {
        let Some(bucket) = self.0.get(key) else {
            return allowance.burst;
        };
        let passed = now.saturating_duration_since(bucket.at);
        let refilled = passed.as_secs_f64() / allowance.refill_each.as_secs_f64();
        (bucket.tries + refilled).min(allowance.burst)
    }

    /// How long until there is a try, where there is none.
    fn wait(&self, key: &SecretHash, allowance: Allowance, now: Instant) -> Option<Duration> {
        let missing = 1.0 - self.tries(key, allowance, now);
        let seconds = (missing * allowance.refill_each.as_secs_f64()).ceil();
        (missing > 0.0).then(|| Duration::from_secs_f64(seconds))
    }

    /// True once in each [`BLOCK`].
    fn must_say(&mut self, key: &SecretHash, now: Instant) -> bool {
        let Some(bucket) = self.0.get_mut(key) else {
            return false;
        };
        let is_known = |said_at| now.saturating_duration_since(said_at) < BLOCK;
        if bucket.said_at.is_some_and(is_known) {
            return false;
        }
        bucket.said_at = Some(now);
        true
    }

    fn change(&mut self, key: SecretHash, by: f64, allowance: Allowance, now: Instant) {
        let tries = (self.tries(&key, allowance, now) + by).min(allowance.burst);
        if self.0.len() >= MAX_BUCKETS && !self.0.contains_key(&key) {
            self.forget_fullest(allowance, now);
        }
        let said_at = self.0.get(&key).and_then(|bucket| bucket.said_at);
        let at = now;
        self.0.insert(key, Bucket { tries, at, said_at });
    }

    /// Makes room for a tenth of them.
    fn forget_fullest(&mut self, allowance: Allowance, now: Instant) {
        let mut by_tries: Vec<(f64, SecretHash)> = self
            .0
            .keys()
            .map(|key| (self.tries(key, allowance, now), *key))
            .collect();
        by_tries.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        for (_, key) in by_tries.into_iter().take(MAX_BUCKETS / 10) {
            self.0.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn account(name: &str) -> Try {
        Try {
            door: Door::Account,
            key: SecretHash::of(name.as_bytes()),
        }
    }

    fn address(number: u32) -> Try {
        Try {
            door: Door::Login,
            key: SecretHash::of(&number.to_le_bytes()),
        }
    }

    fn wait(limits: &Limits, tries: &[Try], now: Instant) -> Option<u64> {
        limits
            .take(tries, now)
            .err()
            .map(|refused| refused.wait.as_secs())
    }

    #[test]
    fn an_account_is_closed_to_guesses_from_many_addresses_and_opens_again() {
        let limits = Limits::default();
        let start = Instant::now();
        for number in 0..10 {
            let tries = [account("ada"), address(number)];
            assert_eq!(wait(&limits, &tries, start), None);
        }
        let tries = [account("ada"), address(11)];
        assert_eq!(wait(&limits, &tries, start), Some(30));
        let other = [account("bob"), address(11)];
        assert_eq!(wait(&limits, &other, start), None);
        let later = start + Duration::from_secs(31);
        assert_eq!(wait(&limits, &tries, later), None);
        assert!(wait(&limits, &tries, later).is_some());
    }

    #[test]
    fn an_address_cannot_go_through_many_accounts() {
        let limits = Limits::default();
        let start = Instant::now();
        for number in 0..30 {
            let tries = [account(&format!("user{number}")), address(1)];
            assert_eq!(wait(&limits, &tries, start), None);
        }
        let another = [account("another"), address(1)];
        assert_eq!(wait(&limits, &another, start), Some(2));
    }

    #[test]
    fn the_log_is_told_once_a_minute_of_what_is_empty() {
        let limits = Limits::default();
        let start = Instant::now();
        for _ in 0..10 {
            limits.take(&[account("ada"), address(1)], start).unwrap();
        }
        let refused = |now| loop {
            if let Err(refused) = limits.take(&[account("ada")], now) {
                return refused;
            }
        };
        assert_eq!(refused(start).to_say, [account("ada").key]);
        assert_eq!(refused(start).to_say, []);
        assert_eq!(refused(start + Duration::from_secs(59)).to_say, []);
        let later = start + Duration::from_secs(60);
        assert_eq!(refused(later).to_say, [account("ada").key]);
    }

    #[test]
    fn a_right_password_costs_no_try() {
        let limits = Limits::default();
        let now = Instant::now();
        let tries = [account("ada"), address(1)];
        for _ in 0..100 {
            limits.take(&tries, now).unwrap();
            limits.give_back(&tries, now);
        }
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let network = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }

    #[test]
    fn the_memory_of_tries_is_bounded_and_keeps_the_empty_buckets() {
        let limits = Limits::default();
        let start = Instant::now();
        for _ in 0..10 {
            limits.take(&[account("ada"), address(1)], start).unwrap();
        }
        for number in 0..30_000 {
            let tries = [account(&format!("user{number}")), address(number + 2)];
            limits.take(&tries, start).unwrap();
        }
        let doors = limits.lock();
        assert!(doors.values().all(|buckets| buckets.0.len() <= MAX_BUCKETS));
        drop(doors);
        assert!(limits.take(&[account("ada"), address(99)], start).is_err());
    }
}
