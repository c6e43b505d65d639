//! Levels: what a worker holds and how far it is behind, as of now. What has happened since it began are its
//! [`Figures`](super::Figures).

use std::collections::BTreeMap;

use super::Worker;
use crate::consume::Lane;
use crate::task::{RestoreProgress, Task};
use crate::topic::{TaskId, TopicPartition};

/// How far an input partition is processed. Offsets count what is no record, too: markers of transactions, and what
/// compaction has taken. So the difference of two is an upper bound of the records between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputLag {
    /// The partition's end for a reader of committed records: the last stable offset, behind which transactions may be open.
    /// On Kafka it is what the last fetch told, some seconds ago at most. `None`: nothing is known yet.
    pub end: Option<i64>,
    /// The offset that is processed next.
    pub next: i64,
    /// The offset up to which everything is committed.
    pub committed: i64,
}

impl InputLag {
    /// How many records are still to be processed, at most: from `next` to the end.
    ///
    /// ```
    /// use headwater::worker::InputLag;
    /// assert_eq!(InputLag { end: Some(12), next: 10, committed: 8 }.records(), Some(2));
    /// ```
    #[must_use]
    pub fn records(&self) -> Option<i64> {
        self.end.map(|end| (end - self.next).max(0))
    }
}

/// The levels of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskLevels {
    /// Whether it processes records; else it is being restored.
    pub runs: bool,
    /// Its input partitions, once it runs.
    pub inputs: BTreeMap<TopicPartition, InputLag>,
    /// Records that were fetched and wait to be processed.
    pub waiting_records: usize,
    /// Bytes of the batches in which they lie.
    pub waiting_bytes: usize,
    /// Estimated bytes in memory of each store; what is in the byte store only does not count.
    pub stores: BTreeMap<String, usize>,
    /// Bytes on their way to changelogs.
    pub changelog_bytes: usize,
}

impl TaskLevels {
    fn of(task: &Task, end: impl Fn(&Lane) -> Option<i64>) -> Self {
        let lag = |lane: &Lane| {
            let known = InputLag { end: end(lane), next: lane.next_offset(), committed: lane.committed() };
            (lane.partition().clone(), known)
        };
        let stores = task.stores().iter().map(|logged| {
            let store = logged.store.borrow();
            (store.name().to_owned(), store.memory_bytes())
        });
        Self {
            runs: task.is_running(),
            inputs: task.lanes().iter().filter(|_| task.is_running()).map(lag).collect(),
            waiting_records: task.lanes().iter().map(Lane::buffered).sum(),
            waiting_bytes: task.lanes().iter().map(Lane::byte_len).sum(),
            stores: stores.collect(),
            changelog_bytes: task.stores().iter().map(|logged| logged.changelog.byte_len()).sum(),
        }
    }
}

/// What a worker, or several, hold and how far they are behind.
///
/// What `memory.max` counts are the bytes of tasks and output, and what the state backend may take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Levels {
    /// The tasks.
    pub tasks: BTreeMap<TaskId, TaskLevels>,
    /// The changelogs that are being read, with what remains of each; Kafka Streams' `allLocalStorePartitionLags`.
    pub restores: Vec<RestoreProgress>,
    /// Bytes of results that are not acknowledged yet.
    pub output_bytes: usize,
}

impl Levels {
    /// Adds the levels of another worker. No two have the same task but for a moment, as it moves.
    pub fn add(&mut self, other: &Self) {
        self.tasks.extend(other.tasks.iter().map(|(task, levels)| (*task, levels.clone())));
        self.restores.extend(other.restores.iter().cloned());
        self.output_bytes += other.output_bytes;
    }
}

impl Worker {
    /// What the worker holds and how far it is behind, as of now. It asks nobody, and takes a while: not for every step.
    #[must_use]
    pub fn levels(&self) -> Levels {
        let end = |lane: &Lane| self.consumer.end(lane.partition());
        Levels {
            tasks: self.tasks.iter().map(|(id, task)| (*id, TaskLevels::of(task, end))).collect(),
            restores: self.restore.as_ref().map(|restore| restore.progress()).unwrap_or_default(),
            output_bytes: self.outbox.bytes() + self.sender.pending_bytes(),
        }
    }
}
