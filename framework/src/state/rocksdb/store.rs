//! The byte store of one task: its range of keys of the database.

use std::cell::RefCell;
use std::sync::Arc;

use rocksdb::{ReadOptions, WriteBatch};

use super::database::Database;
use super::loader::{Coming, Loader};
use super::owners::Claim;
use super::{keys, load};
use crate::error::{Error, Result};
use crate::state::gathered::{Gathered, Held};
use crate::state::{ByteStore, Changes, KeyRange, Space, Visit};
use crate::topic::TaskId;

/// Changes of a restore are gathered until they take such a part of the memory, all stores together, while as many are on their
/// way into the database: the more at once, the fewer files there are to be merged, which costs as much as all else of a
/// restore. (What is written otherwise has little memory then.)
const LOAD_PART: usize = 8;
/// Fewer bytes are no file of their own.
const FILE_BYTES: usize = 2 << 20;

/// A task's part of the database.
pub(super) struct RocksStore {
    task: TaskId,
    database: Arc<Database>,
    claim: Claim,
    /// Whether it is somebody's, and not only a look.
    owned: bool,
    /// Changes of a restore that wait for more.
    held: Held,
    /// Those before them, on their way into the database.
    coming: RefCell<Option<Coming>>,
    /// Memory for a key.
    key: RefCell<Vec<u8>>,
}

impl RocksStore {
    /// Takes the task from whoever has it.
    pub(super) fn open(database: Arc<Database>, task: TaskId) -> Self {
        let claim = Claim::take(task, database.owners.of(task));
        Self::new(database, claim, true)
    }

    /// A look at what a task has stored, which takes it from nobody.
    pub(super) fn look_at(database: Arc<Database>, task: TaskId) -> Self {
        let claim = Claim::look_at(task, database.owners.of(task));
        Self::new(database, claim, false)
    }

    fn new(database: Arc<Database>, claim: Claim, owned: bool) -> Self {
        let held = Held::new(&database.loading);
        let (coming, key) = (RefCell::default(), RefCell::default());
        Self { task: claim.task, database, claim, owned, held, coming, key }
    }

    fn write(&self, batch: WriteBatch) -> Result<()> {
        let _owner = self.claim.write()?;
        self.database.write(batch).map_err(|error| error.in_task(self.task))
    }

    /// Sees to it that everything that was loaded is in the database.
    fn settle(&self) -> Result<()> {
        self.arrive()?;
        let held = self.held.take();
        if held.is_empty() {
            return Ok(());
        }
        match held.byte_len() < FILE_BYTES {
            true => self.write(load::sorted_batch(self.task, held)),
            false => load::take_in(&self.database, &self.claim, held),
        }
    }

    /// Waits for what is on its way.
    fn arrive(&self) -> Result<()> {
        self.coming.take().map_or(Ok(()), Coming::arrive)
    }

    /// Whether something is on its way.
    fn is_coming(&self) -> Result<bool> {
        let mut coming = self.coming.borrow_mut();
        let Some(arrived) = coming.as_ref().map(Coming::arrived) else { return Ok(false) };
        let Some(outcome) = arrived else { return Ok(true) };
        *coming = None;
        outcome.map(|()| false)
    }

    /// How much all stores gather.
    fn load_bytes(&self) -> usize {
        self.database.tuning.memory_bytes / LOAD_PART
    }

    /// Sends changes off, once those before them have arrived.
    fn send_off(&self, held: Gathered) -> Result<()> {
        self.arrive()?;
        if held.byte_len() < FILE_BYTES {
            return self.write(load::sorted_batch(self.task, held));
        }
        *self.coming.borrow_mut() = Some(Loader::send(&self.database, &self.claim, held)?);
        Ok(())
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
        drop(self.claim.own()?);
        if !self.held.push_all(changes) {
            return self.apply(changes);
        }
        // Who does not ask whether there is room waits for it, once as much again has come.
        match self.has_room()? || self.held.is_full(self.load_bytes(), 2) {
            true if self.held.is_full(self.load_bytes(), 1) => self.send_off(self.held.take()),
            _ => Ok(()),
        }
    }

    fn has_room(&self) -> Result<bool> {
        Ok(!self.held.is_full(self.load_bytes(), 1) || !self.is_coming()?)
    }

    fn finish_load(&self) -> Result<bool> {
        if self.is_coming()? {
            return Ok(false);
        }
        let held = self.held.take();
        if held.is_empty() {
            return Ok(true);
        }
        self.send_off(held)?;
        Ok(!self.is_coming()?)
    }

    fn wipe(&self) -> Result<()> {
        // Whatever became of it.
        let _ = self.arrive();
        self.held.take();
        let mut owner = self.claim.own()?;
        self.database.delete(&[self.task]).map_err(|error| error.in_task(self.task))?;
        (owner.stored, owner.lost) = (false, false);
        Ok(())
    }

    fn is_lost(&self) -> bool {
        self.claim.owner().lost
    }
}

impl Drop for RocksStore {
    fn drop(&mut self) {
        // What is on its way would come in behind the back of whoever cleans up. It is lost with its offset, or is there.
        let _ = self.arrive();
        if self.owned
            && let Ok(mut owner) = self.claim.own()
        {
            owner.held = false;
        }
    }
}
