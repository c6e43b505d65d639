//! Reading: how far the restore of one store has read its changelog.

use super::RestoreProgress;
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
