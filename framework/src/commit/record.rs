//! What a commit says about itself.

use crate::telemetry::Counters;
use crate::topic::{TaskId, TopicPartition};

/// The records of one input partition that a commit consumed: `from <= offset < to`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The input partition.
    pub partition: TopicPartition,
    /// First offset.
    pub from: i64,
    /// The offset behind the last.
    pub to: i64,
}

/// What a commit says about itself. The intervals of a partition, over all members of a group, are disjoint and without
/// gaps: that is what exactly once means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRecord {
    /// Number of the commit since the worker was made.
    pub number: u64,
    /// Generation of the group.
    pub generation: i32,
    /// The tasks whose work it carries, with their counts.
    pub tasks: Vec<(TaskId, Counters)>,
    /// What it consumed.
    pub intervals: Vec<Interval>,
    /// When it was acknowledged.
    pub at_ms: i64,
    /// How long it took, in microseconds.
    pub took_us: u64,
}
