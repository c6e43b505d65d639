//! Metadata and DescribeTopicPartitions: which topics there are, and who leads their partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponsePartition, DescribeTopicPartitionsResponseTopic,
};
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{
    DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, MetadataRequest, MetadataResponse,
};
use uuid::Uuid;

use crate::api::{self, TopicMetadata};
use crate::error::ErrorCode;
use crate::server::exchange::{Exchange, Hangup, each_once, node, topic};
use crate::wire;

/// From this version on topics may be asked for by their ids.
const BY_ID: i16 = 10;
/// From this version on a topic that is asked for by an unknown id has no name.
const NAMELESS: i16 = 12;

pub(super) async fn metadata(
    exchange: &Exchange<'_>,
    request: MetadataRequest,
) -> Result<Option<MetadataResponse>, Hangup> {
    let version = exchange.version;
    let mut unknown = BTreeMap::new();
    let names = request.topics.map(|topics| {
        let name = |wanted: kafka_protocol::messages::metadata_request::MetadataRequestTopic| {
            wanted.name.map(|name| wire::name(&name.0)).unwrap_or_else(|| {
                let name = exchange.name_of(wanted.topic_id);
                unknown.insert(name.clone(), wanted.topic_id);
                name
            })
        };
        each_once(topics.into_iter().map(name))
    });
    // In version 0 no topic means all.
    let names = names.filter(|names| version > 0 || !names.is_empty());
    let asked = api::MetadataRequest {
        topics: names,
        allow_auto_creation: version < 4 || request.allow_auto_topic_creation,
    };
    let response: api::MetadataResponse = exchange.ask(asked).await?;
    let topics = response.topics.into_iter().map(|described| {
        let by_id = unknown.get(&described.name).copied();
        told_topic(version, described, by_id)
    });
    let (host, port) = exchange.address();
    let broker =
        MetadataResponseBroker::default().with_node_id(node()).with_host(wire::text(&host)).with_port(port);
    let mut response = MetadataResponse::default().with_brokers(vec![broker]).with_topics(topics.collect());
    if version >= 1 {
        response.controller_id = node();
    }
    if version >= 2 {
        response.cluster_id = Some(wire::text(&exchange.host.cluster_id));
    }
    Ok(Some(response))
}

fn told_topic(version: i16, described: TopicMetadata, by_id: Option<Uuid>) -> MetadataResponseTopic {
    let mut response = MetadataResponseTopic::default();
    let error = match described.error {
        ErrorCode::InvalidTopic | ErrorCode::UnknownTopicOrPartition if by_id.is_some() => {
            ErrorCode::UnknownTopicId
        }
        error => error,
    };
    response.error_code = error.code();
    let nameless = error == ErrorCode::UnknownTopicId;
    if version >= BY_ID {
        response.topic_id = by_id.filter(|_| nameless).unwrap_or(Uuid::from_u128(described.topic_id.0));
    }
    response.name = match (nameless, version >= NAMELESS) {
        (true, true) => None,
        (true, false) => Some(topic("")),
        (false, _) => Some(topic(&described.name)),
    };
    let partition = |partition: api::PartitionMetadata| {
        let mut response = MetadataResponsePartition::default()
            .with_partition_index(partition.partition)
            .with_leader_id(node())
            .with_replica_nodes(vec![node()])
            .with_isr_nodes(vec![node()]);
        if version >= 7 {
            response.leader_epoch = partition.leader_epoch;
        }
        response
    };
    response.partitions = described.partitions.into_iter().map(partition).collect();
    response
}

pub(super) async fn describe_topic_partitions(
    exchange: &Exchange<'_>,
    request: DescribeTopicPartitionsRequest,
) -> Result<Option<DescribeTopicPartitionsResponse>, Hangup> {
    let mut names: Vec<Arc<str>> = request.topics.iter().map(|wanted| wire::name(&wanted.name.0)).collect();
    names.sort();
    names.dedup();
    let from = request.cursor.map(|cursor| (wire::name(&cursor.topic_name.0), cursor.partition_index));
    if let Some((first, _)) = &from {
        names.retain(|name| name >= first);
    }
    // As in Metadata: none named means all.
    let topics = Some(names).filter(|_| !request.topics.is_empty());
    let asked = api::MetadataRequest { topics, allow_auto_creation: false };
    let response: api::MetadataResponse = exchange.ask(asked).await?;
    let mut room = usize::try_from(request.response_partition_limit).unwrap_or(0).max(1);
    let mut told = Vec::new();
    let mut next = None;
    for mut described in response.topics {
        let first = match &from {
            Some((name, _)) if described.name < *name => continue,
            Some((name, partition)) if described.name == *name => *partition,
            _ => 0,
        };
        described.partitions.retain(|partition| partition.partition >= first);
        if described.partitions.len() > room || room == 0 {
            let at = described.partitions.get(room).map_or(0, |partition| partition.partition);
            next = Some(Cursor::default().with_topic_name(topic(&described.name)).with_partition_index(at));
            described.partitions.truncate(room);
        }
        room -= described.partitions.len();
        if !described.partitions.is_empty() || described.error != ErrorCode::None {
            told.push(told_partitions(described));
        }
        if next.is_some() {
            break;
        }
    }
    Ok(Some(DescribeTopicPartitionsResponse::default().with_topics(told).with_next_cursor(next)))
}

fn told_partitions(described: TopicMetadata) -> DescribeTopicPartitionsResponseTopic {
    let partition = |partition: api::PartitionMetadata| {
        DescribeTopicPartitionsResponsePartition::default()
            .with_partition_index(partition.partition)
            .with_leader_id(node())
            .with_leader_epoch(partition.leader_epoch)
            .with_replica_nodes(vec![node()])
            .with_isr_nodes(vec![node()])
            .with_eligible_leader_replicas(Some(Vec::new()))
            .with_last_known_elr(Some(Vec::new()))
    };
    DescribeTopicPartitionsResponseTopic::default()
        .with_error_code(described.error.code())
        .with_name(Some(topic(&described.name)))
        .with_topic_id(Uuid::from_u128(described.topic_id.0))
        .with_partitions(described.partitions.into_iter().map(partition).collect())
}
