//! The byte store of one task: its range of keys of the database.

use std::cell::RefCell;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

use rocksdb::{ReadOptions, WriteBatch};

use super::database::Database;
use super::gathered::Gathered;
use super::owners::Owner;
use super::{keys, load};
use crate::error::{Error, Result};
use crate::state::bytes::{lock, taken_over};
use crate::state::{ByteStore, Changes, KeyRange, Space, Visit};
use crate::topic::TaskId;

/// Changes of a restore are held back until there are so many bytes of them, all stores together: the more at once, the
/// fewer files there are to be merged. Measured with records of 100 bytes.
const LOAD_BYTES: usize = 16 << 20;
/// Fewer bytes are no file of their own.
const FILE_BYTES: usize = 2 << 20;

/// A task's part of the database.
pub(super) struct RocksStore {
    task: TaskId,
    database: Arc<Database>,
    owner: Arc<Mutex<Owner>>,
    /// Which opening of the task this is.
    number: u64,
    /// Whether it is somebody's, and not only a look.
    owned: bool,
    /// Changes of a restore that wait for more.
    held: RefCell<Gathered>,
    /// Memory for a key.
    key: RefCell<Vec<u8>>,
}

impl RocksStore {
    /// Takes the task from whoever has it.
    pub(super) fn open(database: Arc<Database>, task: TaskId) -> Self {
        let owner = database.owners.of(task);
        let number = lock(&owner).take();
        Self::new(database, task, number, true)
    }

    /// A look at what a task has stored, which takes it from nobody.
    pub(super) fn look_at(database: Arc<Database>, task: TaskId) -> Self {
        let number = lock(&database.owners.of(task)).opened;
        Self::new(database, task, number, false)
    }

    fn new(database: Arc<Database>, task: TaskId, number: u64, owned: bool) -> Self {
        let owner = database.owners.of(task);
        let (held, key) = (RefCell::new(Gathered::new(task)), RefCell::default());
        Self { task, database, owner, number, owned, held, key }
    }

    /// What is known of the task, for its owner; nobody takes the task meanwhile.
    fn own(&self) -> Result<MutexGuard<'_, Owner>> {
        let owner = lock(&self.owner);
        if owner.opened == self.number {
            return Ok(owner);
        }
        Err(taken_over(self.task))
    }

    fn write(&self, batch: WriteBatch) -> Result<()> {
        let mut owner = self.own()?;
        (owner.stored, owner.lost) = (true, false);
        self.database.write(batch).map_err(|error| error.in_task(self.task))
    }

    /// What a store may hold back of a restore.
    fn load_bytes(&self) -> usize {
        let loading = self.database.loading.load(Ordering::Relaxed).max(1);
        LOAD_BYTES.min(self.database.tuning.memory_bytes / 2) / loading
    }

    /// Takes what is held back.
    fn take_held(&self) -> Gathered {
        let held = self.held.replace(Gathered::new(self.task));
        if !held.is_empty() {
            self.database.loading.fetch_sub(1, Ordering::Relaxed);
        }
        held
    }

    /// Writes what is held back.
    fn settle(&self) -> Result<()> {
        if self.held.borrow().is_empty() {
            return Ok(());
        }
        let mut held = self.take_held();
        if held.byte_len() < FILE_BYTES {
            return self.write(load::sorted_batch(&mut held));
        }
        let mut owner = self.own()?;
        (owner.stored, owner.lost) = (true, false);
        load::ingest(&self.database, &mut held).map_err(|error| error.in_task(self.task))
    }

    fn failed(&self, error: rocksdb::Error) -> Error {
        self.database.failed("cannot read", error).in_task(self.task)
    }
}

impl ByteStore for RocksStore {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.settle()?;
        let mut whole = self.key.borrow_mut();
        keys::write(self.task, space, key, &mut whole);
        self.database.db.get(&*whole).map_err(|error| self.failed(error))
    }

    fn scan(&self, space: Space, range: KeyRange<'_>, visit: &mut Visit<'_>) -> Result<()> {
        self.settle()?;
        if range.to.is_some_and(|to| to <= range.from) {
            return Ok(());
        }
        let end =
            range.to.map_or_else(|| keys::space_end(self.task, space), |to| keys::key(self.task, space, to));
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(keys::key(self.task, space, range.from));
        options.set_iterate_upper_bound(end);
        let mut entries = self.database.db.raw_iterator_opt(options);
        entries.seek_to_first();
        while let Some((key, value)) = entries.item() {
            if !visit(&key[keys::PREFIX..], value) {
                return Ok(());
            }
            entries.next();
        }
        entries.status().map_err(|error| self.failed(error))
    }

    fn apply(&self, changes: &Changes) -> Result<()> {
        self.settle()?;
        self.write(load::batch(self.task, changes))
    }

    fn load(&self, changes: &Changes) -> Result<()> {
        drop(self.own()?);
        let (added, bytes) = {
            let mut held = self.held.borrow_mut();
            let was_empty = held.is_empty();
            let added = held.push_all(changes);
            if was_empty && !held.is_empty() {
                self.database.loading.fetch_add(1, Ordering::Relaxed);
            }
            (added, held.byte_len())
        };
        if !added {
            return self.apply(changes);
        }
        if bytes >= self.load_bytes() { self.settle() } else { Ok(()) }
    }

    fn wipe(&self) -> Result<()> {
        self.take_held();
        let mut owner = self.own()?;
        self.database.delete(&[self.task]).map_err(|error| error.in_task(self.task))?;
        (owner.stored, owner.lost) = (false, false);
        Ok(())
    }

    fn is_lost(&self) -> bool {
        lock(&self.owner).lost
    }
}

impl Drop for RocksStore {
    fn drop(&mut self) {
        // What is held back is lost with its offset, and restored again.
        self.take_held();
        let mut owner = lock(&self.owner);
        if self.owned && owner.opened == self.number {
            owner.held = false;
        }
    }
}
