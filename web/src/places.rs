//! Places for what a node does at the same time: so many in all, and so many for one caller, so
//! that nobody takes all of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct Places<Key>(Arc<Inner<Key>>);

struct Inner<Key> {
    most: usize,
    most_each: usize,
    /// Whoever has none is not in it.
    taken: Mutex<HashMap<Key, usize>>,
}

/// Given back when it is dropped.
pub(crate) struct Place<Key: Copy + Eq + Hash> {
    places: Places<Key>,
    key: Key,
}

impl<Key: Copy + Eq + Hash> Places<Key> {
    pub(crate) fn new(most: usize, most_each: usize) -> Self {
        let taken = Mutex::default();
        Self(Arc::new(Inner {
            most,
            most_each,
            taken,
        }))
    }

    /// `None` where all are taken, or all that one caller may have.
    pub(crate) fn take(&self, key: Key) -> Option<Place<Key>> {
        let mut taken = self.lock();
        let own = taken.get(&key).copied().unwrap_or(0);
        if own >= self.0.most_each || taken.values().sum::<usize>() >= self.0.most {
            return None;
        }
        taken.insert(key, own + 1);
        drop(taken);
        let places = self.clone();
        Some(Place { places, key })
    }

    pub(crate) fn taken(&self) -> usize {
        self.lock().values().sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, usize>> {
        let taken = self.0.taken.lock();
        taken.unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Key: Copy + Eq + Hash> Drop for Place<Key> {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        match taken.get_mut(&self.key) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn nobody_takes_all_places_and_all_together_take_no_more_than_there_are() {
        let places = Places::new(5, 2);
        let mut held: Vec<Place<u32>> = Vec::new();
        for caller in 0..3 {
            for expected in [true, true, false] {
                let place = places.take(caller);
                let is_free = expected && held.len() < 5;
                assert_eq!(place.is_some(), is_free, "{caller}");
                held.extend(place);
            }
        }
        assert_eq!(places.taken(), 5);
        held.pop();
        assert!(places.take(0).is_none(), "it has two");
        held.push(places.take(3).unwrap());
        held.clear();
        assert_eq!(places.taken(), 0);
        assert!(places.lock().is_empty(), "nobody is remembered for nothing");
    }
}
