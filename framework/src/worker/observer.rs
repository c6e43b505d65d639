//! Who is told what a worker does.

use super::WorkerState;
use crate::commit::CommitRecord;
use crate::task::{Rebuild, RestoreProgress};
use crate::topic::{TaskId, TopicPartition};

/// Told what a worker does, on its thread: it must not wait. Every method may be left out.
pub trait Observer: Send + Sync {
    /// A worker went from one state to another.
    fn state(&self, worker: usize, from: WorkerState, to: WorkerState) {
        let _ = (worker, from, to);
    }
    /// A restore made progress.
    fn restored(&self, worker: usize, progress: &RestoreProgress) {
        let _ = (worker, progress);
    }
    /// A task lost its local state.
    fn rebuilt(&self, worker: usize, task: TaskId, cause: Rebuild) {
        let _ = (worker, task, cause);
    }
    /// Committed state was handed to the byte stores, and is on its way to disk: changelogs, and the offsets up to which
    /// they are in it.
    fn flushed(&self, worker: usize, offsets: &[(TopicPartition, i64)]) {
        let _ = (worker, offsets);
    }
    /// A commit was acknowledged.
    fn committed(&self, worker: usize, commit: &CommitRecord) {
        let _ = (worker, commit);
    }
}
