//! Verdict: what an error code means for a producer, request by request, as librdkafka 2.12 classifies them.
//!
//! `PRODUCER_FENCED` stands for `INVALID_PRODUCER_EPOCH` everywhere: brokers answer the one or the other by the
//! version of the request, and librdkafka asks with the older ones.

use headwater_broker::ErrorCode;

use crate::kafka::Fault;

/// Which request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    InitProducerId,
    AddPartitions,
    Produce,
    AddOffsets,
    TxnOffsetCommit,
    EndTxn,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Ask again.
    Repeat,
    /// Abort the transaction.
    Abort,
    /// Abort it, and get a new epoch (KIP-360): the sequence numbers cannot be trusted any more.
    AbortAndBump,
    /// Abort it; the group has moved on.
    Stale,
    /// The producer is dead.
    Dead,
}

impl Verdict {
    pub(super) fn fault(self) -> Fault {
        match self {
            Self::Repeat => Fault::Retriable,
            Self::Abort | Self::AbortAndBump => Fault::Abortable,
            Self::Stale => Fault::Stale,
            Self::Dead => Fault::Fatal,
        }
    }
}

/// The verdict over `code` as the answer to `asked`, for a transactional producer.
pub(super) fn verdict(asked: Asked, code: ErrorCode) -> Verdict {
    match code {
        ErrorCode::InvalidProducerEpoch
        | ErrorCode::ProducerFenced
        | ErrorCode::ClusterAuthorizationFailed
        | ErrorCode::TransactionalIdAuthorizationFailed => return Verdict::Dead,
        ErrorCode::NotCoordinator
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::NetworkException
        | ErrorCode::RequestTimedOut => return Verdict::Repeat,
        _ => {}
    }
    match (asked, code) {
        (Asked::TxnOffsetCommit, ErrorCode::ConcurrentTransactions) => Verdict::Abort,
        (_, ErrorCode::ConcurrentTransactions)
        | (Asked::AddPartitions, ErrorCode::UnknownTopicOrPartition) => Verdict::Repeat,
        (Asked::InitProducerId, _) => Verdict::Dead,
        (Asked::Produce, ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId)
        | (Asked::Produce | Asked::AddPartitions | Asked::EndTxn, ErrorCode::InvalidProducerIdMapping)
        | (Asked::AddPartitions | Asked::EndTxn, ErrorCode::UnknownProducerId) => Verdict::AbortAndBump,
        (Asked::Produce, code) if code.is_retriable() => Verdict::Repeat,
        (Asked::Produce, _) => Verdict::Abort,
        (_, ErrorCode::InvalidTxnState) | (Asked::TxnOffsetCommit, ErrorCode::InvalidProducerIdMapping) => {
            Verdict::Dead
        }
        (
            Asked::TxnOffsetCommit,
            ErrorCode::IllegalGeneration | ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId,
        ) => Verdict::Stale,
        _ => Verdict::Abort,
    }
}

#[cfg(test)]
mod tests {
    use super::{Asked, Verdict, verdict};
    use headwater_broker::ErrorCode as Code;

    /// Some lines of the table in librdkafka's INTRODUCTION and source.
    #[test]
    fn table() {
        let lines = [
            (Asked::InitProducerId, Code::ConcurrentTransactions, Verdict::Repeat),
            (Asked::InitProducerId, Code::InvalidTransactionTimeout, Verdict::Dead),
            (Asked::AddPartitions, Code::UnknownTopicOrPartition, Verdict::Repeat),
            (Asked::AddPartitions, Code::TopicAuthorizationFailed, Verdict::Abort),
            (Asked::AddPartitions, Code::InvalidProducerIdMapping, Verdict::AbortAndBump),
            (Asked::AddPartitions, Code::InvalidTxnState, Verdict::Dead),
            (Asked::AddPartitions, Code::ProducerFenced, Verdict::Dead),
            (Asked::Produce, Code::NotLeaderOrFollower, Verdict::Repeat),
            (Asked::Produce, Code::OutOfOrderSequenceNumber, Verdict::AbortAndBump),
            (Asked::Produce, Code::MessageTooLarge, Verdict::Abort),
            (Asked::Produce, Code::InvalidTxnState, Verdict::Abort),
            (Asked::Produce, Code::InvalidProducerEpoch, Verdict::Dead),
            (Asked::AddOffsets, Code::GroupAuthorizationFailed, Verdict::Abort),
            (Asked::AddOffsets, Code::InvalidTxnState, Verdict::Dead),
            (Asked::TxnOffsetCommit, Code::RequestTimedOut, Verdict::Repeat),
            (Asked::TxnOffsetCommit, Code::IllegalGeneration, Verdict::Stale),
            (Asked::TxnOffsetCommit, Code::UnknownMemberId, Verdict::Stale),
            (Asked::TxnOffsetCommit, Code::FencedInstanceId, Verdict::Stale),
            (Asked::TxnOffsetCommit, Code::InvalidProducerIdMapping, Verdict::Dead),
            (Asked::EndTxn, Code::ConcurrentTransactions, Verdict::Repeat),
            (Asked::EndTxn, Code::UnknownProducerId, Verdict::AbortAndBump),
            (Asked::EndTxn, Code::InvalidTxnState, Verdict::Dead),
        ];
        for (asked, code, expected) in lines {
            assert_eq!(verdict(asked, code), expected, "{asked:?} {code}");
        }
    }
}
