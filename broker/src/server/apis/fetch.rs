//! Fetch: answered when there are as many bytes as the client wants, or after as long as it waits.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::fetch_response::{AbortedTransaction, FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchRequest, FetchResponse, ProducerId};
use uuid::Uuid;

use super::data::{epoch, isolation, known_by_id};
use crate::api::{self, FetchedPartition, Isolation, TopicPartition};
use crate::error::ErrorCode;
use crate::server::exchange::{Exchange, Hangup, by_topic, topic};
use crate::wire;

/// From this version on topics are known by their ids.
const BY_ID: i16 = 13;

/// What a client asks for.
struct Wanted {
    request: api::FetchRequest,
    /// One for each partition.
    ids: Vec<Uuid>,
    min_bytes: usize,
    deadline_ms: i64,
}

pub(super) async fn fetch(
    exchange: &Exchange<'_>,
    request: FetchRequest,
) -> Result<Option<FetchResponse>, Hangup> {
    if request.session_id != 0 && request.session_epoch > 0 {
        // There are no sessions: answers never name one, so this is another broker's.
        let code = ErrorCode::FetchSessionIdNotFound.code();
        return Ok(Some(FetchResponse::default().with_error_code(code)));
    }
    let wanted = wanted(exchange, &request);
    let mut place = None;
    loop {
        // Where answers to others take the room, this one is smaller; the first batch comes whatever its size.
        let max_bytes = wanted.request.max_bytes.min(exchange.answer_room());
        let request = api::FetchRequest { max_bytes, ..wanted.request.clone() };
        let response: api::FetchResponse = exchange.ask(request).await?;
        let bytes: usize =
            response.partitions.iter().flat_map(|fetched| &fetched.batches).map(Bytes::len).sum();
        let failed = response.partitions.iter().any(|fetched| fetched.error != ErrorCode::None);
        let late = exchange.now_ms() >= wanted.deadline_ms;
        if bytes >= wanted.min_bytes.min(max_bytes) || failed || late {
            exchange.hold(bytes);
            let batches = response.partitions.iter().flat_map(|fetched| &fetched.batches);
            exchange.host.counters.count_fetched(batches);
            return Ok(Some(told(exchange.version, response, wanted.ids)));
        }
        let ends = ends(&response, wanted.request.isolation);
        let place = place.get_or_insert_with(|| exchange.host.waiting.wait_for(wanted.partitions()));
        let timeout = tokio::time::sleep(exchange.host.clock.until(wanted.deadline_ms));
        tokio::pin!(timeout);
        // What came before it had its place has moved, too.
        while !moved(exchange, &wanted.request, &ends) {
            tokio::select! {
                () = place.news() => {}
                () = timeout.as_mut() => break,
            }
        }
    }
}

impl Wanted {
    fn partitions(&self) -> Vec<TopicPartition> {
        self.request.partitions.iter().map(|wanted| wanted.at.clone()).collect()
    }
}

fn wanted(exchange: &Exchange<'_>, request: &FetchRequest) -> Wanted {
    let mut ids = Vec::new();
    let mut partitions = Vec::new();
    let mut seen = BTreeSet::new();
    for wanted in &request.topics {
        let name = match exchange.version >= BY_ID {
            true => exchange.name_of(wanted.topic_id),
            false => wire::name(&wanted.topic.0),
        };
        for partition in &wanted.partitions {
            // Each once, as in Kafka.
            if !seen.insert((name.clone(), partition.partition)) {
                continue;
            }
            ids.push(wanted.topic_id);
            partitions.push(api::FetchPartition {
                at: TopicPartition { topic: name.clone(), partition: partition.partition },
                offset: partition.fetch_offset,
                max_bytes: usize::try_from(partition.partition_max_bytes).unwrap_or(0),
                current_leader_epoch: epoch(partition.current_leader_epoch),
            });
        }
    }
    let max_bytes = usize::try_from(request.max_bytes).unwrap_or(0).min(exchange.host.limits.fetch_bytes);
    let isolation = isolation(request.isolation_level);
    // Nothing comes for who asks for nothing: there is nothing to wait for.
    let min_bytes = if partitions.is_empty() { 0 } else { usize::try_from(request.min_bytes).unwrap_or(0) };
    let max_wait_ms = i64::from(request.max_wait_ms.max(0));
    Wanted {
        request: api::FetchRequest { isolation, max_bytes, partitions },
        ids,
        min_bytes: min_bytes.min(max_bytes),
        deadline_ms: exchange.now_ms().saturating_add(max_wait_ms),
    }
}

/// Where partitions ended when they were read.
fn ends(response: &api::FetchResponse, isolation: Isolation) -> Vec<i64> {
    let end = |fetched: &FetchedPartition| match isolation {
        Isolation::ReadUncommitted => fetched.high_watermark,
        Isolation::ReadCommitted => fetched.last_stable_offset,
    };
    response.partitions.iter().map(end).collect()
}

/// Whether one of the partitions ends elsewhere now.
fn moved(exchange: &Exchange<'_>, request: &api::FetchRequest, ends: &[i64]) -> bool {
    let broker = exchange.broker();
    let end = |at| broker.end_offset(at, request.isolation).unwrap_or(-1);
    request.partitions.iter().zip(ends).any(|(wanted, known)| end(&wanted.at) != *known)
}

fn told(version: i16, response: api::FetchResponse, ids: Vec<Uuid>) -> FetchResponse {
    let answers = response.partitions.into_iter().zip(ids);
    let topics = by_topic(answers, |(fetched, _)| &fetched.at.topic).into_iter();
    FetchResponse::default()
        .with_responses(topics.map(|(name, answers)| told_topic(version, &name, answers)).collect())
}

fn told_topic(
    version: i16,
    name: &Arc<str>,
    answers: Vec<(FetchedPartition, Uuid)>,
) -> FetchableTopicResponse {
    let mut response = FetchableTopicResponse::default();
    let by_id = version >= BY_ID;
    if by_id {
        response.topic_id = answers.first().map_or(Uuid::nil(), |(_, id)| *id);
    } else {
        response.topic = topic(name);
    }
    let partition = |(fetched, _): (FetchedPartition, Uuid)| {
        let aborted = |aborted: api::AbortedTransaction| {
            AbortedTransaction::default()
                .with_producer_id(ProducerId(aborted.producer_id))
                .with_first_offset(aborted.first_offset)
        };
        let mut response = PartitionData::default()
            .with_partition_index(fetched.at.partition)
            .with_error_code(known_by_id(fetched.error, by_id).code())
            .with_high_watermark(fetched.high_watermark)
            .with_last_stable_offset(fetched.last_stable_offset)
            .with_aborted_transactions(Some(fetched.aborted.into_iter().map(aborted).collect()))
            .with_records(Some(joined(fetched.batches)));
        if version >= 5 {
            response.log_start_offset = fetched.log_start_offset;
        }
        response
    };
    response.partitions = answers.into_iter().map(partition).collect();
    response
}

/// Batches in one piece.
fn joined(mut batches: Vec<Bytes>) -> Bytes {
    if batches.len() <= 1 {
        return batches.pop().unwrap_or_default();
    }
    let mut all = BytesMut::with_capacity(batches.iter().map(Bytes::len).sum());
    for batch in &batches {
        all.extend_from_slice(batch);
    }
    all.freeze()
}
