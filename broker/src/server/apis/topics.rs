//! CreateTopics, DeleteTopics, CreatePartitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use kafka_protocol::messages::create_partitions_response::CreatePartitionsTopicResult;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::create_topics_response::{CreatableTopicConfigs, CreatableTopicResult};
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreateTopicsRequest, CreateTopicsResponse,
    DeleteTopicsRequest, DeleteTopicsResponse,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use super::configs::source_of;
use super::data::known_by_id;
use crate::api::{self, NewTopic, TopicResult};
use crate::broker::MOST_NEW_PARTITIONS;
use crate::error::ErrorCode;
use crate::server::exchange::{Exchange, Hangup, node, topic};
use crate::server::host::NODE_ID;
use crate::wire;

/// From this version on topics are described as they were made.
const DESCRIBED: i16 = 5;
/// From this version on their ids are told.
const WITH_ID: i16 = 7;
/// From this version on topics may be deleted by their ids.
const DELETED_BY_ID: i16 = 6;

/// A message that stands beside an error.
fn message(result: &TopicResult) -> Option<StrBytes> {
    (result.error != ErrorCode::None).then(|| wire::text(&result.message))
}

pub(super) async fn create_topics(
    exchange: &Exchange<'_>,
    request: CreateTopicsRequest,
) -> Result<Option<CreateTopicsResponse>, Hangup> {
    let mut results = Vec::with_capacity(request.topics.len());
    let all: i64 = request.topics.iter().map(|wanted| i64::from(wanted.num_partitions.max(1))).sum();
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for wanted in &request.topics {
        *times.entry(wanted.name.as_str()).or_default() += 1;
    }
    for wanted in &request.topics {
        let named = times.get(wanted.name.as_str()).copied().unwrap_or(0);
        let new = match all <= MOST_NEW_PARTITIONS {
            true => new_topic(wanted, named),
            false => {
                let message = format!("{all} partitions in one request; {MOST_NEW_PARTITIONS} are the most");
                Err((ErrorCode::PolicyViolation, message))
            }
        };
        let result = match new {
            Ok(new) => {
                let asked =
                    api::CreateTopicsRequest { topics: vec![new], validate_only: request.validate_only };
                let response: api::CreateTopicsResponse = exchange.ask(asked).await?;
                response.topics.into_iter().next().ok_or(Hangup::Failed(ErrorCode::UnknownServerError))?
            }
            Err((error, message)) => {
                let name = wire::name(&wanted.name.0);
                TopicResult { name, error, message, topic_id: api::TopicId::default() }
            }
        };
        results.push(created(exchange, result).await?);
    }
    Ok(Some(CreateTopicsResponse::default().with_topics(results)))
}

fn new_topic(wanted: &CreatableTopic, named: usize) -> Result<NewTopic, (ErrorCode, String)> {
    let name = wire::name(&wanted.name.0);
    if named > 1 {
        return Err((ErrorCode::InvalidRequest, format!("the request names topic {name} {named} times")));
    }
    let mut partitions = wanted.num_partitions;
    if !wanted.assignments.is_empty() {
        if partitions != -1 || wanted.replication_factor != -1 {
            let message = "replicas are assigned by hand or counted, not both".to_owned();
            return Err((ErrorCode::InvalidRequest, message));
        }
        let mut numbers: Vec<i32> =
            wanted.assignments.iter().map(|assignment| assignment.partition_index).collect();
        numbers.sort_unstable();
        let in_turn = numbers.iter().zip(0..).all(|(number, expected)| *number == expected);
        let ours = wanted.assignments.iter().all(|assignment| assignment.broker_ids == [node()]);
        if !in_turn || !ours {
            let message =
                format!("partitions 0, 1, 2 and so on can be assigned, and to broker {NODE_ID} only");
            return Err((ErrorCode::InvalidReplicaAssignment, message));
        }
        partitions = i32::try_from(numbers.len()).unwrap_or(i32::MAX);
    }
    let mut configs = BTreeMap::new();
    for config in &wanted.configs {
        let Some(value) = &config.value else {
            let message = format!("topic config {} has no value", config.name);
            return Err((ErrorCode::InvalidConfig, message));
        };
        configs.insert(config.name.to_string(), value.to_string());
    }
    Ok(NewTopic { name, partitions, replication_factor: wanted.replication_factor, configs })
}

async fn created(exchange: &Exchange<'_>, result: TopicResult) -> Result<CreatableTopicResult, Hangup> {
    let version = exchange.version;
    let mut response = CreatableTopicResult::default()
        .with_name(topic(&result.name))
        .with_error_code(result.error.code())
        .with_error_message(message(&result));
    if version >= WITH_ID {
        response.topic_id = Uuid::from_u128(result.topic_id.0);
    }
    if version < DESCRIBED {
        return Ok(response);
    }
    response.configs = Some(Vec::new());
    let count = exchange.broker().partition_count(&result.name);
    if let Some(count) = count.filter(|_| result.error == ErrorCode::None) {
        let asked = api::DescribeConfigsRequest { topics: vec![result.name.clone()] };
        let described: api::DescribeConfigsResponse = exchange.ask(asked).await?;
        let config = |entry: api::ConfigEntry| {
            let source = source_of(&entry);
            CreatableTopicConfigs::default()
                .with_name(StrBytes::from_static_str(entry.name))
                .with_value(Some(StrBytes::from_string(entry.value)))
                .with_config_source(source)
        };
        let entries = described.topics.into_iter().flat_map(|topic| topic.entries);
        response.configs = Some(entries.map(config).collect());
        response.num_partitions = count;
        response.replication_factor = 1;
    }
    Ok(response)
}

pub(super) async fn delete_topics(
    exchange: &Exchange<'_>,
    request: DeleteTopicsRequest,
) -> Result<Option<DeleteTopicsResponse>, Hangup> {
    let version = exchange.version;
    let mut wanted: Vec<(Arc<str>, Option<Uuid>)> = Vec::new();
    if version >= DELETED_BY_ID {
        for state in &request.topics {
            wanted.push(match &state.name {
                Some(name) => (wire::name(&name.0), None),
                None => (exchange.name_of(state.topic_id), Some(state.topic_id)),
            });
        }
    } else {
        wanted.extend(request.topic_names.iter().map(|name| (wire::name(&name.0), None)));
    }
    let asked = api::DeleteTopicsRequest { topics: wanted.iter().map(|(name, _)| name.clone()).collect() };
    let response: api::DeleteTopicsResponse = exchange.ask(asked).await?;
    let result = |(result, (_, id)): (TopicResult, (Arc<str>, Option<Uuid>))| {
        let error = known_by_id(result.error, id.is_some());
        let nameless = error == ErrorCode::UnknownTopicId;
        let mut response = DeletableTopicResult::default()
            .with_name((!nameless).then(|| topic(&result.name)))
            .with_error_code(error.code());
        if version >= DESCRIBED {
            response.error_message = message(&result);
        }
        if version >= DELETED_BY_ID {
            response.topic_id = id.unwrap_or(Uuid::from_u128(result.topic_id.0));
        }
        response
    };
    let responses = response.topics.into_iter().zip(wanted).map(result).collect();
    Ok(Some(DeleteTopicsResponse::default().with_responses(responses)))
}

pub(super) async fn create_partitions(
    exchange: &Exchange<'_>,
    request: CreatePartitionsRequest,
) -> Result<Option<CreatePartitionsResponse>, Hangup> {
    let new = |wanted: &kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic| {
        api::NewPartitions { name: wire::name(&wanted.name.0), total: wanted.count }
    };
    let asked = api::CreatePartitionsRequest {
        topics: request.topics.iter().map(new).collect(),
        validate_only: request.validate_only,
    };
    let response: api::CreatePartitionsResponse = exchange.ask(asked).await?;
    let result = |result: TopicResult| {
        CreatePartitionsTopicResult::default()
            .with_name(topic(&result.name))
            .with_error_code(result.error.code())
            .with_error_message(message(&result))
    };
    let results = response.topics.into_iter().map(result).collect();
    Ok(Some(CreatePartitionsResponse::default().with_results(results)))
}
