//! The index of an overlay: where the entry of a key lies, by the key's hash.
//!
//! Open addressing with linear probing in one array of words, each a hash with the number of an entry: a look-up waits
//! for one line of memory before it waits for the entry. Entries are never taken out one by one; who drops some builds
//! the index anew.

use super::SlotId;
use super::huge_pages::{Table, zeroed};

/// What an index begins with.
const FIRST: usize = 16;

/// Where the entries of an overlay lie.
#[derive(Debug)]
pub(super) struct Index {
    /// A power of two of them: `hash << 32 | number of the entry + 1`, or 0.
    places: Table<u64>,
    len: usize,
}

impl Index {
    /// An index with room for `entries`.
    pub(super) fn with_room(entries: usize) -> Self {
        Self { places: zeroed((entries * 2).next_power_of_two().max(FIRST)), len: 0 }
    }

    /// Bytes in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.places.len() * size_of::<u64>()
    }

    /// What stands where the search for `hash` begins; for [`Index::find_from`].
    #[inline]
    pub(super) fn home(&self, hash: u32) -> u64 {
        self.places[hash as usize & (self.places.len() - 1)]
    }

    /// The entry of that hash for which `is_it` holds.
    #[inline]
    pub(super) fn find(&self, hash: u32, is_it: impl FnMut(SlotId) -> bool) -> Option<SlotId> {
        self.find_from(self.home(hash), hash, is_it)
    }

    /// As [`Index::find`], where `home` is what [`Index::home`] told.
    #[inline]
    pub(super) fn find_from(
        &self,
        home: u64,
        hash: u32,
        mut is_it: impl FnMut(SlotId) -> bool,
    ) -> Option<SlotId> {
        let (mut word, mut place) = (home, hash as usize);
        while word != 0 {
            if hash_of(word) == hash && is_it(slot_of(word)) {
                return Some(slot_of(word));
            }
            place = (place + 1) & (self.places.len() - 1);
            word = self.places[place];
        }
        None
    }

    /// Adds an entry.
    pub(super) fn insert(&mut self, hash: u32, id: SlotId) {
        if self.len * 3 >= self.places.len() * 2 {
            self.grow();
        }
        self.put(u64::from(hash) << 32 | u64::from(id.0 + 1));
        self.len += 1;
    }

    fn put(&mut self, word: u64) {
        let mask = self.places.len() - 1;
        let mut place = hash_of(word) as usize & mask;
        while self.places[place] != 0 {
            place = (place + 1) & mask;
        }
        self.places[place] = word;
    }

    #[cold]
    fn grow(&mut self) {
        let larger = zeroed(self.places.len() * 2);
        let words = std::mem::replace(&mut self.places, larger);
        words.iter().filter(|word| **word != 0).for_each(|word| self.put(*word));
    }
}

#[inline]
fn hash_of(word: u64) -> u32 {
    u32::try_from(word >> 32).unwrap_or(u32::MAX)
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
fn slot_of(word: u64) -> SlotId {
    SlotId(word as u32 - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_through_collisions_and_growth() {
        let mut index = Index::with_room(0);
        // Hashes of which many begin at the same place, the last one, and some are the same.
        let hash = |id: u32| u32::MAX - id / 3 * 4096;
        for id in 0..3_000 {
            assert_eq!(index.find(hash(id), |other| other.0 == id), None);
            index.insert(hash(id), SlotId(id));
        }
        for id in 0..3_000 {
            assert_eq!(index.find(hash(id), |other| other.0 == id), Some(SlotId(id)));
        }
        assert_eq!(index.find(5, |_| true), None);
        assert_eq!(index.memory_bytes(), 8_192 * 8);
    }
}
