//! What a restore tells about itself: how far it is, and why local state had to go.

use crate::topic::{TaskId, TopicPartition};

/// Why local state was thrown away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rebuild {
    /// The changelog was deleted and made again.
    TopicRecreated,
    /// The local offset lies past the end of the changelog or before its start.
    OffsetOutOfRange,
    /// Deletions that were missed may have been compacted away.
    TooOld,
    /// The stores of the sub-topology are others than when the state was written.
    OtherStores,
    /// What is stored has not the store's form.
    Corrupt,
}

impl Rebuild {
    /// All causes.
    pub const ALL: [Self; 5] =
        [Self::TopicRecreated, Self::OffsetOutOfRange, Self::TooOld, Self::OtherStores, Self::Corrupt];

    /// The cause's name in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TopicRecreated => "topic-recreated",
            Self::OffsetOutOfRange => "offset-out-of-range",
            Self::TooOld => "too-old",
            Self::OtherStores => "other-stores",
            Self::Corrupt => "corrupt",
        }
    }
}

/// How far the restore of one store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreProgress {
    /// The task.
    pub task: TaskId,
    /// The changelog.
    pub changelog: TopicPartition,
    /// Records applied.
    pub records: u64,
    /// Bytes applied.
    pub bytes: u64,
    /// Offsets that are still to be passed; an upper bound of the records to come.
    pub remaining: i64,
    /// Milliseconds since the restore began.
    pub elapsed_ms: i64,
}

impl RestoreProgress {
    /// Records a second so far, 0 where no time has passed.
    #[must_use]
    pub fn rate(&self) -> u64 {
        let elapsed = u64::try_from(self.elapsed_ms).unwrap_or(0);
        (self.records * 1_000).checked_div(elapsed).unwrap_or(0)
    }
}

/// What a step of a restore did.
#[derive(Clone, Debug, Default)]
pub struct Restored {
    /// Tasks that run from now on.
    pub started: Vec<TaskId>,
    /// Progress of the changelogs that were read.
    pub progress: Vec<RestoreProgress>,
    /// Whether state waits to be brought into the byte store.
    pub is_loading: bool,
    /// Tasks that lost their local state, with the cause.
    pub rebuilt: Vec<(TaskId, Rebuild)>,
}
