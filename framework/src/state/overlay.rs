//! The overlay: a store's entries in memory, typed, found by the hash of their key bytes.
//!
//! It is write buffer and hot path at once; the byte store behind it is where state spills to and restarts from.
//!
//! 1. An entry is *dirty* from its first change until the commit that carries it is acknowledged, and *unflushed*
//!    from its first change until it has been written to the byte store. Only entries that are neither may be dropped.
//! 2. Nothing uncommitted leaves the overlay: a flush happens only while no entry is dirty.
//! 3. An aborted transaction throws the whole overlay away: what was committed comes back from the changelog.
//! 4. An overlay is *complete* while every key of its part of the byte store is in it; then a miss is an answer.
//! 5. Dirty entries are walked in the order of their first change, so that the same input gives the same changelog.
//! 6. Each look-up waits for memory. Who has many keys finds them together ([`KeyRun`]): the waits overlap.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::Shelf;
use super::index::Index;
use super::slots::Slots;
use super::sorting::{is_same, sort_by_bytes};
use crate::codec::{ROWS, Serde, encode_all, gather};
use crate::error::Result;
use crate::record::Encoded;

/// Keys up to this length lie in the slot itself: one cache miss less. With it a key takes 24 bytes.
const INLINE: usize = 22;

#[derive(Clone, Debug)]
enum Key {
    Inline(u8, [u8; INLINE]),
    Heap(Box<[u8]>),
}

impl Key {
    fn new(bytes: &[u8]) -> Self {
        match u8::try_from(bytes.len()) {
            Ok(len) if bytes.len() <= INLINE => {
                let mut inline = [0; INLINE];
                inline[..bytes.len()].copy_from_slice(bytes);
                Self::Inline(len, inline)
            }
            _ => Self::Heap(bytes.into()),
        }
    }

    #[inline]
    fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inline(len, bytes) => &bytes[..usize::from(*len)],
            Self::Heap(bytes) => bytes,
        }
    }

    fn heap_len(&self) -> usize {
        match self {
            Self::Inline(..) => 0,
            Self::Heap(bytes) => bytes.len(),
        }
    }
}

/// Where an entry lies in its overlay; good until the entry is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SlotId(pub(super) u32);

#[derive(Debug)]
struct Slot<V> {
    key: Key,
    value: Option<V>,
    timestamp: i64,
    /// The commit interval in which the entry was changed last.
    changed: u32,
    /// The flush period in which the entry was changed last.
    unflushed: u32,
    /// The flush period in which the entry was used last.
    used: u32,
}

/// Where the entries of several keys are, looked up together.
#[derive(Debug, Default)]
pub struct KeyRun {
    keys: Encoded,
    hashes: Vec<u32>,
    homes: Vec<u64>,
    slots: Vec<Option<SlotId>>,
}

impl KeyRun {
    /// The entry of a key; `None` where the key is null, or where there is no entry and none was to be made.
    #[must_use]
    #[inline]
    pub fn slot(&self, row: usize) -> Option<SlotId> {
        self.slots[row]
    }

    /// All entries, if every key has one.
    #[must_use]
    pub fn all(&self) -> Option<impl Iterator<Item = SlotId> + '_> {
        let complete = self.slots.iter().all(Option::is_some);
        complete.then(|| self.slots.iter().flatten().copied())
    }
}

/// Keys whose entries are looked for.
pub(super) struct Wanted<'a, K> {
    /// Whose keys they are.
    pub(super) shelf: &'a Shelf,
    /// Writes keys.
    pub(super) serde: &'a dyn Serde<K>,
    /// The keys.
    pub(super) keys: &'a [K],
}

/// Entries of one store, or of one window of a store.
#[derive(Debug)]
pub struct Overlay<V> {
    index: Index,
    slots: Slots<Slot<V>>,
    hasher: RandomState,
    dirty: Vec<SlotId>,
    unflushed: Vec<SlotId>,
    /// Number of the commit interval.
    interval: u32,
    /// Number of the flush period.
    period: u32,
    heap: usize,
    complete: bool,
}

/// An entry on its way out of the overlay.
#[derive(Debug)]
pub struct Entry<'a, V> {
    /// Key bytes.
    pub key: &'a [u8],
    /// The value; `None` is a tombstone.
    pub value: Option<&'a V>,
    /// Timestamp of the value.
    pub timestamp: i64,
}

impl<V> Overlay<V> {
    /// An empty overlay. `complete`: the byte store behind it is known to be empty.
    pub fn new(complete: bool) -> Self {
        Self {
            index: Index::with_room(0),
            slots: Slots::new(),
            hasher: RandomState::default(),
            dirty: Vec::new(),
            unflushed: Vec::new(),
            interval: 1,
            period: 1,
            heap: 0,
            complete,
        }
    }

    /// The same with room for `entries`.
    pub fn with_room(complete: bool, entries: usize) -> Self {
        Self { index: Index::with_room(entries), ..Self::new(complete) }
    }

    /// Whether a miss means that the key does not exist.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// Number of entries, tombstones included.
    pub fn entry_count(&self) -> usize {
        self.slots.len()
    }

    /// Whether an entry waits for its commit.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Whether an entry waits for its flush.
    pub fn is_unflushed(&self) -> bool {
        !self.unflushed.is_empty()
    }

    /// Estimated bytes in memory, without what values hold on the heap.
    pub fn memory_bytes(&self) -> usize {
        self.slots.memory_bytes() + self.index.memory_bytes() + self.heap
    }

    /// The hash, cut to 32 bits.
    #[inline]
    fn hash(&self, key: &[u8]) -> u32 {
        let hash = self.hasher.hash_one(key);
        #[expect(clippy::cast_possible_truncation, reason = "the fold keeps what matters")]
        let folded = (hash ^ (hash >> 32)) as u32;
        folded
    }

    /// Finds an entry.
    #[inline]
    pub fn find(&mut self, key: &[u8]) -> Option<SlotId> {
        self.find_hashed(self.hash(key), key)
    }

    #[inline]
    fn find_hashed(&mut self, hash: u32, key: &[u8]) -> Option<SlotId> {
        let slots = &self.slots;
        let id = self.index.find(hash, |id| is_same(slots.get(id.0).key.as_slice(), key))?;
        self.slots.get_mut(id.0).used = self.period;
        Some(id)
    }

    /// Finds the entries of many keys, or makes what `missing` says: a value with its timestamp, a tombstone, or none.
    ///
    /// # Errors
    /// If a key cannot be serialised, and those of `missing`.
    pub(super) fn find_all<K>(
        &mut self,
        wanted: &Wanted<'_, K>,
        run: &mut KeyRun,
        mut missing: impl FnMut(&[u8]) -> Result<Option<(Option<V>, i64)>>,
    ) -> Result<()> {
        let KeyRun { keys: encoded, hashes, homes, slots } = run;
        slots.clear();
        for keys in wanted.keys.chunks(ROWS) {
            let mut bytes = [None; ROWS];
            encode_all(wanted.serde, &gather(keys.iter().map(Some))[..keys.len()], encoded, &mut bytes)
                .map_err(|error| wanted.shelf.serde_error("key", error))?;
            let bytes = &bytes[..keys.len()];
            hashes.clear();
            hashes.extend(bytes.iter().map(|key| key.map_or(0, |key| self.hash(key))));
            let first = slots.len();
            // One step for all keys before the next one, so that what one of them waits for is fetched with what the
            // others wait for.
            homes.clear();
            homes.extend(hashes.iter().map(|hash| self.index.home(*hash)));
            slots.extend(
                homes.iter().zip(&*hashes).map(|(home, hash)| self.index.find_from(*home, *hash, |_| true)),
            );
            self.touch(slots[first..].iter().flatten());
            for ((slot, key), hash) in slots[first..].iter_mut().zip(bytes).zip(&*hashes) {
                let Some(key) = key else {
                    *slot = None;
                    continue;
                };
                *slot = slot.filter(|id| self.is_entry_of(*id, key)).or_else(|| self.find_hashed(*hash, key));
                if slot.is_none() {
                    *slot = missing(key)?.map(|(value, time)| self.load(key, value, time));
                }
            }
        }
        Ok(())
    }

    /// Reads something of each of these entries and does nothing with it: all of them are fetched at the same time then,
    /// more than where the next one is asked for only after something was done with the one before.
    #[inline]
    fn touch<'a>(&self, ids: impl Iterator<Item = &'a SlotId>) {
        std::hint::black_box(ids.fold(0, |all, id| all ^ self.slots.get(id.0).used));
    }

    #[inline]
    fn is_entry_of(&mut self, id: SlotId, key: &[u8]) -> bool {
        let slot = self.slots.get_mut(id.0);
        let same = is_same(slot.key.as_slice(), key);
        if same {
            slot.used = self.period;
        }
        same
    }

    /// Adds an entry that is as the byte store has it. The key must not be there yet.
    ///
    /// # Panics
    /// Past 4 billion entries.
    pub fn load(&mut self, key: &[u8], value: Option<V>, timestamp: i64) -> SlotId {
        let hash = self.hash(key);
        let id = u32::try_from(self.slots.len()).ok().filter(|id| *id < u32::MAX);
        let id = SlotId(id.expect("an overlay is flushed long before 4 billion entries"));
        let key = Key::new(key);
        self.heap += key.heap_len();
        self.slots.push(Slot { key, value, timestamp, changed: 0, unflushed: 0, used: self.period });
        self.index.insert(hash, id);
        id
    }

    /// The value of an entry.
    #[inline]
    pub fn value(&self, id: SlotId) -> Option<&V> {
        self.slots.get(id.0).value.as_ref()
    }

    /// The timestamp of an entry.
    #[inline]
    pub fn timestamp(&self, id: SlotId) -> i64 {
        self.slots.get(id.0).timestamp
    }

    /// Takes the value out of an entry that is about to be set.
    #[inline]
    pub fn take(&mut self, id: SlotId) -> Option<V> {
        self.slots.get_mut(id.0).value.take()
    }

    /// Changes an entry: `change` gets its value and timestamp and tells the new ones.
    #[inline]
    pub fn update(&mut self, id: SlotId, change: impl FnOnce(Option<V>, i64) -> (Option<V>, i64)) {
        let slot = self.slots.get_mut(id.0);
        (slot.value, slot.timestamp) = change(slot.value.take(), slot.timestamp);
        if slot.changed != self.interval {
            slot.changed = self.interval;
            self.dirty.push(id);
        }
        if slot.unflushed != self.period {
            slot.unflushed = self.period;
            self.unflushed.push(id);
        }
    }

    /// Changes an entry.
    #[inline]
    pub fn set(&mut self, id: SlotId, value: Option<V>, timestamp: i64) {
        self.update(id, |_, _| (value, timestamp));
    }

    /// Shows the dirty entries to `visit`, several at once, in the order of their first change.
    ///
    /// # Errors
    /// The first of `visit`.
    #[inline]
    pub fn each_dirty(&self, mut visit: impl FnMut(&[Entry<'_, V>]) -> Result<()>) -> Result<()> {
        let mut entries = Vec::with_capacity(ROWS);
        for ids in self.dirty.chunks(ROWS) {
            self.touch(ids.iter());
            entries.clear();
            entries.extend(ids.iter().map(|id| self.entry(*id)));
            visit(&entries)?;
        }
        Ok(())
    }

    /// The values of the dirty entries, those that became dirty last first.
    pub fn newest(&self) -> impl Iterator<Item = &V> {
        self.dirty.iter().rev().filter_map(|id| self.value(*id))
    }

    /// All entries, tombstones included, in no useful order.
    pub fn entries(&self) -> impl Iterator<Item = Entry<'_, V>> {
        self.slots.iter().map(|slot| Entry {
            key: slot.key.as_slice(),
            value: slot.value.as_ref(),
            timestamp: slot.timestamp,
        })
    }

    fn entry(&self, id: SlotId) -> Entry<'_, V> {
        let slot = self.slots.get(id.0);
        Entry { key: slot.key.as_slice(), value: slot.value.as_ref(), timestamp: slot.timestamp }
    }

    /// The commit that carries the dirty entries is acknowledged: they only wait for a flush now.
    pub fn committed(&mut self) {
        self.dirty.clear();
        self.interval = next(self.interval);
    }

    /// The unflushed entries, sorted by key.
    ///
    /// # Panics
    /// If an entry is dirty: uncommitted data must not reach the byte store.
    pub fn unflushed(&mut self) -> impl Iterator<Item = Entry<'_, V>> {
        assert!(self.dirty.is_empty(), "flushed while a transaction is open");
        let slots = &self.slots;
        sort_by_bytes(&mut self.unflushed, |id| slots.get(id.0).key.as_slice());
        self.unflushed.iter().map(|id| self.entry(*id))
    }

    /// The unflushed entries are in the byte store now. A new period of use begins.
    pub fn flushed(&mut self) {
        self.unflushed.clear();
        self.period = next(self.period);
    }

    /// Drops the entries that are neither dirty nor unflushed and were not used for `periods` flushes. Slots move:
    /// no [`SlotId`] taken before may be used after.
    pub fn evict(&mut self, periods: u32) {
        if self.is_dirty() || self.is_unflushed() {
            return;
        }
        let period = self.period;
        let stays = |slot: &Slot<V>| period.wrapping_sub(slot.used) < periods;
        if self.slots.iter().all(stays) {
            return;
        }
        self.slots.retain(stays);
        self.complete = false;
        self.rebuild();
    }

    fn rebuild(&mut self) {
        let mut index = Index::with_room(self.slots.len());
        for (id, slot) in (0_u32..).zip(self.slots.iter()) {
            index.insert(self.hash(slot.key.as_slice()), SlotId(id));
        }
        self.heap = self.slots.iter().map(|slot| slot.key.heap_len()).sum();
        self.index = index;
    }
}

/// The number after this one; 0 is for entries that were never changed.
fn next(number: u32) -> u32 {
    number.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dirty(overlay: &Overlay<i64>) -> Vec<(Vec<u8>, Option<i64>)> {
        let mut dirty = Vec::new();
        let noted = overlay.each_dirty(|entries| {
            dirty.extend(entries.iter().map(|entry| (entry.key.to_vec(), entry.value.copied())));
            Ok(())
        });
        noted.map(|()| dirty).unwrap()
    }

    #[test]
    fn an_entry_goes_from_dirty_to_unflushed_to_evictable() {
        let mut overlay = Overlay::new(true);
        for key in [b"b".as_slice(), b"a", b"a key that is longer than the inline room"] {
            assert_eq!(overlay.find(key), None);
            let id = overlay.load(key, None, -1);
            overlay.set(id, Some(1), 10);
        }
        let id = overlay.find(b"a").unwrap();
        overlay.set(id, None, 11);
        let long = b"a key that is longer than the inline room".to_vec();
        assert_eq!(
            dirty(&overlay),
            [(b"b".to_vec(), Some(1)), (b"a".to_vec(), None), (long.clone(), Some(1))]
        );
        overlay.evict(0);
        assert_eq!(overlay.entry_count(), 3, "dirty entries stay");
        overlay.committed();
        let keys: Vec<_> = overlay.unflushed().map(|entry| entry.key.to_vec()).collect();
        assert_eq!(keys, [b"a".to_vec(), long, b"b".to_vec()]);
        overlay.flushed();
        assert!(overlay.find(b"b").is_some(), "still cached");
        overlay.evict(1);
        assert_eq!((overlay.entry_count(), overlay.is_complete()), (1, false));
        assert!(overlay.find(b"b").is_some(), "used in this period");
    }

    #[test]
    #[should_panic(expected = "flushed while a transaction is open")]
    fn uncommitted_entries_are_never_flushed() {
        let mut overlay = Overlay::new(true);
        let id = overlay.load(b"k", None, -1);
        overlay.set(id, Some(1), 1);
        let _ = overlay.unflushed().count();
    }
}
