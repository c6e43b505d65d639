//! The index of an overlay: where the entry of a key lies, by the key's hash.
//!
//! Open addressing with linear probing in arrays of words, each a hash with the number of an entry: a look-up waits
//! for one line of memory before it waits for the entry. Entries are never taken out one by one; who drops some builds
//! the index anew.
//!
//! A large index is in parts, by the first bits of the hash: each grows by itself, so that growing takes little memory
//! and time at once. A hash begins at its own fraction of a part: whatever its length, a part keeps the order of hashes
//! when it grows, and is read and written from one end to the other.

use super::SlotId;
use super::huge_pages::{LARGE, Table, zeroed};

/// What a part begins with.
const FIRST: usize = 16;
/// An index of one part that would get more places than this is split.
const WHOLE: usize = 1 << 21;
/// Bits of the hash that tell the part, where there are several.
const PART_BITS: u32 = 3;
/// A large part has a multiple of so many places: whole huge pages.
const GRAIN: usize = LARGE / size_of::<u64>();
/// A part grows when more than so many of ten places are taken: to twice as many, a large one to half as many again.
const TAKEN: usize = 7;

/// Where the entries of an overlay lie.
#[derive(Debug)]
pub(super) struct Index {
    parts: Vec<Part>,
    /// Bits of the hash that tell the part.
    bits: u32,
}

#[derive(Debug)]
struct Part {
    /// `hash << 32 | number of the entry + 1`, or 0.
    places: Table<u64>,
    len: usize,
}

impl Index {
    /// An index with room for `entries`.
    pub(super) fn with_room(entries: usize) -> Self {
        let places = entries * 10 / TAKEN + 1;
        let bits = if places > WHOLE { PART_BITS } else { 0 };
        Self::with_parts(bits, places >> bits)
    }

    fn with_parts(bits: u32, places: usize) -> Self {
        Self { parts: (0..1 << bits).map(|_| Part::with_places(places)).collect(), bits }
    }

    /// Bytes in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        self.parts.iter().map(|part| part.places.len() * size_of::<u64>()).sum()
    }

    /// The part of a hash, and the fraction of it where the search begins, in 32 bits.
    #[inline]
    fn split(&self, hash: u32) -> (usize, u32) {
        let wide = u64::from(hash) << self.bits;
        #[expect(clippy::cast_possible_truncation, reason = "a few bits, and the lower half")]
        let both = ((wide >> 32) as usize, wide as u32);
        both
    }

    /// What stands where the search for `hash` begins; for [`Index::find_from`].
    #[inline]
    pub(super) fn home(&self, hash: u32) -> u64 {
        let (part, fraction) = self.split(hash);
        let part = &self.parts[part];
        part.places[part.begin(fraction)]
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
        if home == 0 {
            return None;
        }
        if hash_of(home) == hash && is_it(slot_of(home)) {
            return Some(slot_of(home));
        }
        let (part, fraction) = self.split(hash);
        let part = &self.parts[part];
        let mut place = part.begin(fraction);
        loop {
            place = part.after(place);
            let word = part.places[place];
            if word == 0 {
                return None;
            }
            if hash_of(word) == hash && is_it(slot_of(word)) {
                return Some(slot_of(word));
            }
        }
    }

    /// Adds an entry.
    pub(super) fn insert(&mut self, hash: u32, id: SlotId) {
        let (part, _) = self.split(hash);
        if self.parts[part].is_full() {
            self.grow(part);
        }
        self.put(u64::from(hash) << 32 | u64::from(id.0 + 1));
    }

    fn put(&mut self, word: u64) {
        let (part, fraction) = self.split(hash_of(word));
        let part = &mut self.parts[part];
        let mut place = part.begin(fraction);
        while part.places[place] != 0 {
            place = part.after(place);
        }
        part.places[place] = word;
        part.len += 1;
    }

    #[cold]
    fn grow(&mut self, part: usize) {
        let places = self.parts[part].places.len();
        let places = if places < GRAIN { places * 2 } else { places * 3 / 2 };
        let split = self.bits == 0 && places > WHOLE;
        let old = if split {
            let parts = Self::with_parts(PART_BITS, places >> PART_BITS);
            std::mem::replace(self, parts).parts.swap_remove(0)
        } else {
            std::mem::replace(&mut self.parts[part], Part::with_places(places))
        };
        old.places.iter().filter(|word| **word != 0).for_each(|word| self.put(*word));
    }
}

impl Part {
    fn with_places(places: usize) -> Self {
        let places = if places > GRAIN / 2 { places.next_multiple_of(GRAIN) } else { places.max(FIRST) };
        Self { places: zeroed(places), len: 0 }
    }

    /// The place at a fraction of its length.
    #[inline]
    fn begin(&self, fraction: u32) -> usize {
        ((u64::from(fraction) * self.places.len() as u64) >> 32) as usize
    }

    /// The place behind this one; the first one is behind the last.
    #[inline]
    fn after(&self, place: usize) -> usize {
        if place + 1 == self.places.len() { 0 } else { place + 1 }
    }

    /// Whether it has to grow before it takes one more. Places are always free: there every search ends.
    #[inline]
    fn is_full(&self) -> bool {
        self.len * 10 >= self.places.len() * TAKEN
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

    fn check(hash: impl Fn(u32) -> u32, entries: u32) -> Index {
        let mut index = Index::with_room(0);
        for id in 0..entries {
            assert_eq!(index.find(hash(id), |other| other.0 == id), None);
            index.insert(hash(id), SlotId(id));
        }
        for id in 0..entries {
            assert_eq!(index.find(hash(id), |other| other.0 == id), Some(SlotId(id)));
        }
        index
    }

    #[test]
    fn entries_are_found_through_collisions_and_growth() {
        // Hashes of which many begin at the last place, and some are the same.
        let index = check(|id| u32::MAX - id / 3, 3_000);
        assert_eq!(index.find(5, |_| true), None);
    }

    #[test]
    fn a_large_index_grows_part_by_part() {
        let hash = |id: u32| id.wrapping_mul(2_654_435_769);
        let index = check(hash, 2_000_000);
        assert_eq!(index.parts.len(), 1 << PART_BITS);
        let words = index.memory_bytes() / 8;
        assert!((2_000_000 * 10 / 7..2_000_000 * 10 / 3).contains(&words), "{words} for 2000000");
        assert!(words.is_multiple_of(GRAIN), "{words}");
        // With room for them it does not grow.
        let mut index = Index::with_room(2_000_000);
        let before = index.memory_bytes();
        (0..1_900_000).for_each(|id| index.insert(hash(id), SlotId(id)));
        assert_eq!(index.memory_bytes(), before);
    }
}
