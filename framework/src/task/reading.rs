//! Reading: how far the restore of one store has read its changelog.

use super::{RestoreProgress, Task, checkpoint};
use crate::error::{Reaction, Result};
use crate::kafka::Fetched;
use crate::state::Changes;
use crate::topic::{TaskId, TopicPartition};

/// A changelog that is being read.
pub(super) struct Reading {
    pub(super) task: TaskId,
    /// The store's number among those of its task.
    pub(super) store: usize,
    pub(super) partition: TopicPartition,
    pub(super) position: i64,
    pub(super) target: i64,
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl Reading {
    /// Brings what was fetched into the byte store of its task, with the offset behind it, and that up to `wall_ms` it has missed
    /// nothing. `changes` is memory for that.
    pub(super) fn take(
        &mut self,
        fetched: &Fetched,
        task: &mut Task,
        changes: &mut Changes,
        wall_ms: i64,
    ) -> Result<()> {
        changes.clear();
        let store = &mut task.stores[self.store];
        for record in &fetched.records {
            let restored = store.store.borrow_mut().restore(&record, changes);
            restored
                .map_err(|error| error.at_record(&self.partition, record.offset).reacting(Reaction::Stop))?;
        }
        self.position = fetched.position;
        self.records += fetched.records.len() as u64;
        self.bytes += fetched.records.byte_len() as u64;
        store.offset = self.position;
        store.put_offset(changes);
        checkpoint::put_header(changes, &task.layout, task.fingerprint, wall_ms);
        task.load(changes)
    }

    pub(super) fn progress(&self, elapsed_ms: i64) -> RestoreProgress {
        RestoreProgress {
            task: self.task,
            changelog: self.partition.clone(),
            records: self.records,
            bytes: self.bytes,
            remaining: (self.target - self.position).max(0),
            elapsed_ms,
        }
    }
}
