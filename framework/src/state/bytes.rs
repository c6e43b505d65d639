//! The byte store: ordered bytes on the far side of the overlay. A port; [`MemoryBackend`] is its in-memory side,
//! `RocksBackend` (feature `rocksdb`) the one on disk.
//!
//! 1. A byte store holds committed data only, and with it the changelog offsets up to which it is complete.
//! 2. [`ByteStore::apply`] is atomic: a crash shows all of a batch or nothing of it. What survives a crash of the process
//!    is what was applied before [`StateBackend::persist`], at least.
//! 3. One backend serves a process; a task sees its own keys only, split into spaces (one per store, [`META`] for the task).
//! 4. A task's store belongs to whoever opened it last. Another worker of the process may not have heard yet that it has
//!    lost the task: what it still wants to write is older, and is refused.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Change, Changes};
use crate::error::{Error, Reaction, Result};
use crate::topic::TaskId;

/// A part of a task's keys: one store, or [`META`].
pub type Space = u32;

/// The space of what a task knows about itself: offsets, stream times, format.
pub const META: Space = 0;

/// Ordered bytes of one task.
pub trait ByteStore {
    /// The value of a key.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>>;
    /// Shows the entries `from <= key < to` in order (without `to`: to the end) until `visit` returns false.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn scan(&self, space: Space, range: KeyRange<'_>, visit: &mut Visit<'_>) -> Result<()>;
    /// Applies all changes, in order, or none.
    ///
    /// # Errors
    /// If the store cannot be written; then it must not be used any more. With [`Reaction::Rejoin`] if the task was
    /// opened again since.
    fn apply(&self, changes: &Changes) -> Result<()>;
    /// As [`ByteStore::apply`], for a restore, which brings much at once and in any order: changes may be held back until
    /// there are many of them. Every other call sees them; a crash, and whoever drops the store, loses those that are held
    /// back as a whole. So offsets have to come in one call with the data that they speak of.
    ///
    /// # Errors
    /// As [`ByteStore::apply`]. Where changes are held back their error comes with any later call.
    fn load(&self, changes: &Changes) -> Result<()> {
        self.apply(changes)
    }
    /// Deletes everything of the task: its state has to be rebuilt. No crash brings it back.
    ///
    /// # Errors
    /// As [`ByteStore::apply`].
    fn wipe(&self) -> Result<()>;
    /// Whether the task may have had data here that had to be given up because it could not be read any more; till the
    /// first change or [`ByteStore::wipe`].
    fn is_lost(&self) -> bool {
        false
    }
}

/// Shown an entry; returns whether to go on.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> bool + 'a;

/// A range of keys: from inclusive, to exclusive, `None` for no bound.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyRange<'a> {
    /// First key.
    pub from: &'a [u8],
    /// First key that is out.
    pub to: Option<&'a [u8]>,
}

/// Makes the byte stores of a process's tasks.
pub trait StateBackend: Send + Sync + fmt::Debug {
    /// Opens the store of a task, and takes it from whoever had opened it; what was applied before is there.
    ///
    /// # Errors
    /// If it cannot be opened.
    fn open(&self, task: TaskId) -> Result<Rc<dyn ByteStore>>;
    /// Sees to it that what was applied, by whatever worker, survives a crash of the process: begins to, or with `wait`
    /// has done so on return. What goes wrong after it was begun is told by a later call.
    ///
    /// # Errors
    /// If the state cannot be written. Nothing is lost by that: the changelogs have it.
    fn persist(&self, wait: bool) -> Result<()>;
    /// Deletes the data of tasks that nobody of the process has had open for `delay_ms`, as far as calls of this saw it.
    /// Returns them. `now_ms` must not go back.
    ///
    /// # Errors
    /// If the state cannot be written.
    fn clean_up(&self, _now_ms: i64, _delay_ms: i64) -> Result<Vec<TaskId>> {
        Ok(Vec::new())
    }
    /// A name of the process that is kept with its state: the same whenever it starts again from there, another one for
    /// each process. `None` where nothing outlives the process.
    fn process_name(&self) -> Option<&str> {
        None
    }
    /// Where the state lies on disk, if it does.
    fn folder(&self) -> Option<&Path> {
        None
    }
    /// What the backend may take of `memory.max`; workers share the rest.
    fn memory_bytes(&self) -> usize {
        0
    }
    /// How large it is, in memory and on disk, each size with its name in metrics. Whoever asks waits for nothing.
    fn sizes(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }
}

#[derive(Debug, Default)]
struct Kept {
    keys: BTreeMap<Space, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// How often the task was opened: the number of its owner.
    opened: u64,
}

/// Byte stores in memory. Clones share the data, so whoever keeps a clone sees what survives a crash of a worker:
/// exactly what was applied.
#[derive(Clone, Debug, Default)]
pub struct MemoryBackend {
    tasks: Arc<Mutex<BTreeMap<TaskId, Arc<Mutex<Kept>>>>>,
}

impl MemoryBackend {
    /// A look at what a task has stored, which takes it from nobody.
    #[must_use]
    pub fn look_at(&self, task: TaskId) -> Rc<dyn ByteStore> {
        let kept = Arc::clone(lock(&self.tasks).entry(task).or_default());
        let number = lock(&kept).opened;
        Rc::new(MemoryStore { task, kept, number })
    }
}

impl StateBackend for MemoryBackend {
    fn open(&self, task: TaskId) -> Result<Rc<dyn ByteStore>> {
        let kept = Arc::clone(lock(&self.tasks).entry(task).or_default());
        let number = {
            let mut kept = lock(&kept);
            kept.opened += 1;
            kept.opened
        };
        Ok(Rc::new(MemoryStore { task, kept, number }))
    }

    /// A crash of a worker leaves all of it, one of the process nothing; neither can be helped.
    fn persist(&self, _wait: bool) -> Result<()> {
        Ok(())
    }
}

struct MemoryStore {
    task: TaskId,
    kept: Arc<Mutex<Kept>>,
    /// Which opening of the task this is.
    number: u64,
}

impl MemoryStore {
    /// What is kept, for its owner.
    fn own(&self) -> Result<MutexGuard<'_, Kept>> {
        let kept = lock(&self.kept);
        if kept.opened == self.number {
            return Ok(kept);
        }
        let message = "another worker of this process has taken the task over";
        Err(Error::new(Reaction::Rejoin, message).in_task(self.task))
    }
}

impl ByteStore for MemoryStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(lock(&self.kept).keys.get(&space).and_then(|keys| keys.get(key)).cloned())
    }

    fn scan(&self, space: Space, range: KeyRange<'_>, visit: &mut Visit<'_>) -> Result<()> {
        let all = lock(&self.kept);
        let Some(keys) = all.keys.get(&space) else { return Ok(()) };
        let to = range.to.map_or(Bound::Unbounded, Bound::Excluded);
        if range.to.is_some_and(|to| to <= range.from) {
            return Ok(());
        }
        for (key, value) in keys.range::<[u8], _>((Bound::Included(range.from), to)) {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, changes: &Changes) -> Result<()> {
        let mut kept = self.own()?;
        let all = &mut kept.keys;
        for change in changes.iter() {
            let keys = all.entry(change.space()).or_default();
            match change {
                Change::Put(_, key, value) => match keys.get_mut(key) {
                    Some(stored) => {
                        stored.clear();
                        stored.extend_from_slice(value);
                    }
                    None => {
                        keys.insert(key.to_vec(), value.to_vec());
                    }
                },
                Change::Delete(_, key) => {
                    keys.remove(key);
                }
                Change::DeleteRange(_, from, to) => {
                    // Key by key: what stays is not touched, however much it is.
                    if from < to {
                        keys.extract_if(from.to_vec()..to.to_vec(), |_, _| true).for_each(drop);
                    }
                }
            }
        }
        Ok(())
    }

    fn wipe(&self) -> Result<()> {
        self.own()?.keys.clear();
        Ok(())
    }
}

/// A poisoned lock means that a test panicked while it looked on; the data under it is still whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(store: &dyn ByteStore, from: &[u8], to: Option<&[u8]>) -> Vec<Vec<u8>> {
        let mut seen = Vec::new();
        store
            .scan(1, KeyRange { from, to }, &mut |key, _| {
                seen.push(key.to_vec());
                true
            })
            .unwrap();
        seen
    }

    #[test]
    fn a_batch_is_applied_in_order_and_survives_reopening() {
        let backend = MemoryBackend::default();
        let task = TaskId { subtopology: 0, partition: 1 };
        let store = backend.open(task).unwrap();
        let puts = [b"a", b"b", b"c", b"d"].map(|key| Change::Put(1, key, b"1"));
        let mut changes = Changes::from(puts);
        changes.push(Change::Delete(1, b"a"));
        store.apply(&changes).unwrap();
        store.apply(&[Change::DeleteRange(1, b"b", b"d")].into()).unwrap();
        drop(store);
        let store = backend.open(task).unwrap();
        assert_eq!(keys(store.as_ref(), b"", None), [b"d"]);
        assert_eq!(keys(store.as_ref(), b"", Some(b"d")), Vec::<Vec<u8>>::new());
        store.wipe().unwrap();
        assert_eq!(store.get(1, b"d").unwrap(), None);
    }

    #[test]
    fn a_store_belongs_to_whom_opened_it_last() {
        let backend = MemoryBackend::default();
        let task = TaskId { subtopology: 0, partition: 1 };
        let put = |value: u8| Changes::from([Change::Put(1, b"a", &[value])]);
        let (old, new) = (backend.open(task).unwrap(), backend.open(task).unwrap());
        new.apply(&put(2)).unwrap();
        for refused in [old.apply(&put(1)), old.wipe()] {
            assert_eq!(refused.unwrap_err().reaction(), Reaction::Rejoin);
        }
        assert_eq!(old.get(1, b"a").unwrap(), Some(vec![2]));
        assert_eq!(backend.look_at(task).get(1, b"a").unwrap(), Some(vec![2]));
        new.apply(&put(3)).unwrap();
    }
}
