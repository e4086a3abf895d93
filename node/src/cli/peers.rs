//! Which nodes the command line may talk to, the best one first.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::api_types::{Node, Vote};
use crate::files;

/// More addresses than this are not kept: a farm whose first 32 nodes are gone has no voters.
const MAX_PEERS: usize = 32;

/// Web addresses of the farm in the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peers {
    /// What the user or `endpoint.json` named. Never dropped.
    named: Vec<String>,
    /// All of them, best first: the one that answered last leads, those that failed trail.
    order: Vec<String>,
}

impl Peers {
    /// `named` come first, then what the last use of the farm left in the cache.
    pub fn new(named: Vec<String>, cached: Vec<String>) -> Self {
        let mut peers = Self {
            order: Vec::new(),
            named,
        };
        for url in peers.named.clone().into_iter().chain(cached) {
            peers.add(url);
        }
        peers
    }

    /// The addresses, best first.
    pub fn order(&self) -> &[String] {
        &self.order
    }

    /// This one answered: it is asked first next time.
    pub fn answered(&mut self, url: &str) {
        self.move_to(url, 0);
    }

    /// This one did not answer: it is asked last next time.
    pub fn failed(&mut self, url: &str) {
        self.move_to(url, self.order.len());
    }

    /// Adds an address behind the others.
    pub fn add(&mut self, url: String) {
        if self.order.len() < MAX_PEERS && !self.order.contains(&url) {
            self.order.push(url);
        }
    }

    /// What the farm says its addresses are: those that it no longer names go, unless the user
    /// named them; new ones come last.
    pub fn learned(&mut self, addresses: Vec<String>) {
        self.order
            .retain(|url| self.named.contains(url) || addresses.contains(url));
        for url in addresses {
            self.add(url);
        }
    }

    fn move_to(&mut self, url: &str, place: usize) {
        if let Some(now) = self.order.iter().position(|known| known == url) {
            let url = self.order.remove(now);
            self.order.insert(place.min(self.order.len()), url);
        }
    }
}

/// The web addresses of the nodes, the ones most worth trying first: connected voters, then other
/// connected nodes, then the rest.
pub fn addresses_of(nodes: &[Node]) -> Vec<String> {
    let mut nodes: Vec<&Node> = nodes.iter().collect();
    nodes.sort_by_key(|node| (!node.connected, node.vote != Vote::Voter, node.id));
    nodes
        .into_iter()
        .filter_map(|node| normalise(node.web_address.as_deref()?))
        .take(MAX_PEERS)
        .collect()
}

/// A web address as `http://HOST:PORT`, without a slash at its end; `None` where it is none.
pub fn normalise(text: &str) -> Option<String> {
    let text = text.trim();
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url = reqwest::Url::parse(&with_scheme).ok()?;
    let good =
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty();
    let plain = url.query().is_none() && url.fragment().is_none();
    (good && plain).then(|| url.as_str().trim_end_matches('/').to_owned())
}

#[derive(Serialize, Deserialize)]
struct Cache {
    urls: Vec<String>,
}

/// Reads the cache; whatever is wrong with it, there is just nothing in it.
pub fn read_cache(path: &Path) -> Vec<String> {
    std::fs::read(path)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Cache>(&bytes).ok())
        .map(|cache| cache.urls)
        .unwrap_or_default()
        .iter()
        .filter_map(|url| normalise(url))
        .collect()
}

/// Keeps the addresses for the next use. A cache that cannot be written is no error.
pub fn write_cache(path: &Path, addresses: &[String]) {
    let cache = Cache {
        urls: addresses.to_vec(),
    };
    if read_cache(path) != addresses
        && let Ok(bytes) = serde_json::to_vec_pretty(&cache)
    {
        let _ = files::replace(path, &bytes);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn peers(named: &[&str], cached: &[&str]) -> Peers {
        let owned = |urls: &[&str]| urls.iter().map(|&url| url.to_owned()).collect();
        Peers::new(owned(named), owned(cached))
    }

    #[test]
    fn the_named_node_is_first_and_each_address_stands_once() {
        assert_eq!(peers(&["a"], &["b", "a", "c"]).order(), ["a", "b", "c"]);
    }

    #[test]
    fn a_node_that_failed_goes_last_and_one_that_answered_leads() {
        let mut peers = peers(&["a", "b", "c"], &[]);
        peers.failed("a");
        assert_eq!(peers.order(), ["b", "c", "a"]);
        peers.answered("c");
        assert_eq!(peers.order(), ["c", "b", "a"]);
        peers.failed("unknown");
        assert_eq!(peers.order(), ["c", "b", "a"]);
    }

    #[test]
    fn nodes_that_left_the_farm_are_forgotten_but_never_the_named_one() {
        let mut peers = peers(&["a"], &["old"]);
        peers.learned(vec!["b".into(), "c".into()]);
        assert_eq!(peers.order(), ["a", "b", "c"]);
    }

    #[test]
    fn the_list_is_bounded() {
        let mut peers = peers(&["a"], &[]);
        peers.learned((0..1_000).map(|number| number.to_string()).collect());
        assert_eq!(peers.order().len(), MAX_PEERS);
    }

    #[test]
    fn addresses_are_brought_into_one_form() {
        let form = |text| normalise(text).unwrap_or_default();
        assert_eq!(form("10.0.0.1:8080"), "http://10.0.0.1:8080");
        assert_eq!(form(" http://attic:8080/ "), "http://attic:8080");
        assert_eq!(form("https://[::1]:1"), "https://[::1]:1");
        for wrong in ["", "ftp://a", "http://", "http://user@a", "http://a/?q=1"] {
            assert_eq!(normalise(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_cache_survives_and_a_damaged_one_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("peers.json");
        write_cache(&path, &["http://a:1".into(), "http://b:2".into()]);
        assert_eq!(read_cache(&path), ["http://a:1", "http://b:2"]);
        std::fs::write(&path, "nonsense").unwrap();
        assert!(read_cache(&path).is_empty());
    }
}
