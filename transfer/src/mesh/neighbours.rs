//! Asking the peers that mDNS found which farm they belong to.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures::StreamExt;
use libp2p::{Multiaddr, PeerId};
use tokio::sync::watch;

use super::DiscoveredFarm;
use super::handle::Strangers;
use super::join::ask_for_farm;

/// Neighbours asked at a time.
const ASKED_AT_A_TIME: usize = 8;
/// How often everyone is asked again: a neighbour may have founded or joined a farm meanwhile.
const ASK_AGAIN: Duration = Duration::from_secs(10);

type Neighbours = HashMap<PeerId, Vec<Multiaddr>>;

/// Keeps `farms` true to what the neighbours say, until it is dropped.
pub(super) async fn watch_neighbours(
    strangers: Strangers,
    mut neighbours: watch::Receiver<Neighbours>,
    farms: watch::Sender<Vec<DiscoveredFarm>>,
) {
    let mut asked: HashSet<PeerId> = HashSet::new();
    loop {
        let known = neighbours.borrow_and_update().clone();
        asked.retain(|peer| known.contains_key(peer));
        farms.send_if_modified(|farms| {
            let before = farms.len();
            farms.retain(|farm| known.contains_key(&farm.peer));
            farms.len() != before
        });
        let new: Neighbours = known
            .into_iter()
            .filter(|(peer, _)| asked.insert(*peer))
            .collect();
        ask_all(&strangers, new, &farms).await;
        match tokio::time::timeout(ASK_AGAIN, neighbours.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => asked.clear(),
        }
    }
}

async fn ask_all(
    strangers: &Strangers,
    neighbours: Neighbours,
    farms: &watch::Sender<Vec<DiscoveredFarm>>,
) {
    futures::stream::iter(neighbours)
        .for_each_concurrent(ASKED_AT_A_TIME, |(peer, addresses)| async move {
            match ask(strangers, peer, &addresses).await {
                Ok(found) => farms.send_modify(|farms| {
                    farms.retain(|farm| farm.peer != peer);
                    farms.extend(found);
                }),
                Err(reason) => tracing::debug!(%peer, reason, "a neighbour told no farm"),
            }
        })
        .await;
}

async fn ask(
    strangers: &Strangers,
    peer: PeerId,
    addresses: &[Multiaddr],
) -> Result<Option<DiscoveredFarm>, String> {
    let stream = strangers.open_join_stream(peer, addresses).await?;
    let beacon = ask_for_farm(stream)
        .await
        .map_err(|error| error.to_string())?;
    Ok(beacon.map(|beacon| DiscoveredFarm {
        beacon,
        peer,
        addresses: addresses.to_vec(),
    }))
}
