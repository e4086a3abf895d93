//! Where the members are, and when to dial them next. Pure: time comes in as a value.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use libp2p::Multiaddr;
use libp2p::PeerId;
use libp2p::multiaddr::Protocol;

/// Addresses that the network taught us of one member, the newest of them.
const MAX_LEARNED_ADDRESSES: usize = 16;
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

pub(super) fn is_tcp(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::Tcp(_)))
}

fn is_quic(address: &Multiaddr) -> bool {
    address.iter().any(|part| matches!(part, Protocol::QuicV1))
}

/// The addresses to try at once, and those to try when none of them answers: TCP carries more
/// bytes than QUIC, so QUIC is only for where TCP does not connect.
pub(super) fn dial_rounds(addresses: Vec<Multiaddr>) -> VecDeque<Vec<Multiaddr>> {
    let tcp: Vec<Multiaddr> = addresses.iter().filter(|a| is_tcp(a)).cloned().collect();
    let quic: Vec<Multiaddr> = addresses.into_iter().filter(is_quic).collect();
    [tcp, quic]
        .into_iter()
        .filter(|round| !round.is_empty())
        .collect()
}

/// How long to wait after so many failures in a row: 100 ms, doubling, at most 5 s.
pub(super) fn retry_after(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (FIRST_RETRY * 2_u32.pow(doublings)).min(LONGEST_RETRY)
}

/// Of two members that start at the same time one dials at once and the other waits a little, so
/// that they rarely end up with two connections.
pub(super) fn first_dial_after(own: PeerId, other: PeerId) -> Duration {
    if own < other {
        Duration::ZERO
    } else {
        Duration::from_millis(200)
    }
}

/// What is known of one member's whereabouts.
pub(super) struct Whereabouts {
    /// As the farm's member table has them.
    listed: Vec<Multiaddr>,
    /// As mDNS, identify and other members have them, newest first.
    learned: VecDeque<Multiaddr>,
    pub(super) failures: u32,
    pub(super) next_dial: Instant,
}

impl Whereabouts {
    pub(super) fn new(listed: Vec<Multiaddr>, next_dial: Instant) -> Self {
        Self {
            listed,
            learned: VecDeque::new(),
            failures: 0,
            next_dial,
        }
    }

    pub(super) fn set_listed(&mut self, listed: Vec<Multiaddr>) {
        self.listed = listed;
    }

    /// True where the address was not known.
    pub(super) fn learn(&mut self, address: Multiaddr) -> bool {
        if self.listed.contains(&address) {
            return false;
        }
        let before = self.learned.len();
        self.learned.retain(|known| *known != address);
        let is_new = self.learned.len() == before;
        self.learned.push_front(address);
        self.learned.truncate(MAX_LEARNED_ADDRESSES);
        is_new
    }

    pub(super) fn addresses(&self) -> Vec<Multiaddr> {
        self.listed.iter().chain(&self.learned).cloned().collect()
    }

    pub(super) fn on_failure(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.next_dial = now + retry_after(self.failures);
    }

    /// A connection that was there is gone: dial again soon.
    pub(super) fn on_loss(&mut self, now: Instant) {
        self.failures = 0;
        self.next_dial = now + FIRST_RETRY;
    }

    pub(super) fn on_success(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn address(text: &str) -> Multiaddr {
        text.parse().unwrap()
    }

    #[test]
    fn tcp_is_dialled_before_quic() {
        let tcp = address("/ip4/127.0.0.1/tcp/1");
        let quic = address("/ip4/127.0.0.1/udp/1/quic-v1");
        let rounds = dial_rounds(vec![quic.clone(), tcp.clone()]);
        assert_eq!(rounds, [vec![tcp], vec![quic]]);
    }

    #[test]
    fn retries_start_fast_and_slow_down_to_five_seconds() {
        assert_eq!(retry_after(1), Duration::from_millis(100));
        assert_eq!(retry_after(2), Duration::from_millis(200));
        assert_eq!(retry_after(1000), Duration::from_secs(5));
    }

    #[test]
    fn learned_addresses_are_bounded_and_the_newest_stay() {
        let mut member = Whereabouts::new(vec![], Instant::now());
        for port in 1..100 {
            assert!(member.learn(address(&format!("/ip4/10.0.0.1/tcp/{port}"))));
        }
        assert!(!member.learn(address("/ip4/10.0.0.1/tcp/99")));
        assert_eq!(member.addresses().len(), MAX_LEARNED_ADDRESSES);
        assert_eq!(member.addresses()[0], address("/ip4/10.0.0.1/tcp/99"));
    }
}
