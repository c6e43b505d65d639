//! InitProducerId, AddPartitionsToTxn, AddOffsetsToTxn, TxnOffsetCommit, EndTxn.

use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse,
    EndTxnRequest, EndTxnResponse, InitProducerIdRequest, InitProducerIdResponse, ProducerId,
    TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};

use super::groups::claim;
use super::offsets::committed;
use crate::api::{self, MemberClaim, PartitionResult, ProducerStamp, TopicPartition};
use crate::batch::NO_PRODUCER_ID;
use crate::error::ErrorCode;
use crate::server::exchange::{Exchange, Hangup, by_topic, partitions, topic};
use crate::wire;

/// KIP-588: before these versions clients know a fenced producer as one of a wrong epoch.
const INIT_KNOWS_FENCED: i16 = 4;
const KNOWS_FENCED: i16 = 2;
/// KIP-447: from this version on the member is named on whose behalf offsets are committed.
const WITH_MEMBER: i16 = 3;

fn known(error: ErrorCode, knows_fenced: bool) -> i16 {
    match error {
        ErrorCode::ProducerFenced if !knows_fenced => ErrorCode::InvalidProducerEpoch.code(),
        other => other.code(),
    }
}

pub(super) async fn init_producer_id(
    exchange: &Exchange<'_>,
    request: InitProducerIdRequest,
) -> Result<Option<InitProducerIdResponse>, Hangup> {
    let current = ProducerStamp { id: request.producer_id.0, epoch: request.producer_epoch };
    let asked = api::InitProducerIdRequest {
        transactional_id: request.transactional_id.map(|id| wire::name(&id.0)),
        transaction_timeout_ms: i64::from(request.transaction_timeout_ms),
        current: Some(current).filter(|current| exchange.version >= 3 && current.id != NO_PRODUCER_ID),
    };
    let response: api::InitProducerIdResponse = exchange.ask(asked).await?;
    let told = InitProducerIdResponse::default()
        .with_error_code(known(response.error, exchange.version >= INIT_KNOWS_FENCED))
        .with_producer_id(ProducerId(response.producer.id))
        .with_producer_epoch(response.producer.epoch);
    Ok(Some(told))
}

pub(super) async fn add_partitions_to_txn(
    exchange: &Exchange<'_>,
    request: AddPartitionsToTxnRequest,
) -> Result<Option<AddPartitionsToTxnResponse>, Hangup> {
    let topics = request.v3_and_below_topics.iter();
    let wanted = topics.flat_map(|wanted| partitions(&wanted.name, wanted.partitions.clone()));
    let asked = api::AddPartitionsToTxnRequest {
        transactional_id: wire::name(&request.v3_and_below_transactional_id.0),
        producer: ProducerStamp {
            id: request.v3_and_below_producer_id.0,
            epoch: request.v3_and_below_producer_epoch,
        },
        partitions: wanted.collect(),
    };
    let response: api::AddPartitionsToTxnResponse = exchange.ask(asked).await?;
    let knows_fenced = exchange.version >= KNOWS_FENCED;
    let partition = |result: PartitionResult| {
        AddPartitionsToTxnPartitionResult::default()
            .with_partition_index(result.at.partition)
            .with_partition_error_code(known(result.error, knows_fenced))
    };
    let topics = by_topic(response.partitions, |result| &result.at.topic).into_iter();
    let topics = topics.map(|(name, results)| {
        AddPartitionsToTxnTopicResult::default()
            .with_name(topic(&name))
            .with_results_by_partition(results.into_iter().map(partition).collect())
    });
    let told = AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics.collect());
    Ok(Some(told))
}

pub(super) async fn add_offsets_to_txn(
    exchange: &Exchange<'_>,
    request: AddOffsetsToTxnRequest,
) -> Result<Option<AddOffsetsToTxnResponse>, Hangup> {
    let asked = api::AddOffsetsToTxnRequest {
        transactional_id: wire::name(&request.transactional_id.0),
        producer: ProducerStamp { id: request.producer_id.0, epoch: request.producer_epoch },
        group_id: wire::name(&request.group_id.0),
    };
    let response: api::AddOffsetsToTxnResponse = exchange.ask(asked).await?;
    let code = known(response.error, exchange.version >= KNOWS_FENCED);
    Ok(Some(AddOffsetsToTxnResponse::default().with_error_code(code)))
}

pub(super) async fn txn_offset_commit(
    exchange: &Exchange<'_>,
    request: TxnOffsetCommitRequest,
) -> Result<Option<TxnOffsetCommitResponse>, Hangup> {
    let version = exchange.version;
    let mut offsets = Vec::new();
    for wanted in &request.topics {
        let name = wire::name(&wanted.name.0);
        offsets.extend(wanted.partitions.iter().map(|partition| {
            let epoch = if version >= 2 { partition.committed_leader_epoch } else { -1 };
            let metadata = partition.committed_metadata.as_ref();
            api::OffsetCommitPartition {
                at: TopicPartition { topic: name.clone(), partition: partition.partition_index },
                committed: committed(partition.committed_offset, epoch, metadata),
            }
        }));
    }
    let member = match version >= WITH_MEMBER {
        true => claim(request.generation_id, &request.member_id, request.group_instance_id.as_ref()),
        false => MemberClaim::none(),
    };
    let asked = api::TxnOffsetCommitRequest {
        transactional_id: wire::name(&request.transactional_id.0),
        producer: ProducerStamp { id: request.producer_id.0, epoch: request.producer_epoch },
        group_id: wire::name(&request.group_id.0),
        member,
        offsets,
    };
    let response: api::TxnOffsetCommitResponse = exchange.ask(asked).await?;
    let partition = |result: PartitionResult| {
        TxnOffsetCommitResponsePartition::default()
            .with_partition_index(result.at.partition)
            .with_error_code(result.error.code())
    };
    let topics = by_topic(response.partitions, |result| &result.at.topic).into_iter();
    let topics = topics.map(|(name, results)| {
        TxnOffsetCommitResponseTopic::default()
            .with_name(topic(&name))
            .with_partitions(results.into_iter().map(partition).collect())
    });
    Ok(Some(TxnOffsetCommitResponse::default().with_topics(topics.collect())))
}

pub(super) async fn end_txn(
    exchange: &Exchange<'_>,
    request: EndTxnRequest,
) -> Result<Option<EndTxnResponse>, Hangup> {
    let asked = api::EndTxnRequest {
        transactional_id: wire::name(&request.transactional_id.0),
        producer: ProducerStamp { id: request.producer_id.0, epoch: request.producer_epoch },
        commit: request.committed,
    };
    let response: api::EndTxnResponse = exchange.ask(asked).await?;
    let code = known(response.error, exchange.version >= KNOWS_FENCED);
    Ok(Some(EndTxnResponse::default().with_error_code(code)))
}
