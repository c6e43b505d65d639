//! Transaction requests.

use std::sync::Arc;

use super::{MemberClaim, OffsetCommitPartition, PartitionResult, TopicPartition};
use crate::error::ErrorCode;

/// A producer and its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerStamp {
    /// Its id.
    pub id: i64,
    /// Its epoch: a higher one fences it.
    pub epoch: i16,
}

/// Gets a producer id; with a transactional id it also fences the last producer of that name and ends its
/// transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitProducerIdRequest {
    /// The transactional id, if any.
    pub transactional_id: Option<Arc<str>>,
    /// `transaction.timeout.ms`.
    pub transaction_timeout_ms: i64,
    /// KIP-360: the producer that wants a new epoch, to be fenced if it is not the current one.
    pub current: Option<ProducerStamp>,
}

/// Answers [`InitProducerIdRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InitProducerIdResponse {
    /// Why there is no producer id, if so.
    pub error: ErrorCode,
    /// The producer; -1 and -1 after an error.
    pub producer: ProducerStamp,
}

/// Adds partitions to the ongoing transaction, or starts one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddPartitionsToTxnRequest {
    /// Whose transaction.
    pub transactional_id: Arc<str>,
    /// Who asks.
    pub producer: ProducerStamp,
    /// What to add: all or nothing.
    pub partitions: Vec<TopicPartition>,
}

/// Answers [`AddPartitionsToTxnRequest`], in its order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AddPartitionsToTxnResponse {
    /// One per partition.
    pub partitions: Vec<PartitionResult>,
}

/// Adds a group's offsets to the ongoing transaction, or starts one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddOffsetsToTxnRequest {
    /// Whose transaction.
    pub transactional_id: Arc<str>,
    /// Who asks.
    pub producer: ProducerStamp,
    /// Which group.
    pub group_id: Arc<str>,
}

/// Answers [`AddOffsetsToTxnRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddOffsetsToTxnResponse {
    /// Why they were not added, if so.
    pub error: ErrorCode,
}

/// Commits offsets as part of the ongoing transaction: they count when it is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TxnOffsetCommitRequest {
    /// Whose transaction.
    pub transactional_id: Arc<str>,
    /// Who asks.
    pub producer: ProducerStamp,
    /// Which group.
    pub group_id: Arc<str>,
    /// The member on whose behalf (KIP-447). No claim at all is not checked, as in Kafka.
    pub member: MemberClaim,
    /// What to commit.
    pub offsets: Vec<OffsetCommitPartition>,
}

/// Answers [`TxnOffsetCommitRequest`], in its order.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TxnOffsetCommitResponse {
    /// One per partition.
    pub partitions: Vec<PartitionResult>,
}

/// Ends the ongoing transaction. May be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndTxnRequest {
    /// Whose transaction.
    pub transactional_id: Arc<str>,
    /// Who asks.
    pub producer: ProducerStamp,
    /// Commit, or abort.
    pub commit: bool,
}

/// Answers [`EndTxnRequest`]. Without an error the decision is made; markers may still be on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndTxnResponse {
    /// Why it was not ended, if so.
    pub error: ErrorCode,
}
