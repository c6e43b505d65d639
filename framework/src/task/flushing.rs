//! What a task hands to its byte store: committed changes, and a checkpoint that says how far they go.
//!
//! 1. Before the first change there is a checkpoint: no crash leaves data that nobody knows the origin and the age of.
//! 2. A checkpoint follows the changes that it speaks of. A crash in between leaves changes that are ahead of it, which the
//!    changelog repeats.
//! 3. A task without changes has its checkpoint renewed now and then, so that state that is complete does not look old.

use super::{Task, checkpoint};
use crate::error::Result;
use crate::state::{Batches, Changes};

/// A checkpoint that is so old is renewed.
const CHECKPOINT_EVERY_MS: i64 = 600_000;

impl Task {
    /// Whether a flush has to say anything: something committed waits for it, or what the byte store knows is old. State that is
    /// at hand and complete must not look as if deletions could have been missed.
    #[must_use]
    pub fn is_to_flush(&self, wall_ms: i64) -> bool {
        let is_old = wall_ms.saturating_sub(self.checkpoint_ms) >= CHECKPOINT_EVERY_MS;
        self.unflushed || is_old && self.is_running() && !self.stores.is_empty()
    }

    /// Brings the byte store to the last commit by `batches`, the last of them with offsets and times.
    ///
    /// # Errors
    /// If a value cannot be serialised, and those of the batches.
    pub fn unflushed(&mut self, now_ms: i64, batches: &mut Batches<'_>) -> Result<()> {
        for store in &mut self.stores {
            store.store.borrow_mut().unflushed(batches)?;
        }
        let changes = &mut batches.changes;
        self.put_checkpoint(changes, now_ms);
        for (name, cell) in self.assembly.times() {
            checkpoint::put_number(changes, "time", name, cell.get());
        }
        for lane in &self.lanes {
            let topic = lane.partition().topic.as_ref();
            checkpoint::put_number(changes, "partition", topic, lane.partition_time());
            checkpoint::put_number(changes, "input", topic, lane.committed());
        }
        self.checkpoint_ms = now_ms;
        batches.end()
    }

    /// Adds what the data is, how far it goes, and when nothing was missing.
    fn put_checkpoint(&self, changes: &mut Changes, wall_ms: i64) {
        self.stores.iter().for_each(|store| store.put_offset(changes));
        checkpoint::put_header(changes, &self.layout, self.fingerprint, wall_ms);
    }

    /// Writes that the byte store has everything up to its stores' offsets, as of `wall_ms`.
    pub(super) fn apply_checkpoint(&mut self, wall_ms: i64) -> Result<()> {
        if self.stores.is_empty() {
            return Ok(());
        }
        let mut changes = Changes::default();
        self.put_checkpoint(&mut changes, wall_ms);
        self.checkpoint_ms = wall_ms;
        self.apply(&changes)
    }

    /// Applies a batch to the byte store.
    ///
    /// # Errors
    /// If that fails; then the task's state must not be used any more.
    pub fn apply(&self, changes: &Changes) -> Result<()> {
        self.assembly.bytes().apply(changes).map_err(|error| error.in_task(self.id))
    }

    /// As [`Task::apply`], for what a restore brings.
    ///
    /// # Errors
    /// As [`Task::apply`].
    pub fn load(&self, changes: &Changes) -> Result<()> {
        self.assembly.bytes().load(changes).map_err(|error| error.in_task(self.id))
    }

    /// As [`ByteStore::has_room`](crate::state::ByteStore::has_room).
    ///
    /// # Errors
    /// As there.
    pub fn has_room(&self) -> Result<bool> {
        self.assembly.bytes().has_room().map_err(|error| error.in_task(self.id))
    }

    /// As [`ByteStore::finish_load`](crate::state::ByteStore::finish_load).
    ///
    /// # Errors
    /// As there.
    pub fn finish_load(&self) -> Result<bool> {
        self.assembly.bytes().finish_load().map_err(|error| error.in_task(self.id))
    }

    /// What [`Task::unflushed`] told has been applied.
    pub fn flushed(&mut self) {
        self.unflushed = false;
        for store in &mut self.stores {
            store.store.borrow_mut().flushed();
        }
    }

    /// Drops clean entries that were not used for `periods` flushes.
    pub fn evict(&mut self, periods: u32) {
        for store in &mut self.stores {
            store.store.borrow_mut().evict(periods);
        }
    }
}
