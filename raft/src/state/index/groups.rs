//! Sets by key, without empty ones, so that equal contents are equal.

use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Groups<K, V>(BTreeMap<K, BTreeSet<V>>);

impl<K, V> Default for Groups<K, V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Copy, V: Ord + Copy> Groups<K, V> {
    pub(crate) fn add(&mut self, key: K, value: V) {
        self.0.entry(key).or_default().insert(value);
    }

    pub(crate) fn remove(&mut self, key: K, value: V) {
        if let Some(set) = self.0.get_mut(&key) {
            set.remove(&value);
            if set.is_empty() {
                self.0.remove(&key);
            }
        }
    }

    pub(crate) fn get(&self, key: K) -> Option<&BTreeSet<V>> {
        self.0.get(&key)
    }

    /// The values of that key, smallest first.
    pub(crate) fn of(&self, key: K) -> impl DoubleEndedIterator<Item = V> + '_ {
        self.0.get(&key).into_iter().flatten().copied()
    }

    /// The smallest value of the key that has the most; of such keys, the smallest.
    pub(crate) fn first_of_the_largest(&self) -> Option<(K, V)> {
        let size = |(_, set): &(&K, &BTreeSet<V>)| set.len();
        // `max_by_key` takes the last of equals.
        let (key, set) = self.0.iter().rev().max_by_key(size)?;
        Some((*key, *set.first()?))
    }

    pub(crate) fn count(&self, key: K) -> usize {
        self.0.get(&key).map_or(0, BTreeSet::len)
    }
}
