//! The byte store: ordered bytes on the far side of the overlay. A port; [`MemoryBackend`](super::MemoryBackend) is its in-memory side,
//! `RocksBackend` (feature `rocksdb`) the one on disk.
//!
//! 1. A byte store holds committed data only, and with it the changelog offsets up to which it is complete.
//! 2. [`ByteStore::apply`] is atomic: a crash shows all of a batch or nothing of it. What survives a crash of the process
//!    is what was applied before [`StateBackend::persist`], at least.
//! 3. One backend serves a process; a task sees its own keys only, split into spaces (one per store, [`META`] for the task).
//! 4. A task's store belongs to whoever opened it last. Another worker of the process may not have heard yet that it has
//!    lost the task: what it still wants to write is older, and is refused.

use std::fmt;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Changes;
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
    /// Whether [`ByteStore::load`] would take more without waiting for what it was given before.
    ///
    /// # Errors
    /// What went wrong with that.
    fn has_room(&self) -> Result<bool> {
        Ok(true)
    }
    /// Brings what [`ByteStore::load`] holds back to where it belongs. Returns whether it is there; it is to be called again
    /// until it is.
    ///
    /// # Errors
    /// As [`ByteStore::has_room`].
    fn finish_load(&self) -> Result<bool> {
        Ok(true)
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

/// What whoever lost a task to another worker of the process is told when he writes.
pub(super) fn taken_over(task: TaskId) -> Error {
    let message = "another worker of this process has taken the task over";
    Error::new(Reaction::Rejoin, message).in_task(task)
}

/// A poisoned lock means that a thread panicked in between; what is behind those of a backend is whole at any time.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
