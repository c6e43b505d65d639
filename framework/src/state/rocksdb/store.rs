//! The byte store of one task: its range of keys of the database.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use rocksdb::{ReadOptions, WriteBatch};

use super::database::Database;
use super::loader::{Coming, Loader};
use super::owners::Claim;
use super::{keys, load};
use crate::error::{Error, Reaction, Result};
use crate::state::gathered::{Gathered, Held};
use crate::state::{ByteStore, Changes, KeyRange, Space, Visit};
use crate::topic::TaskId;

/// Changes of a restore are gathered until they take such a part of the memory, all stores together, while as many are on their
/// way into the database: the more at once, the fewer files there are to be merged, which costs as much as all else of a
/// restore. (What is written otherwise has little memory then.)
const LOAD_PART: usize = 8;

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
    /// Whether some of them are lost.
    broken: Cell<bool>,
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
        let (coming, broken, key) = (RefCell::default(), Cell::default(), RefCell::default());
        Self { task: claim.task, database, claim, owned, held, coming, broken, key }
    }

    fn write(&self, batch: WriteBatch) -> Result<()> {
        let _owner = self.claim.write()?;
        self.database.write(batch).map_err(|error| error.in_task(self.task))
    }

    /// Sees to it that everything that was loaded is in the database.
    fn settle(&self) -> Result<()> {
        self.arrive()?;
        let held = self.held.take();
        if held.is_empty() { Ok(()) } else { self.note(load::take_in(&self.database, &self.claim, held)) }
    }

    /// Waits for what is on its way.
    fn arrive(&self) -> Result<()> {
        self.check()?;
        self.coming.take().map_or(Ok(()), |coming| self.note(coming.arrive()))
    }

    /// Whether something is on its way.
    fn is_coming(&self) -> Result<bool> {
        self.check()?;
        let arrived = self.coming.borrow().as_ref().map(Coming::arrived);
        match arrived {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(outcome)) => {
                self.coming.take();
                self.note(outcome).map(|()| false)
            }
        }
    }

    /// Sends changes off, once those before them have arrived.
    fn send_off(&self, held: Gathered) -> Result<()> {
        self.arrive()?;
        let coming = Loader::send(&self.database, &self.claim, held);
        *self.coming.borrow_mut() = Some(self.note(coming)?);
        Ok(())
    }

    /// What comes behind changes that were lost must not be stored: nobody would know of the gap.
    fn note<T>(&self, outcome: Result<T>) -> Result<T> {
        if outcome.is_err() {
            self.held.take();
            self.broken.set(true);
        }
        outcome
    }

    fn check(&self) -> Result<()> {
        if !self.broken.get() {
            return Ok(());
        }
        drop(self.claim.own()?);
        Err(self.claim.failed("what a restore has brought could not be stored"))
    }

    /// Lets go of what was loaded and is not in the database; what was wrong with it is only said.
    fn let_go(&self) {
        self.held.take();
        let outcome = self.coming.take().map_or(Ok(()), Coming::call_off);
        if let Err(error) = outcome
            && error.reaction() != Reaction::Rejoin
        {
            tracing::warn!(%error, "what a restore has brought is lost, and comes again");
        }
    }

    /// How much all stores gather.
    fn load_bytes(&self) -> usize {
        self.database.tuning.memory_bytes / LOAD_PART
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
        self.claim.look()?;
        self.check()?;
        if !self.held.push_all(changes) {
            return self.apply(changes);
        }
        let is_full = |times| self.held.is_full(self.load_bytes(), times);
        // Who does not ask whether there is room waits for it, once as much again has come.
        let is_to_go = is_full(1) && (!self.is_coming()? || is_full(2));
        if is_to_go { self.send_off(self.held.take()) } else { Ok(()) }
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
        Ok(false)
    }

    fn wipe(&self) -> Result<()> {
        self.let_go();
        self.broken.set(false);
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
        self.let_go();
        if self.owned
            && let Ok(mut owner) = self.claim.own()
        {
            owner.held = false;
        }
    }
}
