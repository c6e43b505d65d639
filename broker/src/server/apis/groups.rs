//! Groups: members join and sync (the classic protocol), or send heartbeats and are assigned to (KIP-848); lists,
//! descriptions and deletion of both kinds.

use std::sync::Arc;

use kafka_protocol::messages::consumer_group_describe_response::{
    Assignment, DescribedGroup as DescribedConsumerGroup, Member, TopicPartitions as NamedTopicPartitions,
};
use kafka_protocol::messages::consumer_group_heartbeat_response::{
    Assignment as Assigned, TopicPartitions as AssignedPartitions,
};
use kafka_protocol::messages::delete_groups_response::DeletableGroupResult;
use kafka_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use kafka_protocol::messages::join_group_response::JoinGroupResponseMember;
use kafka_protocol::messages::leave_group_response::MemberResponse;
use kafka_protocol::messages::list_groups_response::ListedGroup;
use kafka_protocol::messages::{
    ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, GroupId, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest,
    JoinGroupResponse, LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse,
    SyncGroupRequest, SyncGroupResponse,
};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::api::{self, GroupState, GroupType, MemberClaim};
use crate::error::ErrorCode;
use crate::server::exchange::{Exchange, Hangup, each_once, topic};
use crate::wire;

/// KIP-394: from this version on a new member is first given its id.
const JOIN_WITH_ID: i16 = 4;
/// From this version on the kind of group is told, and no assignor is null.
const JOIN_WITH_PROTOCOL: i16 = 7;
/// KIP-814: from this version on the leader may be told not to assign.
const JOIN_SKIPS: i16 = 9;
/// From this version on many members leave at once.
const LEAVE_MANY: i16 = 3;
/// From this version on an unknown group is an error.
const DESCRIBE_WITH_ERROR: i16 = 6;
/// KIP-1082: from this version on clients make their ids.
const HEARTBEAT_WITH_ID: i16 = 1;

pub(super) fn optional(text: Option<&StrBytes>) -> Option<Arc<str>> {
    text.map(wire::name)
}

pub(super) fn claim(generation: i32, member_id: &StrBytes, instance: Option<&StrBytes>) -> MemberClaim {
    MemberClaim {
        group_instance_id: optional(instance),
        ..MemberClaim::new(generation, wire::name(member_id))
    }
}

pub(super) async fn join_group(
    exchange: &Exchange<'_>,
    request: JoinGroupRequest,
) -> Result<Option<JoinGroupResponse>, Hangup> {
    let version = exchange.version;
    let protocol = |protocol: kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol| {
        api::Protocol { name: wire::name(&protocol.name), metadata: protocol.metadata }
    };
    let session_timeout_ms = i64::from(request.session_timeout_ms);
    let asked = api::JoinGroupRequest {
        group_id: wire::name(&request.group_id.0),
        member_id: wire::name(&request.member_id),
        group_instance_id: optional(request.group_instance_id.as_ref()),
        protocol_type: wire::name(&request.protocol_type),
        protocols: request.protocols.into_iter().map(protocol).collect(),
        session_timeout_ms,
        rebalance_timeout_ms: match version {
            0 => session_timeout_ms,
            _ => i64::from(request.rebalance_timeout_ms),
        },
        member_id_required: version >= JOIN_WITH_ID,
        knows_skip_assignment: version >= JOIN_SKIPS,
    };
    let joined: api::JoinGroupResponse = exchange.ask(asked).await?;
    let failed = joined.error != ErrorCode::None;
    let with_protocol = version >= JOIN_WITH_PROTOCOL;
    let member = |member: api::JoinedMember| {
        let mut response = JoinGroupResponseMember::default()
            .with_member_id(wire::text(&member.member_id))
            .with_metadata(member.metadata);
        if version >= 5 {
            response.group_instance_id = member.group_instance_id.as_deref().map(wire::text);
        }
        response
    };
    let mut response = JoinGroupResponse::default()
        .with_error_code(joined.error.code())
        .with_generation_id(joined.generation)
        .with_protocol_name((!failed || !with_protocol).then(|| wire::text(&joined.protocol_name)))
        .with_leader(wire::text(&joined.leader))
        .with_member_id(wire::text(&joined.member_id))
        .with_members(joined.members.into_iter().map(member).collect());
    if with_protocol {
        response.protocol_type = (!failed).then(|| wire::text(&joined.protocol_type));
    }
    if version >= JOIN_SKIPS {
        response.skip_assignment = joined.skip_assignment;
    }
    Ok(Some(response))
}

pub(super) async fn sync_group(
    exchange: &Exchange<'_>,
    request: SyncGroupRequest,
) -> Result<Option<SyncGroupResponse>, Hangup> {
    let assignment = |given: kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment| {
        api::MemberAssignment { member_id: wire::name(&given.member_id), assignment: given.assignment }
    };
    let asked = api::SyncGroupRequest {
        group_id: wire::name(&request.group_id.0),
        member: claim(request.generation_id, &request.member_id, request.group_instance_id.as_ref()),
        protocol_type: optional(request.protocol_type.as_ref()),
        protocol_name: optional(request.protocol_name.as_ref()),
        assignments: request.assignments.into_iter().map(assignment).collect(),
    };
    let synced: api::SyncGroupResponse = exchange.ask(asked).await?;
    let mut response =
        SyncGroupResponse::default().with_error_code(synced.error.code()).with_assignment(synced.assignment);
    if exchange.version >= 5 && synced.error == ErrorCode::None {
        response.protocol_type = Some(wire::text(&synced.protocol_type));
        response.protocol_name = Some(wire::text(&synced.protocol_name));
    }
    Ok(Some(response))
}

pub(super) async fn heartbeat(
    exchange: &Exchange<'_>,
    request: HeartbeatRequest,
) -> Result<Option<HeartbeatResponse>, Hangup> {
    let asked = api::HeartbeatRequest {
        group_id: wire::name(&request.group_id.0),
        member: claim(request.generation_id, &request.member_id, request.group_instance_id.as_ref()),
    };
    let response: api::HeartbeatResponse = exchange.ask(asked).await?;
    Ok(Some(HeartbeatResponse::default().with_error_code(response.error.code())))
}

pub(super) async fn leave_group(
    exchange: &Exchange<'_>,
    request: LeaveGroupRequest,
) -> Result<Option<LeaveGroupResponse>, Hangup> {
    let leaving = match exchange.version >= LEAVE_MANY {
        true => request.members,
        false => vec![
            kafka_protocol::messages::leave_group_request::MemberIdentity::default()
                .with_member_id(request.member_id),
        ],
    };
    let member =
        |member: &kafka_protocol::messages::leave_group_request::MemberIdentity| api::LeavingMember {
            member_id: wire::name(&member.member_id),
            group_instance_id: optional(member.group_instance_id.as_ref()),
        };
    let asked = api::LeaveGroupRequest {
        group_id: wire::name(&request.group_id.0),
        members: leaving.iter().map(member).collect(),
    };
    let left: api::LeaveGroupResponse = exchange.ask(asked).await?;
    let mut response = LeaveGroupResponse::default().with_error_code(left.error.code());
    if exchange.version >= LEAVE_MANY {
        let member =
            |(member, error): (kafka_protocol::messages::leave_group_request::MemberIdentity, ErrorCode)| {
                MemberResponse::default()
                    .with_member_id(member.member_id)
                    .with_group_instance_id(member.group_instance_id)
                    .with_error_code(error.code())
            };
        response.members = leaving.into_iter().zip(left.members).map(member).collect();
    } else if let (ErrorCode::None, Some(error)) = (left.error, left.members.first()) {
        response.error_code = error.code();
    }
    Ok(Some(response))
}

pub(super) async fn describe_groups(
    exchange: &Exchange<'_>,
    request: DescribeGroupsRequest,
) -> Result<Option<DescribeGroupsResponse>, Hangup> {
    let version = exchange.version;
    let group_ids = each_once(request.groups.iter().map(|group| wire::name(&group.0)));
    let response: api::DescribeGroupsResponse =
        exchange.ask(api::DescribeGroupsRequest { group_ids }).await?;
    let member = |member: api::DescribedMember| {
        let mut response = DescribedGroupMember::default()
            .with_member_id(wire::text(&member.member_id))
            .with_client_id(wire::text(&member.client_id))
            .with_client_host(wire::text(&member.client_host))
            .with_member_metadata(member.metadata)
            .with_member_assignment(member.assignment);
        if version >= 4 {
            response.group_instance_id = member.group_instance_id.as_deref().map(wire::text);
        }
        response
    };
    let group = |group: api::DescribedGroup| {
        let mut response = DescribedGroup::default()
            .with_group_id(GroupId(wire::text(&group.group_id)))
            .with_group_state(StrBytes::from_static_str(group.state.name()))
            .with_protocol_type(wire::text(&group.protocol_type))
            .with_protocol_data(wire::text(&group.protocol_name))
            .with_members(group.members.into_iter().map(member).collect());
        if version >= DESCRIBE_WITH_ERROR {
            response.error_code = group.error.code();
            response.error_message = (group.error != ErrorCode::None).then(|| wire::text(&group.message));
        } else if group.error != ErrorCode::GroupIdNotFound {
            response.error_code = group.error.code();
        }
        response
    };
    let groups = response.groups.into_iter().map(group).collect();
    Ok(Some(DescribeGroupsResponse::default().with_groups(groups)))
}

pub(super) async fn list_groups(
    exchange: &Exchange<'_>,
    request: ListGroupsRequest,
) -> Result<Option<ListGroupsResponse>, Hangup> {
    let version = exchange.version;
    let asked = api::ListGroupsRequest {
        states: request.states_filter.iter().map(|name| GroupState::from_name(name)).collect(),
        types: request.types_filter.iter().map(|name| GroupType::from_name(name)).collect(),
    };
    let response: api::ListGroupsResponse = exchange.ask(asked).await?;
    let group = |group: api::ListedGroup| {
        let mut response = ListedGroup::default()
            .with_group_id(GroupId(wire::text(&group.group_id)))
            .with_protocol_type(wire::text(&group.protocol_type));
        if version >= 4 {
            response.group_state = StrBytes::from_static_str(group.state.name());
        }
        if version >= 5 {
            response.group_type = StrBytes::from_static_str(group.group_type.name());
        }
        response
    };
    let groups = response.groups.into_iter().map(group).collect();
    Ok(Some(ListGroupsResponse::default().with_groups(groups)))
}

pub(super) async fn delete_groups(
    exchange: &Exchange<'_>,
    request: DeleteGroupsRequest,
) -> Result<Option<DeleteGroupsResponse>, Hangup> {
    let group_ids = request.groups_names.iter().map(|group| wire::name(&group.0)).collect();
    let response: api::DeleteGroupsResponse = exchange.ask(api::DeleteGroupsRequest { group_ids }).await?;
    let result = |result: api::GroupResult| {
        DeletableGroupResult::default()
            .with_group_id(GroupId(wire::text(&result.group_id)))
            .with_error_code(result.error.code())
    };
    let results = response.groups.into_iter().map(result).collect();
    Ok(Some(DeleteGroupsResponse::default().with_results(results)))
}

pub(super) async fn consumer_group_heartbeat(
    exchange: &Exchange<'_>,
    request: ConsumerGroupHeartbeatRequest,
) -> Result<Option<ConsumerGroupHeartbeatResponse>, Hangup> {
    let owned = |owned: kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions| {
        api::TopicIdPartitions {
            topic_id: api::TopicId(owned.topic_id.as_u128()),
            partitions: owned.partitions,
        }
    };
    let names = |names: Vec<kafka_protocol::messages::TopicName>| {
        names.iter().map(|name| wire::name(&name.0)).collect()
    };
    let asked = api::ConsumerGroupHeartbeatRequest {
        group_id: wire::name(&request.group_id.0),
        member_id: wire::name(&request.member_id),
        member_id_required: exchange.version >= HEARTBEAT_WITH_ID,
        member_epoch: request.member_epoch,
        group_instance_id: optional(request.instance_id.as_ref()),
        rack_id: optional(request.rack_id.as_ref()),
        rebalance_timeout_ms: Some(i64::from(request.rebalance_timeout_ms)).filter(|timeout| *timeout >= 0),
        subscribed_topics: request.subscribed_topic_names.map(names),
        subscribed_topic_regex: optional(request.subscribed_topic_regex.as_ref()),
        server_assignor: optional(request.server_assignor.as_ref()),
        owned: request.topic_partitions.map(|all| all.into_iter().map(owned).collect()),
    };
    let beat: api::ConsumerGroupHeartbeatResponse = exchange.ask(asked).await?;
    let partitions = |given: api::TopicIdPartitions| {
        AssignedPartitions::default()
            .with_topic_id(Uuid::from_u128(given.topic_id.0))
            .with_partitions(given.partitions)
    };
    let assignment = beat
        .assignment
        .map(|given| Assigned::default().with_topic_partitions(given.into_iter().map(partitions).collect()));
    let response = ConsumerGroupHeartbeatResponse::default()
        .with_error_code(beat.error.code())
        .with_error_message((beat.error != ErrorCode::None).then(|| wire::text(&beat.message)))
        .with_member_id(beat.member_id.as_deref().map(wire::text))
        .with_member_epoch(beat.member_epoch)
        .with_heartbeat_interval_ms(i32::try_from(beat.heartbeat_interval_ms).unwrap_or(i32::MAX))
        .with_assignment(assignment);
    Ok(Some(response))
}

pub(super) async fn consumer_group_describe(
    exchange: &Exchange<'_>,
    request: ConsumerGroupDescribeRequest,
) -> Result<Option<ConsumerGroupDescribeResponse>, Hangup> {
    let group_ids = each_once(request.group_ids.iter().map(|group| wire::name(&group.0)));
    let response: api::ConsumerGroupDescribeResponse =
        exchange.ask(api::ConsumerGroupDescribeRequest { group_ids }).await?;
    let version = exchange.version;
    let group = |group: api::DescribedConsumerGroup| {
        DescribedConsumerGroup::default()
            .with_error_code(group.error.code())
            .with_error_message((group.error != ErrorCode::None).then(|| wire::text(&group.message)))
            .with_group_id(GroupId(wire::text(&group.group_id)))
            .with_group_state(StrBytes::from_static_str(group.state.name()))
            .with_group_epoch(group.group_epoch)
            .with_assignment_epoch(group.assignment_epoch)
            .with_assignor_name(wire::text(&group.assignor))
            .with_members(group.members.into_iter().map(|member| described(version, member)).collect())
    };
    let groups = response.groups.into_iter().map(group).collect();
    Ok(Some(ConsumerGroupDescribeResponse::default().with_groups(groups)))
}

fn described(version: i16, member: api::DescribedConsumer) -> Member {
    let assignment = |held: Vec<api::NamedPartitions>| {
        let partitions = |held: api::NamedPartitions| {
            NamedTopicPartitions::default()
                .with_topic_id(Uuid::from_u128(held.topic_id.0))
                .with_topic_name(topic(&held.topic))
                .with_partitions(held.partitions)
        };
        Assignment::default().with_topic_partitions(held.into_iter().map(partitions).collect())
    };
    let mut response = Member::default()
        .with_member_id(wire::text(&member.member_id))
        .with_instance_id(member.group_instance_id.as_deref().map(wire::text))
        .with_rack_id(member.rack_id.as_deref().map(wire::text))
        .with_member_epoch(member.member_epoch)
        .with_client_id(wire::text(&member.client_id))
        .with_client_host(wire::text(&member.client_host))
        .with_subscribed_topic_names(member.subscribed_topics.iter().map(|name| topic(name)).collect())
        .with_subscribed_topic_regex(member.subscribed_topic_regex.as_deref().map(wire::text))
        .with_assignment(assignment(member.assignment))
        .with_target_assignment(assignment(member.target_assignment));
    if version >= 1 {
        // It is a member by the new protocol.
        response.member_type = 1;
    }
    response
}
