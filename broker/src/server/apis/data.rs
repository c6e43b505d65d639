//! Produce, ListOffsets, DeleteRecords, OffsetForLeaderEpoch.

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsTopicResult,
};
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderTopicResult,
};
use kafka_protocol::messages::produce_response::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, TopicProduceResponse,
};
use kafka_protocol::messages::{
    DeleteRecordsRequest, DeleteRecordsResponse, ListOffsetsRequest, ListOffsetsResponse,
    OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, ProduceRequest, ProduceResponse,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::api::{self, Isolation, OffsetSpec, ProducePartition, ProducedPartition, TopicPartition};
use crate::batch::{BatchHeader, Compression};
use crate::error::ErrorCode;
use crate::server::exchange::{Exchange, Hangup, by_topic, topic};
use crate::wire;

/// From this version on topics are known by their ids.
const PRODUCE_BY_ID: i16 = 13;
/// From this version on producers are told which records of a batch are refused.
const RECORD_ERRORS: i16 = 8;

/// Kafka's numbers for offsets that are not found by a time.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// The earliest on this broker's disk: all is there.
const EARLIEST_LOCAL: i64 = -4;
/// The last in remote storage, of which there is none.
const LATEST_TIERED: i64 = -5;

pub(super) fn isolation(level: i8) -> Isolation {
    if level == 1 { Isolation::ReadCommitted } else { Isolation::ReadUncommitted }
}

/// A leader epoch, unless it is unknown.
pub(super) fn epoch(epoch: i32) -> Option<i32> {
    Some(epoch).filter(|epoch| *epoch >= 0)
}

pub(super) async fn produce(
    exchange: &Exchange<'_>,
    request: ProduceRequest,
) -> Result<Option<ProduceResponse>, Hangup> {
    let acks = request.acks;
    let by_id = exchange.version >= PRODUCE_BY_ID;
    let mut ids = Vec::new();
    let mut partitions = Vec::new();
    for data in request.topic_data {
        let name = if by_id { exchange.name_of(data.topic_id) } else { wire::name(&data.name.0) };
        for partition in data.partition_data {
            ids.push(data.topic_id);
            let at = TopicPartition { topic: name.clone(), partition: partition.index };
            partitions.push(ProducePartition { at, batch: partition.records.unwrap_or_default() });
        }
    }
    let transactional_id = request.transactional_id.map(|id| wire::name(&id.0));
    let mut produced = Vec::with_capacity(partitions.len());
    let refused = (!(-1..=1).contains(&acks)).then(|| std::mem::take(&mut partitions));
    produced.extend(refused.into_iter().flatten().map(unacceptable));
    for partitions in portions(partitions, is_compressed) {
        if !produced.is_empty() {
            tokio::task::yield_now().await;
        }
        let transactional_id = transactional_id.clone();
        let asked = api::ProduceRequest { transactional_id, partitions };
        let response: api::ProduceResponse = exchange.ask(asked).await?;
        produced.extend(response.partitions);
    }
    if acks == 0 {
        // KIP-98: the client learns of a refusal by the end of its connection.
        let refused = produced.iter().find(|produced| produced.error != ErrorCode::None);
        return refused.map_or(Ok(None), |produced| Err(Hangup::Failed(produced.error)));
    }
    let answers = produced.into_iter().zip(ids);
    let topics = by_topic(answers, |(produced, _)| &produced.at.topic).into_iter();
    let responses = topics.map(|(name, answers)| produced_topic(exchange.version, &name, answers));
    Ok(Some(ProduceResponse::default().with_responses(responses.collect())))
}

/// What is answered to an `acks` that there is not.
fn unacceptable(partition: ProducePartition) -> ProducedPartition {
    ProducedPartition {
        at: partition.at,
        error: ErrorCode::InvalidRequiredAcks,
        base_offset: -1,
        log_append_time: -1,
        log_start_offset: -1,
        bad_records: Vec::new(),
    }
}

/// What is done at a time. A batch that is compressed may be a thousand times as long when it is looked into: others come
/// in between.
fn portions<T>(all: Vec<T>, takes_long: impl Fn(&T) -> bool) -> Vec<Vec<T>> {
    match all.iter().any(takes_long) {
        true => all.into_iter().map(|one| vec![one]).collect(),
        false => vec![all],
    }
}

fn is_compressed(partition: &ProducePartition) -> bool {
    BatchHeader::peek(&partition.batch).is_ok_and(|header| header.compression() != Compression::None)
}

/// Looks into batches.
fn is_by_time(wanted: &api::ListOffsetsPartition) -> bool {
    matches!(wanted.spec, OffsetSpec::Timestamp(_) | OffsetSpec::MaxTimestamp)
}

fn produced_topic(
    version: i16,
    name: &Arc<str>,
    answers: Vec<(ProducedPartition, Uuid)>,
) -> TopicProduceResponse {
    let mut response = TopicProduceResponse::default();
    if version >= PRODUCE_BY_ID {
        response.topic_id = answers.first().map_or(Uuid::nil(), |(_, id)| *id);
    } else {
        response.name = topic(name);
    }
    let partition = |(produced, _): (ProducedPartition, Uuid)| {
        let mut response = PartitionProduceResponse::default()
            .with_index(produced.at.partition)
            .with_error_code(known_by_id(produced.error, version >= PRODUCE_BY_ID).code())
            .with_base_offset(produced.base_offset)
            .with_log_append_time_ms(produced.log_append_time);
        if version >= 5 {
            response.log_start_offset = produced.log_start_offset;
        }
        if version >= RECORD_ERRORS && !produced.bad_records.is_empty() {
            let told = produced.bad_records.iter().map(|bad| {
                let why = StrBytes::from_static_str(why_bad(bad.error));
                BatchIndexAndErrorMessage::default()
                    .with_batch_index(bad.place)
                    .with_batch_index_error_message(Some(why))
            });
            response.record_errors = told.collect();
            response.error_message = Some(StrBytes::from_static_str(why_bad(produced.error)));
        }
        response
    };
    response.partition_responses = answers.into_iter().map(partition).collect();
    response
}

/// What clients show to their users.
fn why_bad(error: ErrorCode) -> &'static str {
    match error {
        ErrorCode::InvalidTimestamp => {
            "a time stamp lies outside of what the topic takes: look at its message.timestamp.before.max.ms and \
             message.timestamp.after.max.ms"
        }
        _ => "a compacted topic takes no record without a key",
    }
}

/// Whoever knows topics by their ids is told of an id that is not known.
pub(super) fn known_by_id(error: ErrorCode, by_id: bool) -> ErrorCode {
    match error {
        ErrorCode::UnknownTopicOrPartition if by_id => ErrorCode::UnknownTopicId,
        other => other,
    }
}

pub(super) async fn list_offsets(
    exchange: &Exchange<'_>,
    request: ListOffsetsRequest,
) -> Result<Option<ListOffsetsResponse>, Hangup> {
    let mut partitions = Vec::new();
    let mut tiered = Vec::new();
    let mut seen = BTreeSet::new();
    for wanted in &request.topics {
        let name = wire::name(&wanted.name.0);
        for partition in &wanted.partitions {
            // A time is looked for in batches, which may have to be unpacked.
            if !seen.insert((name.clone(), partition.partition_index)) {
                continue;
            }
            let spec = match partition.timestamp {
                LATEST => OffsetSpec::Latest,
                EARLIEST | EARLIEST_LOCAL | LATEST_TIERED => OffsetSpec::Earliest,
                MAX_TIMESTAMP => OffsetSpec::MaxTimestamp,
                time => OffsetSpec::Timestamp(time),
            };
            tiered.push(partition.timestamp == LATEST_TIERED);
            partitions.push(api::ListOffsetsPartition {
                at: TopicPartition { topic: name.clone(), partition: partition.partition_index },
                spec,
                current_leader_epoch: epoch(partition.current_leader_epoch),
            });
        }
    }
    let mut found = Vec::with_capacity(partitions.len());
    for partitions in portions(partitions, is_by_time) {
        if !found.is_empty() {
            tokio::task::yield_now().await;
        }
        let asked = api::ListOffsetsRequest { isolation: isolation(request.isolation_level), partitions };
        let response: api::ListOffsetsResponse = exchange.ask(asked).await?;
        found.extend(response.partitions);
    }
    let version = exchange.version;
    let partition = |(listed, tiered): (api::ListedOffset, bool)| {
        let mut response = ListOffsetsPartitionResponse::default()
            .with_partition_index(listed.at.partition)
            .with_error_code(listed.error.code())
            .with_timestamp(listed.timestamp)
            .with_offset(if tiered { -1 } else { listed.offset });
        if version >= 4 {
            response.leader_epoch = if tiered { -1 } else { listed.leader_epoch };
        }
        response
    };
    let answers = found.into_iter().zip(tiered);
    let topics = by_topic(answers, |(listed, _)| &listed.at.topic).into_iter().map(|(name, answers)| {
        ListOffsetsTopicResponse::default()
            .with_name(topic(&name))
            .with_partitions(answers.into_iter().map(partition).collect())
    });
    Ok(Some(ListOffsetsResponse::default().with_topics(topics.collect())))
}

pub(super) async fn delete_records(
    exchange: &Exchange<'_>,
    request: DeleteRecordsRequest,
) -> Result<Option<DeleteRecordsResponse>, Hangup> {
    let mut partitions = Vec::new();
    for wanted in &request.topics {
        let name = wire::name(&wanted.name.0);
        partitions.extend(wanted.partitions.iter().map(|partition| api::DeleteRecordsPartition {
            at: TopicPartition { topic: name.clone(), partition: partition.partition_index },
            before_offset: partition.offset,
        }));
    }
    let response: api::DeleteRecordsResponse = exchange.ask(api::DeleteRecordsRequest { partitions }).await?;
    let partition = |trimmed: api::TrimmedPartition| {
        DeleteRecordsPartitionResult::default()
            .with_partition_index(trimmed.at.partition)
            .with_low_watermark(trimmed.low_watermark)
            .with_error_code(trimmed.error.code())
    };
    let topics = by_topic(response.partitions, |trimmed| &trimmed.at.topic).into_iter();
    let topics = topics.map(|(name, answers)| {
        DeleteRecordsTopicResult::default()
            .with_name(topic(&name))
            .with_partitions(answers.into_iter().map(partition).collect())
    });
    Ok(Some(DeleteRecordsResponse::default().with_topics(topics.collect())))
}

pub(super) async fn offset_for_leader_epoch(
    exchange: &Exchange<'_>,
    request: OffsetForLeaderEpochRequest,
) -> Result<Option<OffsetForLeaderEpochResponse>, Hangup> {
    let mut partitions = Vec::new();
    for wanted in &request.topics {
        let name = wire::name(&wanted.topic.0);
        partitions.extend(wanted.partitions.iter().map(|partition| api::EpochQuery {
            at: TopicPartition { topic: name.clone(), partition: partition.partition },
            current_leader_epoch: epoch(partition.current_leader_epoch),
            leader_epoch: partition.leader_epoch,
        }));
    }
    let asked = api::OffsetForLeaderEpochRequest { partitions };
    let response: api::OffsetForLeaderEpochResponse = exchange.ask(asked).await?;
    let partition = |end: api::EpochEnd| {
        EpochEndOffset::default()
            .with_error_code(end.error.code())
            .with_partition(end.at.partition)
            .with_leader_epoch(end.leader_epoch)
            .with_end_offset(end.end_offset)
    };
    let topics = by_topic(response.partitions, |end| &end.at.topic).into_iter().map(|(name, answers)| {
        OffsetForLeaderTopicResult::default()
            .with_topic(topic(&name))
            .with_partitions(answers.into_iter().map(partition).collect())
    });
    Ok(Some(OffsetForLeaderEpochResponse::default().with_topics(topics.collect())))
}
