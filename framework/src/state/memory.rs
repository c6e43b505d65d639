//! Byte stores in memory.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard};

use super::bytes::{lock, taken_over};
use super::gathered::{Gathered, Held};
use super::runs::Runs;
use super::{ByteStore, Change, Changes, KeyRange, Space, StateBackend, Visit};
use crate::error::Result;
use crate::topic::TaskId;

/// Changes of a restore are held back until there are so many bytes of them, all stores together: the more at once, the
/// fewer runs there are to be merged.
const LOAD_BYTES: usize = 64 << 20;

#[derive(Debug, Default)]
struct Kept {
    keys: BTreeMap<Space, Runs>,
    /// How often the task was opened: the number of its owner.
    opened: u64,
}

impl Kept {
    fn add(&mut self, gathered: Gathered) {
        for (space, run) in gathered.into_runs() {
            self.keys.entry(space).or_default().add(run);
        }
    }
}

/// Byte stores in memory. Clones share the data, so whoever keeps a clone sees what survives a crash of a worker:
/// exactly what was applied.
#[derive(Clone, Debug, Default)]
pub struct MemoryBackend {
    tasks: Arc<Mutex<BTreeMap<TaskId, Arc<Mutex<Kept>>>>>,
    /// How many stores hold changes of a restore back.
    loading: Arc<AtomicUsize>,
}

impl MemoryBackend {
    /// A look at what a task has stored, which takes it from nobody.
    #[must_use]
    pub fn look_at(&self, task: TaskId) -> Rc<dyn ByteStore> {
        self.store(task, |opened| *opened)
    }

    /// A store of whoever has this number, of the openings so far.
    fn store(&self, task: TaskId, number: impl FnOnce(&mut u64) -> u64) -> Rc<dyn ByteStore> {
        let kept = Arc::clone(lock(&self.tasks).entry(task).or_default());
        let number = number(&mut lock(&kept).opened);
        Rc::new(MemoryStore { task, kept, number, held: Held::new(&self.loading) })
    }
}

impl StateBackend for MemoryBackend {
    fn open(&self, task: TaskId) -> Result<Rc<dyn ByteStore>> {
        Ok(self.store(task, |opened| {
            *opened += 1;
            *opened
        }))
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
    /// Changes of a restore that wait for more.
    held: Held,
}

impl MemoryStore {
    /// What is kept, for its owner.
    fn own(&self) -> Result<MutexGuard<'_, Kept>> {
        let kept = lock(&self.kept);
        if kept.opened == self.number {
            return Ok(kept);
        }
        Err(taken_over(self.task))
    }

    /// Adds what is held back.
    fn settle(&self) -> Result<()> {
        let held = self.held.take();
        if !held.is_empty() {
            self.own()?.add(held);
        }
        Ok(())
    }
}

impl ByteStore for MemoryStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.settle()?;
        let kept = lock(&self.kept);
        Ok(kept.keys.get(&space).and_then(|keys| keys.get(key)).map(<[u8]>::to_vec))
    }

    fn scan(&self, space: Space, range: KeyRange<'_>, visit: &mut Visit<'_>) -> Result<()> {
        self.settle()?;
        if let Some(keys) = lock(&self.kept).keys.get(&space) {
            keys.scan(range, visit);
        }
        Ok(())
    }

    fn apply(&self, changes: &Changes) -> Result<()> {
        self.settle()?;
        let mut kept = self.own()?;
        let mut gathered = Gathered::default();
        for change in changes.iter() {
            if let Change::DeleteRange(space, from, to) = change {
                let keys = kept.keys.entry(space).or_default();
                keys.add(std::mem::take(gathered.run(space)));
                keys.delete_range(from, to);
            } else {
                gathered.push(change);
            }
        }
        kept.add(gathered);
        Ok(())
    }

    fn load(&self, changes: &Changes) -> Result<()> {
        drop(self.own()?);
        if !self.held.push_all(changes) {
            return self.apply(changes);
        }
        if self.held.is_full(LOAD_BYTES, 1) { self.settle() } else { Ok(()) }
    }

    fn finish_load(&self) -> Result<bool> {
        self.settle().map(|()| true)
    }

    fn wipe(&self) -> Result<()> {
        self.held.take();
        self.own()?.keys.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Reaction;

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
