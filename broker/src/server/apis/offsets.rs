//! OffsetCommit, OffsetFetch, OffsetDelete: what groups have read.

use std::collections::BTreeSet;
use std::sync::Arc;

use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::offset_delete_response::{
    OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};
use kafka_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use kafka_protocol::messages::{
    GroupId, OffsetCommitRequest, OffsetCommitResponse, OffsetDeleteRequest, OffsetDeleteResponse,
    OffsetFetchRequest, OffsetFetchResponse,
};
use kafka_protocol::protocol::StrBytes;

use super::groups::claim;
use crate::api::{self, CommittedOffset, FetchedOffset, MemberClaim, PartitionResult, TopicPartition};
use crate::error::ErrorCode;
use crate::server::exchange::{Exchange, Hangup, by_topic, each_once, partitions, topic};
use crate::wire;

/// From this version on many groups are asked for at once.
const MANY: i16 = 8;
/// From this version on a commit may name a member's epoch in place of a generation.
const COMMIT_WITH_EPOCH: i16 = 9;

/// An offset as it comes: -1 for no leader epoch, null for no metadata.
pub(super) fn committed(offset: i64, leader_epoch: i32, metadata: Option<&StrBytes>) -> CommittedOffset {
    let metadata = metadata.map_or_else(|| Arc::from(""), wire::name);
    CommittedOffset { offset, leader_epoch, metadata }
}

pub(super) async fn offset_commit(
    exchange: &Exchange<'_>,
    request: OffsetCommitRequest,
) -> Result<Option<OffsetCommitResponse>, Hangup> {
    let version = exchange.version;
    let mut offsets = Vec::new();
    for wanted in &request.topics {
        let name = wire::name(&wanted.name.0);
        offsets.extend(wanted.partitions.iter().map(|partition| {
            let epoch = if version >= 6 { partition.committed_leader_epoch } else { -1 };
            api::OffsetCommitPartition {
                at: TopicPartition { topic: name.clone(), partition: partition.partition_index },
                committed: committed(
                    partition.committed_offset,
                    epoch,
                    partition.committed_metadata.as_ref(),
                ),
            }
        }));
    }
    let generation = request.generation_id_or_member_epoch;
    let asked = api::OffsetCommitRequest {
        group_id: wire::name(&request.group_id.0),
        member: claim(generation, &request.member_id, request.group_instance_id.as_ref()),
        offsets,
    };
    let refusal = refusal(exchange, &asked);
    let mut response: api::OffsetCommitResponse = match refusal {
        None => exchange.ask(asked).await?,
        Some(error) => {
            let refused = |offset: api::OffsetCommitPartition| PartitionResult { at: offset.at, error };
            api::OffsetCommitResponse { partitions: asked.offsets.into_iter().map(refused).collect() }
        }
    };
    if version >= COMMIT_WITH_EPOCH && generation >= 0 && !is_known(exchange, &request.group_id.0) {
        // Whoever claims to be a member of a group that is not there; older clients know another word for it.
        for result in &mut response.partitions {
            result.error = ErrorCode::GroupIdNotFound;
        }
    }
    let partition = |result: PartitionResult| {
        OffsetCommitResponsePartition::default()
            .with_partition_index(result.at.partition)
            .with_error_code(result.error.code())
    };
    let topics = by_topic(response.partitions, |result| &result.at.topic).into_iter();
    let topics = topics.map(|(name, results)| {
        OffsetCommitResponseTopic::default()
            .with_name(topic(&name))
            .with_partitions(results.into_iter().map(partition).collect())
    });
    Ok(Some(OffsetCommitResponse::default().with_topics(topics.collect())))
}

/// A member of a consumer group names its epoch, so it has to know that it does.
fn refusal(exchange: &Exchange<'_>, asked: &api::OffsetCommitRequest) -> Option<ErrorCode> {
    let by_epoch = exchange.version < COMMIT_WITH_EPOCH
        && asked.member.generation >= 0
        && exchange.broker().consumer_group(&asked.group_id).is_some();
    by_epoch.then_some(ErrorCode::UnsupportedVersion)
}

fn is_known(exchange: &Exchange<'_>, group_id: &StrBytes) -> bool {
    let broker = exchange.broker();
    broker.group(group_id).is_some() || broker.consumer_group(group_id).is_some()
}

pub(super) async fn offset_fetch(
    exchange: &Exchange<'_>,
    request: OffsetFetchRequest,
) -> Result<Option<OffsetFetchResponse>, Hangup> {
    let version = exchange.version;
    let require_stable = request.require_stable;
    if version < MANY {
        let wanted = request.topics.map(|topics| {
            let all = topics.into_iter();
            each_once(all.flat_map(|wanted| partitions(&wanted.name, wanted.partition_indexes)))
        });
        let asked = api::OffsetFetchRequest {
            group_id: wire::name(&request.group_id.0),
            member: MemberClaim::none(),
            partitions: wanted,
            require_stable,
        };
        let response: api::OffsetFetchResponse = exchange.ask(asked).await?;
        return Ok(Some(one_group(version, response)));
    }
    let mut groups = Vec::with_capacity(request.groups.len());
    let mut seen = BTreeSet::new();
    for group in request.groups {
        if !seen.insert(group.group_id.clone()) {
            continue;
        }
        let wanted = group.topics.map(|topics| {
            let all = topics.into_iter();
            each_once(all.flat_map(|wanted| partitions(&wanted.name, wanted.partition_indexes)))
        });
        let member = match &group.member_id {
            Some(member_id) if version >= 9 => claim(group.member_epoch, member_id, None),
            _ => MemberClaim::none(),
        };
        let asked = api::OffsetFetchRequest {
            group_id: wire::name(&group.group_id.0),
            member,
            partitions: wanted,
            require_stable,
        };
        let response: api::OffsetFetchResponse = exchange.ask(asked).await?;
        groups.push(of_many(group.group_id, response));
    }
    Ok(Some(OffsetFetchResponse::default().with_groups(groups)))
}

/// Offset, leader epoch and metadata as they are told; -1 where nothing was committed.
fn told(fetched: &FetchedOffset) -> (i64, i32, Option<StrBytes>) {
    match &fetched.committed {
        Some(committed) => (committed.offset, committed.leader_epoch, Some(wire::text(&committed.metadata))),
        None => (-1, -1, Some(StrBytes::new())),
    }
}

fn one_group(version: i16, response: api::OffsetFetchResponse) -> OffsetFetchResponse {
    let partition = |fetched: FetchedOffset| {
        let (offset, epoch, metadata) = told(&fetched);
        let mut response = OffsetFetchResponsePartition::default()
            .with_partition_index(fetched.at.partition)
            .with_committed_offset(offset)
            .with_metadata(metadata)
            .with_error_code(fetched.error.code());
        if version >= 5 {
            response.committed_leader_epoch = epoch;
        }
        response
    };
    let topics = by_topic(response.partitions, |fetched| &fetched.at.topic).into_iter();
    let topics = topics.map(|(name, fetched)| {
        OffsetFetchResponseTopic::default()
            .with_name(topic(&name))
            .with_partitions(fetched.into_iter().map(partition).collect())
    });
    let mut told = OffsetFetchResponse::default().with_topics(topics.collect());
    if version >= 2 {
        told.error_code = response.error.code();
    }
    told
}

fn of_many(group_id: GroupId, response: api::OffsetFetchResponse) -> OffsetFetchResponseGroup {
    let partition = |fetched: FetchedOffset| {
        let (offset, epoch, metadata) = told(&fetched);
        OffsetFetchResponsePartitions::default()
            .with_partition_index(fetched.at.partition)
            .with_committed_offset(offset)
            .with_committed_leader_epoch(epoch)
            .with_metadata(metadata)
            .with_error_code(fetched.error.code())
    };
    let topics = by_topic(response.partitions, |fetched| &fetched.at.topic).into_iter();
    let topics = topics.map(|(name, fetched)| {
        OffsetFetchResponseTopics::default()
            .with_name(topic(&name))
            .with_partitions(fetched.into_iter().map(partition).collect())
    });
    OffsetFetchResponseGroup::default()
        .with_group_id(group_id)
        .with_topics(topics.collect())
        .with_error_code(response.error.code())
}

pub(super) async fn offset_delete(
    exchange: &Exchange<'_>,
    request: OffsetDeleteRequest,
) -> Result<Option<OffsetDeleteResponse>, Hangup> {
    let wanted = request.topics.iter().flat_map(|wanted| {
        partitions(&wanted.name, wanted.partitions.iter().map(|partition| partition.partition_index))
    });
    let asked =
        api::OffsetDeleteRequest { group_id: wire::name(&request.group_id.0), partitions: wanted.collect() };
    let response: api::OffsetDeleteResponse = exchange.ask(asked).await?;
    let partition = |result: PartitionResult| {
        OffsetDeleteResponsePartition::default()
            .with_partition_index(result.at.partition)
            .with_error_code(result.error.code())
    };
    let topics = by_topic(response.partitions, |result| &result.at.topic).into_iter();
    let topics = topics.map(|(name, results)| {
        OffsetDeleteResponseTopic::default()
            .with_name(topic(&name))
            .with_partitions(results.into_iter().map(partition).collect())
    });
    let told = OffsetDeleteResponse::default().with_error_code(response.error.code());
    Ok(Some(told.with_topics(match response.error {
        ErrorCode::None => topics.collect(),
        _ => Vec::new(),
    })))
}
