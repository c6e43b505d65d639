//! The byte store of one task: its range of keys of the database.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard};

use rocksdb::{ReadOptions, WriteBatch};

use super::database::Database;
use super::owners::Owner;
use super::{keys, load};
use crate::error::{Error, Result};
use crate::state::bytes::{lock, taken_over};
use crate::state::gathered::Held;
use crate::state::{ByteStore, Changes, KeyRange, Space, Visit};
use crate::topic::TaskId;

/// Changes of a restore are held back until they take such a part of the memory, all stores together: the more at once, the
/// fewer files there are to be merged, which costs as much as all else of a restore.
const LOAD_PART: usize = 8;
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
    held: Held,
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
        let (held, key) = (Held::new(&database.loading), RefCell::default());
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

    /// Writes what is held back.
    fn settle(&self) -> Result<()> {
        let held = self.held.take();
        if held.is_empty() {
            return Ok(());
        }
        if held.byte_len() < FILE_BYTES {
            return self.write(load::sorted_batch(self.task, held));
        }
        let mut owner = self.own()?;
        (owner.stored, owner.lost) = (true, false);
        load::ingest(&self.database, self.task, held).map_err(|error| error.in_task(self.task))
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
        if !self.held.push_all(changes) {
            return self.apply(changes);
        }
        let bytes = self.database.tuning.memory_bytes / LOAD_PART;
        if self.held.is_full(bytes) { self.settle() } else { Ok(()) }
    }

    fn wipe(&self) -> Result<()> {
        self.held.take();
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
        let mut owner = lock(&self.owner);
        if self.owned && owner.opened == self.number {
            owner.held = false;
        }
    }
}
