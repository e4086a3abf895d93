//! Asking other members for content, and choosing whom to ask next.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use libp2p::PeerId;

use super::Content;
use super::protocol::{Answer, Request, decode, encode};
use crate::{Channel, StoreError};

/// One chunk or one manifest, over the slowest link that is of any use.
const TRANSFER: Duration = Duration::from_secs(60);

/// How much this node has copied to each peer, so that the next file goes to another one.
#[derive(Default)]
pub(super) struct Usage {
    files: Mutex<HashMap<PeerId, u64>>,
}

impl Usage {
    pub(super) fn count(&self, peer: PeerId) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        *files.entry(peer).or_default() += 1;
    }

    /// Those that were given least come first; among equals chance decides.
    pub(super) fn least_used_first(&self, peers: &mut [PeerId]) {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        peers.sort_by_cached_key(|peer| {
            let given = files.get(peer).copied().unwrap_or(0);
            (given, rand::random::<u64>())
        });
    }
}

impl Content {
    /// One exchange; an error says in one line what went wrong.
    pub(super) async fn ask(
        &self,
        peer: PeerId,
        request: &Request,
        body: &[u8],
    ) -> Result<(Answer, Bytes), String> {
        let message = encode(request, body)?;
        let answer = self
            .mesh
            .call(peer, Channel::Content, &message, TRANSFER)
            .await
            .map_err(|error| error.to_string())?;
        decode(&answer)
    }

    /// Whom to ask for a file: its holders first, then the other connected members.
    pub(super) fn sources(&self, holders: &[PeerId]) -> Sources {
        let connected = self.mesh.connected().borrow().clone();
        let members = self.mesh.members();
        let own = self.mesh.peer_id();
        let holders: Vec<PeerId> = holders
            .iter()
            .filter(|peer| **peer != own && members.iter().any(|member| member.peer == **peer))
            .copied()
            .collect();
        Sources::new(&holders, &connected)
    }

    /// Asks one source after the other until `check` is content with an answer.
    pub(super) async fn ask_any<T>(
        &self,
        sources: &Sources,
        request: &Request,
        what: impl Fn() -> String,
        check: impl Fn(Answer, Bytes) -> Result<T, String>,
    ) -> Result<T, StoreError> {
        let mut tried = Vec::new();
        let mut reasons = Vec::new();
        while let Some(peer) = sources.take(&tried) {
            let asked = self.ask(peer, request, &[]).await;
            let is_reachable = asked.is_ok();
            let checked = asked.and_then(|(answer, body)| check(answer, body));
            sources.give_back(peer, is_reachable);
            match checked {
                Ok(value) => return Ok(value),
                Err(reason) => reasons.push(format!("{peer}: {reason}")),
            }
            tried.push(peer);
        }
        if reasons.is_empty() {
            reasons.push("no other member is connected".to_owned());
        }
        Err(StoreError::Unavailable {
            what: what(),
            reason: reasons.join("; "),
        })
    }
}

/// How willingly a source is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Holder,
    Member,
    /// Asking it means dialling it first.
    UnconnectedHolder,
}

struct Source {
    peer: PeerId,
    rank: Rank,
    has_failed: bool,
    in_flight: usize,
}

/// The peers that one file is fetched from, with what each is busy with.
pub(super) struct Sources {
    sources: Mutex<Vec<Source>>,
}

impl Sources {
    fn new(holders: &[PeerId], connected: &BTreeSet<PeerId>) -> Self {
        let source = |peer: &PeerId, rank| Source {
            peer: *peer,
            rank,
            has_failed: false,
            in_flight: 0,
        };
        let of_holder = |peer: &PeerId| match connected.contains(peer) {
            true => source(peer, Rank::Holder),
            false => source(peer, Rank::UnconnectedHolder),
        };
        let others = connected
            .iter()
            .filter(|peer| !holders.contains(peer))
            .map(|peer| source(peer, Rank::Member));
        Self {
            sources: Mutex::new(holders.iter().map(of_holder).chain(others).collect()),
        }
    }

    /// The best source that was not tried; the least busy one of several.
    fn take(&self, tried: &[PeerId]) -> Option<PeerId> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let best = sources
            .iter_mut()
            .filter(|source| !tried.contains(&source.peer))
            .min_by_key(|source| (source.has_failed, source.rank, source.in_flight))?;
        best.in_flight += 1;
        Some(best.peer)
    }

    fn give_back(&self, peer: PeerId, is_reachable: bool) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = sources.iter_mut().find(|source| source.peer == peer) {
            source.in_flight -= 1;
            source.has_failed = !is_reachable;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn holders_share_the_load_and_others_are_asked_when_they_fail() {
        let peers: Vec<PeerId> = (0..4).map(|_| PeerId::random()).collect();
        let connected = BTreeSet::from([peers[0], peers[1], peers[2]]);
        let sources = Sources::new(&[peers[0], peers[1], peers[3]], &connected);
        let first = sources.take(&[]).unwrap();
        let second = sources.take(&[]).unwrap();
        assert_eq!(
            BTreeSet::from([first, second]),
            BTreeSet::from([peers[0], peers[1]])
        );
        sources.give_back(first, false);
        assert_eq!(sources.take(&[]), Some(second));
        assert_eq!(sources.take(&[second]), Some(peers[2]));
        assert_eq!(sources.take(&[second, peers[2]]), Some(peers[3]));
        assert_eq!(sources.take(&[second, peers[2], peers[3]]), Some(first));
        assert_eq!(sources.take(&peers), None);
    }
}
