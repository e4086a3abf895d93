//! How often one may try to sign in: a bucket of tries for each account and each address.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// For one account: ten tries at once, then one in 30 s.
const ACCOUNT: Allowance = Allowance {
    burst: 10.0,
    refill_each: Duration::from_secs(30),
};
/// For one address: thirty tries at once, then one in 2 s.
const ADDRESS: Allowance = Allowance {
    burst: 30.0,
    refill_each: Duration::from_secs(2),
};
/// Of each kind; the fullest ones are forgotten first, since they limit nobody.
const MAX_BUCKETS: usize = 10_000;

#[derive(Clone, Copy)]
struct Allowance {
    burst: f64,
    refill_each: Duration,
}

/// The tries that are left, on this node.
#[derive(Default)]
pub(crate) struct LoginLimits {
    buckets: Mutex<(Buckets<String>, Buckets<IpAddr>)>,
}

impl LoginLimits {
    /// Takes a try from both buckets, or says in how many seconds there is one.
    pub(crate) fn attempt(&self, account: &str, address: IpAddr) -> Result<(), u64> {
        self.attempt_at(account, address, Instant::now())
    }

    fn attempt_at(&self, account: &str, address: IpAddr, now: Instant) -> Result<(), u64> {
        let mut buckets = self.buckets();
        let (accounts, addresses) = &mut *buckets;
        let account_key = account_key(account);
        let wait_account = accounts.wait_seconds(&account_key, ACCOUNT, now);
        let wait_address = addresses.wait_seconds(&address, ADDRESS, now);
        if let Some(wait) = wait_account.max(wait_address) {
            return Err(wait);
        }
        accounts.change(account_key, -1.0, ACCOUNT, now);
        addresses.change(address, -1.0, ADDRESS, now);
        Ok(())
    }

    /// Gives the try back: it was the account's owner.
    pub(crate) fn succeeded(&self, account: &str, address: IpAddr) {
        let now = Instant::now();
        let mut buckets = self.buckets();
        buckets.0.change(account_key(account), 1.0, ACCOUNT, now);
        buckets.1.change(address, 1.0, ADDRESS, now);
    }

    fn buckets(&self) -> std::sync::MutexGuard<'_, (Buckets<String>, Buckets<IpAddr>)> {
        self.buckets
            .lock()
            .expect("nothing panics while it holds the buckets")
    }
}

/// No more of a stranger's text is kept than an address can have.
fn account_key(account: &str) -> String {
    account.chars().take(254).collect()
}

struct Bucket {
    tries: f64,
    at: Instant,
}

struct Buckets<Key>(HashMap<Key, Bucket>);

impl<Key> Default for Buckets<Key> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<Key: Clone + Eq + Hash> Buckets<Key> {
    fn tries(&self, key: &Key, allowance: Allowance, now: Instant) -> f64 {
        let Some(bucket) = self.0.get(key) else {
            return allowance.burst;
        };
        let passed = now.saturating_duration_since(bucket.at);
        let refilled = passed.as_secs_f64() / allowance.refill_each.as_secs_f64();
        (bucket.tries + refilled).min(allowance.burst)
    }

    fn wait_seconds(&self, key: &Key, allowance: Allowance, now: Instant) -> Option<u64> {
        let missing = 1.0 - self.tries(key, allowance, now);
        (missing > 0.0).then(|| (missing * allowance.refill_each.as_secs_f64()).ceil() as u64)
    }

    fn change(&mut self, key: Key, by: f64, allowance: Allowance, now: Instant) {
        let tries = (self.tries(&key, allowance, now) + by).min(allowance.burst);
        if self.0.len() >= MAX_BUCKETS && !self.0.contains_key(&key) {
            self.forget_fullest(allowance, now);
        }
        self.0.insert(key, Bucket { tries, at: now });
    }

    /// Makes room for a tenth of them.
    fn forget_fullest(&mut self, allowance: Allowance, now: Instant) {
        let mut by_tries: Vec<(f64, Key)> = self
            .0
            .keys()
            .map(|key| (self.tries(key, allowance, now), key.clone()))
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

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(number))
    }

    #[test]
    fn an_account_is_closed_to_guesses_from_many_addresses_and_opens_again() {
        let limits = LoginLimits::default();
        let start = Instant::now();
        for number in 0..10 {
            limits.attempt_at("ada", address(number), start).unwrap();
        }
        assert_eq!(limits.attempt_at("ada", address(11), start), Err(30));
        limits.attempt_at("bob", address(11), start).unwrap();
        let later = start + Duration::from_secs(31);
        limits.attempt_at("ada", address(11), later).unwrap();
        assert!(limits.attempt_at("ada", address(11), later).is_err());
    }

    #[test]
    fn an_address_cannot_go_through_many_accounts() {
        let limits = LoginLimits::default();
        let start = Instant::now();
        for number in 0..30 {
            limits
                .attempt_at(&format!("user{number}"), HERE, start)
                .unwrap();
        }
        assert_eq!(limits.attempt_at("another", HERE, start), Err(2));
    }

    #[test]
    fn a_right_password_costs_no_try() {
        let limits = LoginLimits::default();
        for _ in 0..100 {
            limits.attempt("ada", HERE).unwrap();
            limits.succeeded("ada", HERE);
        }
    }

    #[test]
    fn the_memory_of_tries_is_bounded_and_keeps_the_empty_buckets() {
        let limits = LoginLimits::default();
        let start = Instant::now();
        for _ in 0..10 {
            limits.attempt_at("ada", address(1), start).unwrap();
        }
        for number in 0..30_000 {
            let account = format!("user{number}");
            limits
                .attempt_at(&account, address(number + 2), start)
                .unwrap();
        }
        assert!(limits.buckets().0.0.len() <= MAX_BUCKETS);
        assert!(limits.buckets().1.0.len() <= MAX_BUCKETS);
        assert!(limits.attempt_at("ada", address(99), start).is_err());
    }
}
