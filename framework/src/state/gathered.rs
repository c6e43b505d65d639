//! Changes gathered by space, in few pieces of memory, to be written in the order of their keys.
//!
//! A change is copied as it comes, while it is at hand: what holds it can be freed at once. Of several changes of a key
//! the last one holds.
//!
//! A restore brings changes in small pieces and any order. Stores hold them back until there are many ([`Held`]): sorted
//! together they are merged seldom. What all stores of a process may hold they share.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::runs::Run;
use super::{Change, Changes, Space};

/// What one store holds back at most: to sort and write it takes a fifth of a second, and in memory tasks that run wait so long.
const MOST_BYTES: usize = 32 << 20;

/// Changes of one task, none of them a [`Change::DeleteRange`].
#[derive(Debug, Default)]
pub(super) struct Gathered {
    runs: Vec<(Space, Run)>,
}

impl Gathered {
    /// Bytes of memory that are in use.
    pub(super) fn byte_len(&self) -> usize {
        self.runs.iter().map(|(_, run)| run.byte_len()).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Adds changes, all of them or none: none where one is of a range. Returns whether it did.
    pub(super) fn push_all(&mut self, changes: &Changes) -> bool {
        !changes.has_ranges() && changes.iter().all(|change| self.push(change))
    }

    /// Adds a change, if it is not of a range. Returns whether it did.
    #[inline]
    pub(super) fn push(&mut self, change: Change<'_>) -> bool {
        match change {
            Change::Put(space, key, value) => self.run(space).push(key, Some(value)),
            Change::Delete(space, key) => self.run(space).push(key, None),
            Change::DeleteRange(..) => return false,
        }
        true
    }

    /// What is gathered of a space.
    pub(super) fn run(&mut self, space: Space) -> &mut Run {
        let found = self.runs.iter().position(|(other, _)| *other == space);
        let found = found.unwrap_or_else(|| {
            self.runs.push((space, Run::default()));
            self.runs.len() - 1
        });
        &mut self.runs[found].1
    }

    /// What is gathered, by space.
    pub(super) fn into_runs(mut self) -> Vec<(Space, Run)> {
        self.runs.sort_unstable_by_key(|(space, _)| *space);
        self.runs
    }
}

/// What a store holds back of a restore.
#[derive(Debug)]
pub(super) struct Held {
    gathered: RefCell<Gathered>,
    /// How many stores of the process hold something back.
    stores: Arc<AtomicUsize>,
}

impl Held {
    /// Nothing yet; `stores` is the same for all stores of the process.
    pub(super) fn new(stores: &Arc<AtomicUsize>) -> Self {
        Self { gathered: RefCell::default(), stores: Arc::clone(stores) }
    }

    /// Adds changes, all of them or none: none where one is of a range. Returns whether it did.
    pub(super) fn push_all(&self, changes: &Changes) -> bool {
        let mut gathered = self.gathered.borrow_mut();
        let was_empty = gathered.is_empty();
        let added = gathered.push_all(changes);
        if was_empty && !gathered.is_empty() {
            self.stores.fetch_add(1, Ordering::Relaxed);
        }
        added
    }

    /// Whether it is as much as this store's share of `bytes`, or as much as should be written at once; and so many `times`.
    pub(super) fn is_full(&self, bytes: usize, times: usize) -> bool {
        let share = bytes / self.stores.load(Ordering::Relaxed).max(1);
        self.gathered.borrow().byte_len() >= share.min(MOST_BYTES) * times
    }

    /// Takes what is held back.
    pub(super) fn take(&self) -> Gathered {
        let gathered = self.gathered.take();
        if !gathered.is_empty() {
            self.stores.fetch_sub(1, Ordering::Relaxed);
        }
        gathered
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It is lost with its offset, and restored again.
        self.take();
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[test]
    fn the_last_change_of_each_key_is_written_by_key() {
        let put = Change::Put;
        let delete = Change::Delete;
        let long = b"bb and a key that is longer than its head";
        let longer = b"bb and a key that is longer than its head too";
        let changes = [
            put(1, longer, b"0"),
            put(1, b"bb", b"1"),
            put(0, b"z", b"2"),
            delete(1, long),
            put(1, b"bb\0", b"3"),
            put(1, b"bb", b"4"),
            put(1, long, b"5"),
            delete(0, b"z"),
            delete(1, b"b"),
            put(2, b"", b"6"),
            put(2, b"\0", b"7"),
        ];
        let mut gathered = Gathered::default();
        assert!(gathered.push_all(&changes[..4].iter().copied().collect()));
        assert!(
            !gathered.push_all(
                &[put(1, b"b", b"8"), put(9, b"b", b"8"), Change::DeleteRange(1, b"", b"1")].into()
            )
        );
        assert!(gathered.push_all(&changes[4..].iter().copied().collect()));
        let mut written: Vec<(Space, Vec<u8>, Option<Vec<u8>>)> = Vec::new();
        for (space, mut run) in gathered.into_runs() {
            run.sort();
            let Ok(()) = run.each(|key, value| {
                written.push((space, key.to_vec(), value.map(<[u8]>::to_vec)));
                Ok::<_, Infallible>(())
            });
        }
        let expected: [(Space, &[u8], Option<&[u8; 1]>); 8] = [
            (0, b"z", None),
            (1, b"b", None),
            (1, b"bb", Some(b"4")),
            (1, b"bb\0", Some(b"3")),
            (1, long, Some(b"5")),
            (1, longer, Some(b"0")),
            (2, b"", Some(b"6")),
            (2, b"\0", Some(b"7")),
        ];
        let expected =
            expected.map(|(space, key, value)| (space, key.to_vec(), value.map(|value| value.to_vec())));
        assert_eq!(written, expected);
    }

    #[test]
    fn stores_share_what_they_may_hold_back() {
        let stores = Arc::default();
        let (one, other) = (Held::new(&stores), Held::new(&stores));
        let changes = Changes::from([Change::Put(1, b"key", &[7; 100])]);
        assert!(one.push_all(&changes));
        assert!(!one.is_full(200, 1));
        assert!(other.push_all(&changes) && other.push_all(&changes));
        assert!(one.is_full(200, 1) && !one.is_full(200, 2), "half of it is the other's");
        assert_eq!(other.take().into_runs().len(), 1);
        assert!(!one.is_full(200, 1), "the other has written its own");
        assert!(other.push_all(&changes));
        drop(other);
        assert!(!one.is_full(200, 1), "the other is gone");
        assert!(!one.push_all(&[Change::DeleteRange(1, b"a", b"b")].into()));
    }
}
