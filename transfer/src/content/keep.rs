//! Keeping a file on as many nodes as it must be on (I4).

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use libp2p::PeerId;
use tokio::time::{Instant, timeout_at};

use super::protocol::{Answer, Request};
use super::{Content, Kept};
use crate::store::Manifest;
use crate::{Chunking, ManifestHash, StoreError, Stored};

/// Chunks on their way to one peer at a time.
const CHUNKS_AT_A_TIME: usize = 4;
/// Peers asked at a time whether they have a file.
const PEERS_AT_A_TIME: usize = 16;
/// A peer that has failed is tried again after this.
const REST: Duration = Duration::from_millis(500);

impl Content {
    /// Stores the bytes here and on other members until `copies` nodes have fsynced them, or all
    /// members where there are fewer. Waits for members to be reachable for up to `patience`.
    ///
    /// Where that fails the bytes stay on this node; keeping them again costs no second copy.
    pub async fn keep(
        &self,
        bytes: impl tokio::io::AsyncRead + Send + Unpin,
        chunking: Chunking,
        copies: usize,
        patience: Duration,
    ) -> Result<Kept, StoreError> {
        let stored = self.store.put(bytes, chunking).await?;
        let holders = self.copy_out(stored, copies, patience).await?;
        Ok(Kept { stored, holders })
    }

    /// The connected members that have the whole file.
    pub async fn holders(&self, manifest: ManifestHash) -> Vec<PeerId> {
        let connected = self.mesh.connected().borrow().clone();
        let request = Request::Has(manifest);
        futures::stream::iter(connected)
            .map(|peer| {
                let asked = self.ask(peer, &request, &[]);
                async move { (peer, asked.await) }
            })
            .buffer_unordered(PEERS_AT_A_TIME)
            .filter_map(|(peer, answer)| async move {
                matches!(answer, Ok((Answer::Yes, _))).then_some(peer)
            })
            .collect()
            .await
    }

    async fn copy_out(
        &self,
        stored: Stored,
        copies: usize,
        patience: Duration,
    ) -> Result<Vec<PeerId>, StoreError> {
        let deadline = Instant::now() + patience;
        let mut holders = vec![self.mesh.peer_id()];
        let mut failures: HashMap<PeerId, (Instant, String)> = HashMap::new();
        let mut connected = self.mesh.connected();
        loop {
            let wanted = copies.min(self.farm_size());
            if holders.len() >= wanted {
                return Ok(holders);
            }
            let mut candidates: Vec<PeerId> = connected
                .borrow_and_update()
                .iter()
                .filter(|peer| !holders.contains(peer) && !is_resting(&failures, peer))
                .copied()
                .collect();
            self.usage.least_used_first(&mut candidates);
            candidates.truncate(wanted - holders.len());
            if candidates.is_empty() {
                if Instant::now() >= deadline {
                    return Err(too_few(holders.len(), wanted, &failures));
                }
                let next_try = deadline.min(Instant::now() + REST);
                // Either way it is time to look again.
                let _ = timeout_at(next_try, connected.changed()).await;
                continue;
            }
            let copied = candidates.iter().map(|peer| self.copy_to(*peer, stored));
            let copied = futures::future::join_all(copied).await;
            for (peer, copied) in candidates.into_iter().zip(copied) {
                match copied {
                    Ok(()) => {
                        self.usage.count(peer);
                        holders.push(peer);
                    }
                    Err(reason) => {
                        tracing::debug!(%peer, reason, "copying content failed");
                        failures.insert(peer, (Instant::now(), reason));
                    }
                }
            }
        }
    }

    /// How many nodes the farm has, this one included.
    fn farm_size(&self) -> usize {
        let own = self.mesh.peer_id();
        let members = self.mesh.members();
        let others = members.iter().filter(|member| member.peer != own).count();
        others + 1
    }

    /// Copies what `peer` lacks of a file that is here. Returns when it has fsynced all of it.
    async fn copy_to(&self, peer: PeerId, stored: Stored) -> Result<(), String> {
        let hash = stored.manifest;
        let read = self.store.manifest(hash).await;
        let (manifest, encoded) = read
            .map_err(|error| error.to_string())?
            .ok_or_else(|| StoreError::Missing(hash).to_string())?;
        let request = Request::Keep(hash);
        let mut last_lacking: Option<u32> = None;
        loop {
            let lacking = match self.ask(peer, &request, &encoded).await? {
                (Answer::Kept, _) => return Ok(()),
                (Answer::Lacking(positions), _) => positions,
                _ => return Err("gave an answer to another question".to_owned()),
            };
            // Each round must get further, so that no peer can keep this one busy for ever.
            let first = lacking.first().copied();
            if first.is_none() || (last_lacking.is_some() && first <= last_lacking) {
                return Err("does not take the chunks that it asks for".to_owned());
            }
            last_lacking = lacking.last().copied();
            self.give(peer, &manifest, lacking).await?;
        }
    }

    async fn give(
        &self,
        peer: PeerId,
        manifest: &Manifest,
        positions: Vec<u32>,
    ) -> Result<(), String> {
        futures::stream::iter(positions)
            .map(|position| self.give_one(peer, manifest, position))
            .buffer_unordered(CHUNKS_AT_A_TIME)
            .try_collect::<()>()
            .await
    }

    async fn give_one(
        &self,
        peer: PeerId,
        manifest: &Manifest,
        position: u32,
    ) -> Result<(), String> {
        let chunk = manifest
            .chunks()
            .get(position as usize)
            .ok_or("asks for a chunk that the file does not have")?;
        // Heals a copy of this node that was damaged since it was written.
        let sources = self.sources(&[]);
        let read = self.chunk(*chunk, &sources).await;
        let bytes: Bytes = read.map_err(|error| error.to_string())?;
        match self.ask(peer, &Request::Give(chunk.hash), &bytes).await? {
            (Answer::Taken, _) => Ok(()),
            _ => Err("gave an answer to another question".to_owned()),
        }
    }
}

fn is_resting(failures: &HashMap<PeerId, (Instant, String)>, peer: &PeerId) -> bool {
    failures
        .get(peer)
        .is_some_and(|(at, _)| at.elapsed() < REST)
}

fn too_few(have: usize, want: usize, failures: &HashMap<PeerId, (Instant, String)>) -> StoreError {
    let reasons: Vec<String> = failures
        .iter()
        .map(|(peer, (_, reason))| format!("{peer}: {reason}"))
        .collect();
    let reason = match reasons.is_empty() {
        true => "no other member is connected".to_owned(),
        false => reasons.join("; "),
    };
    StoreError::TooFewCopies { have, want, reason }
}
