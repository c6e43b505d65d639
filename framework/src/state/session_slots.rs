//! The slots of a session store: the sessions of one key in memory, what they cost, and how their keys are written.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::{ByteStore, Entry, KeyRange, Space, split_time, unstamp};
use crate::error::Result;

/// What a key costs besides its bytes: its place in the map, and the reference counts.
pub(super) const KEY_BYTES: usize = 160;
/// What a session costs besides its slot: its places in the map of its key and in the index.
pub(super) const SESSION_BYTES: usize = 80;

/// A session in memory.
pub(super) struct Slot<V> {
    pub(super) value: Option<V>,
    pub(super) timestamp: i64,
    pub(super) dirty: bool,
    pub(super) unflushed: bool,
}

impl<V> Slot<V> {
    /// The session as an entry of its key.
    pub(super) fn entry<'a>(&'a self, key: &'a [u8]) -> Entry<'a, V> {
        Entry { key, value: self.value.as_ref(), timestamp: self.timestamp }
    }
}

/// End and start, by which the sessions of a key are ordered.
pub(super) type Bounds = (i64, i64);

/// The sessions of one key that are in memory.
pub(super) struct Sessions<V> {
    pub(super) key: Rc<[u8]>,
    pub(super) slots: BTreeMap<Bounds, Slot<V>>,
    /// All sessions that end at this time or later are in memory.
    pub(super) loaded_from: i64,
    /// Slots that are dirty or unflushed.
    pub(super) unsaved: usize,
    /// The flush period in which the key was used last.
    pub(super) used: u32,
}

/// What a session costs without what its value holds.
pub(super) const fn session_bytes<V>() -> usize {
    SESSION_BYTES + size_of::<Bounds>() + size_of::<Slot<V>>()
}

/// The key of a session in the byte store.
pub(super) fn stored_key(key: &[u8], (end, start): Bounds) -> Vec<u8> {
    let len = u32::try_from(key.len()).expect("a key is smaller than 4 GiB");
    [&len.to_be_bytes()[..], key, &end.to_be_bytes(), &start.to_be_bytes()].concat()
}

/// The key of a session in the index.
pub(super) fn index_key(key: &[u8], (end, start): Bounds) -> Vec<u8> {
    [&end.to_be_bytes()[..], &start.to_be_bytes(), key].concat()
}

/// End, start and key of an entry of the index.
pub(super) fn split_index(entry: &[u8]) -> Option<(i64, i64, &[u8])> {
    let (end, rest) = unstamp(entry)?;
    let (start, key) = unstamp(rest)?;
    Some((end, start, key))
}

/// The newest end in the index of a byte store, -1 if there is none: by looks at single entries, however many there are.
pub(super) fn newest_end(bytes: &dyn ByteStore, index: Space) -> Result<i64> {
    let (mut newest, mut latest) = (-1_i64, i64::MAX);
    while newest < latest {
        let middle = (newest.midpoint(latest) + 1).min(latest);
        let mut found = None;
        let range = KeyRange { from: &middle.to_be_bytes(), to: None };
        bytes.scan(index, range, &mut |entry, _| {
            found = unstamp(entry).map(|(end, _)| end);
            false
        })?;
        match found.filter(|end| *end >= middle) {
            Some(end) => newest = end,
            None => latest = middle - 1,
        }
    }
    Ok(newest)
}

/// Key, end and start of what a changelog or stored key ends with.
pub(super) fn split_session(key: &[u8]) -> Option<(&[u8], i64, i64)> {
    let (rest, start) = split_time(key)?;
    let (plain, end) = split_time(rest)?;
    Some((plain, end, start))
}

/// What follows the key in the changelog: `end | start`.
pub(super) fn suffix((end, start): Bounds) -> [u8; 16] {
    let mut suffix = [0; 16];
    suffix[..8].copy_from_slice(&end.to_be_bytes());
    suffix[8..].copy_from_slice(&start.to_be_bytes());
    suffix
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Change, MemoryBackend, StateBackend};
    use crate::topic::TaskId;

    #[test]
    fn the_newest_end_is_found() {
        let task = |partition| TaskId { subtopology: 0, partition };
        let far = i64::MAX;
        for (partition, ends) in
            (0..).zip([&[][..], &[0], &[1, 5, 5, 2], &[0, 1_600_000_000_000, 7], &[far, 3]])
        {
            let store = MemoryBackend::default().open(task(partition)).unwrap();
            for (number, end) in (0_u8..).zip(ends) {
                store.apply(&[Change::Put(2, &index_key(&[number], (*end, 0)), b"")].into()).unwrap();
            }
            assert_eq!(newest_end(store.as_ref(), 2).unwrap(), ends.iter().copied().max().unwrap_or(-1));
        }
    }
}
