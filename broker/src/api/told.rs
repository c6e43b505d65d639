//! Told: the errors that an answer tells, wherever they stand in it.

use super::Response;
use crate::error::ErrorCode;

impl Response {
    /// Calls `visit` with each error that the answer tells, for each partition, topic or group that it is about.
    pub fn errors(&self, visit: &mut dyn FnMut(ErrorCode)) {
        let mut one = |error: ErrorCode| {
            if error != ErrorCode::None {
                visit(error);
            }
        };
        match self {
            Self::Error(error) => one(*error),
            Self::Produce(told) => told.partitions.iter().for_each(|found| one(found.error)),
            Self::Fetch(told) => told.partitions.iter().for_each(|found| one(found.error)),
            Self::ListOffsets(told) => told.partitions.iter().for_each(|found| one(found.error)),
            Self::DeleteRecords(told) => told.partitions.iter().for_each(|found| one(found.error)),
            Self::OffsetForLeaderEpoch(told) => told.partitions.iter().for_each(|found| one(found.error)),
            Self::Metadata(told) => told.topics.iter().for_each(|found| one(found.error)),
            Self::CreateTopics(told) => told.topics.iter().for_each(|found| one(found.error)),
            Self::DeleteTopics(told) => told.topics.iter().for_each(|found| one(found.error)),
            Self::CreatePartitions(told) => told.topics.iter().for_each(|found| one(found.error)),
            Self::DescribeConfigs(told) => told.topics.iter().for_each(|found| one(found.error)),
            Self::AlterConfigs(told) => told.topics.iter().for_each(|found| one(found.error)),
            Self::JoinGroup(told) => one(told.error),
            Self::SyncGroup(told) => one(told.error),
            Self::Heartbeat(told) => one(told.error),
            Self::LeaveGroup(told) => {
                one(told.error);
                told.members.iter().copied().for_each(one);
            }
            Self::OffsetCommit(told) => told.partitions.iter().for_each(|found| one(found.error)),
            Self::OffsetFetch(told) => {
                one(told.error);
                told.partitions.iter().for_each(|found| one(found.error));
            }
            Self::OffsetDelete(told) => {
                one(told.error);
                told.partitions.iter().for_each(|found| one(found.error));
            }
            Self::ListGroups(_) => {}
            Self::DescribeGroups(told) => told.groups.iter().for_each(|found| one(found.error)),
            Self::DeleteGroups(told) => told.groups.iter().for_each(|found| one(found.error)),
            Self::ConsumerGroupHeartbeat(told) => one(told.error),
            Self::ConsumerGroupDescribe(told) => told.groups.iter().for_each(|found| one(found.error)),
            Self::InitProducerId(told) => one(told.error),
            Self::AddPartitionsToTxn(told) => told.partitions.iter().for_each(|found| one(found.error)),
            Self::AddOffsetsToTxn(told) => one(told.error),
            Self::TxnOffsetCommit(told) => told.partitions.iter().for_each(|found| one(found.error)),
            Self::EndTxn(told) => one(told.error),
        }
    }
}
