//! Data requests: producing, fetching and finding offsets.

use bytes::Bytes;
use std::sync::Arc;

use super::TopicPartition;
use crate::error::ErrorCode;

/// Appends batches to partitions.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ProduceRequest {
    /// The producer's transactional id, if it has one.
    pub transactional_id: Option<Arc<str>>,
    /// What to append; each partition stands or fails by itself.
    pub partitions: Vec<ProducePartition>,
}

/// A batch for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducePartition {
    /// Where to.
    pub at: TopicPartition,
    /// Exactly one v2 batch. Sole owners of their bytes spare the broker a copy.
    pub batch: Bytes,
}

/// Answers [`ProduceRequest`], in its order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ProduceResponse {
    /// One per partition.
    pub partitions: Vec<ProducedPartition>,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducedPartition {
    /// Where.
    pub at: TopicPartition,
    /// Why it was refused, if it was.
    pub error: ErrorCode,
    /// Offset of its first record (also for a duplicate, which is not appended again); -1 after an error.
    pub base_offset: i64,
    /// The broker's time under `LogAppendTime`, else -1.
    pub log_append_time: i64,
    /// First offset of the log; -1 after an error.
    pub log_start_offset: i64,
    /// The records for whose sake it was refused, in order: the others may be sent again without them. Empty if it was
    /// refused for something else. The first 10,000.
    pub bad_records: Vec<BadRecord>,
}

/// A record that its topic does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadRecord {
    /// Where in its batch, counted from 0.
    pub place: i32,
    /// `InvalidTimestamp`, or `InvalidRecord` without a key in a compacted topic.
    pub error: ErrorCode,
}

/// Which records a reader wants to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Isolation {
    /// All, up to the high watermark.
    #[default]
    ReadUncommitted,
    /// Only what lies below the last stable offset, with the list of aborted transactions.
    ReadCommitted,
}

/// Reads batches from partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRequest {
    /// Which records to see.
    pub isolation: Isolation,
    /// Bytes to return over all partitions; the first batch comes even when it is larger.
    pub max_bytes: usize,
    /// Where to read, in the order in which room is given out.
    pub partitions: Vec<FetchPartition>,
}

/// Where to read in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchPartition {
    /// Which partition.
    pub at: TopicPartition,
    /// First offset wanted; the batch that contains it is returned whole.
    pub offset: i64,
    /// Bytes to return of this partition.
    pub max_bytes: usize,
    /// The leader epoch that the client knows, if it wants to be fenced by it.
    pub current_leader_epoch: Option<i32>,
}

/// Answers [`FetchRequest`], in its order. It is never parked: with no data it is empty.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct FetchResponse {
    /// One per partition.
    pub partitions: Vec<FetchedPartition>,
}

/// What was read of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedPartition {
    /// Which partition.
    pub at: TopicPartition,
    /// Why nothing was read, if it was an error.
    pub error: ErrorCode,
    /// Where the log ends for `read_uncommitted`.
    pub high_watermark: i64,
    /// Where it ends for `read_committed`: the first offset of the oldest open transaction.
    pub last_stable_offset: i64,
    /// Where it starts.
    pub log_start_offset: i64,
    /// Aborted transactions that overlap what was read (`read_committed` only); see
    /// [`crate::batch::CommittedFilter`].
    pub aborted: Vec<AbortedTransaction>,
    /// Whole batches, one a piece, in order of offset.
    pub batches: Vec<Bytes>,
}

/// A transaction whose records are to be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct AbortedTransaction {
    /// Whose.
    pub producer_id: i64,
    /// Offset of its first record in this partition.
    pub first_offset: i64,
}

/// Finds offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOffsetsRequest {
    /// Which records count: it decides what "latest" is.
    pub isolation: Isolation,
    /// What to find.
    pub partitions: Vec<ListOffsetsPartition>,
}

/// What to find in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListOffsetsPartition {
    /// Which partition.
    pub at: TopicPartition,
    /// Which offset.
    pub spec: OffsetSpec,
    /// The leader epoch that the client knows, if it wants to be fenced by it.
    pub current_leader_epoch: Option<i32>,
}

/// Which offset is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetSpec {
    /// The log's start.
    Earliest,
    /// The high watermark, or the last stable offset for `read_committed`.
    Latest,
    /// The record with the largest time stamp.
    MaxTimestamp,
    /// The first record with this time stamp or a later one.
    Timestamp(i64),
}

/// Answers [`ListOffsetsRequest`], in its order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ListOffsetsResponse {
    /// One per partition.
    pub partitions: Vec<ListedOffset>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// Which partition.
    pub at: TopicPartition,
    /// Why there is no answer, if so.
    pub error: ErrorCode,
    /// The offset; -1 when no record has such a time stamp.
    pub offset: i64,
    /// The record's time stamp for searches by time, else -1.
    pub timestamp: i64,
    /// Epoch of the leader that took the record.
    pub leader_epoch: i32,
}

/// Moves partitions' starts forward.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DeleteRecordsRequest {
    /// Where to.
    pub partitions: Vec<DeleteRecordsPartition>,
}

/// The new start of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteRecordsPartition {
    /// Which partition.
    pub at: TopicPartition,
    /// Records below go; -1 means all below the high watermark.
    pub before_offset: i64,
}

/// Answers [`DeleteRecordsRequest`], in its order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DeleteRecordsResponse {
    /// One per partition.
    pub partitions: Vec<TrimmedPartition>,
}

/// The start of one partition after deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrimmedPartition {
    /// Which partition.
    pub at: TopicPartition,
    /// Why nothing was deleted, if so.
    pub error: ErrorCode,
    /// Where the log starts now; -1 after an error.
    pub low_watermark: i64,
}

/// Asks where leader epochs ended, so that a client finds out whether its log was cut.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OffsetForLeaderEpochRequest {
    /// What to look up.
    pub partitions: Vec<EpochQuery>,
}

/// One epoch of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochQuery {
    /// Which partition.
    pub at: TopicPartition,
    /// The leader epoch that the client knows, if it wants to be fenced by it.
    pub current_leader_epoch: Option<i32>,
    /// The epoch to look up.
    pub leader_epoch: i32,
}

/// Answers [`OffsetForLeaderEpochRequest`], in its order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OffsetForLeaderEpochResponse {
    /// One per partition.
    pub partitions: Vec<EpochEnd>,
}

/// Where an epoch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// Which partition.
    pub at: TopicPartition,
    /// Why there is no answer, if so.
    pub error: ErrorCode,
    /// The largest epoch not above the one asked for; -1 if there is none.
    pub leader_epoch: i32,
    /// The offset after its last record; -1 if there is none.
    pub end_offset: i64,
}
