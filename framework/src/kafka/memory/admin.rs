//! Admin: looks after topics and groups, and looks up offsets.

use std::task::{Poll, ready};

use headwater_broker::api::{
    CreateTopicsRequest, CreateTopicsResponse, DeleteRecordsPartition, DeleteRecordsRequest,
    DeleteRecordsResponse, DeleteTopicsRequest, DeleteTopicsResponse, DescribeConfigsRequest,
    DescribeConfigsResponse, DescribeGroupsRequest, DescribeGroupsResponse, LeaveGroupRequest,
    LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, ListOffsetsPartition, ListOffsetsRequest,
    ListOffsetsResponse, MemberClaim, MetadataRequest, MetadataResponse, OffsetCommitRequest,
    OffsetCommitResponse, OffsetFetchRequest, OffsetFetchResponse, OffsetSpec, TopicConfigs, TopicMetadata,
    TopicResult,
};
use headwater_broker::{ErrorCode, Response, api};

use super::door::Door;
use super::errand::{Errand, REQUEST_TIMEOUT_MS};
use super::{groups, place};
use crate::kafka::{
    Admin, Answer, Fault, GroupMember, Isolation, KafkaError, NewTopic, OffsetCommit, TopicInfo,
};
use crate::topic::{TopicName, TopicPartition};

/// An admin client.
#[derive(Debug)]
pub(super) struct MemoryAdmin {
    door: Door,
    /// The requests of the call under way; a call has two at most.
    asking: [Option<Errand>; 2],
}

impl MemoryAdmin {
    pub(super) fn new(door: Door) -> Self {
        Self { door, asking: [None, None] }
    }

    /// The answer to the call's request number `which`, judged by `unpack`; retriable errors are asked again.
    fn ask<R, T>(
        &mut self,
        which: usize,
        request: impl Into<api::Request>,
        unpack: impl FnOnce(R) -> Result<T, (ErrorCode, String)>,
        now_ms: i64,
    ) -> Answer<T>
    where
        R: TryFrom<Response, Error = ErrorCode>,
    {
        let errand = Errand::resume(&mut self.asking[which], request, REQUEST_TIMEOUT_MS);
        let Poll::Ready(answer) = errand.poll::<R>(&self.door, now_ms) else { return Poll::Pending };
        let answer = answer.map_err(|code| (code, "the request failed".to_owned())).and_then(unpack);
        match answer {
            Ok(answer) => Poll::Ready(Ok(answer)),
            // An unknown topic may be on its way on a cluster; here it is not.
            Err((code, _)) if code.is_retriable() && code != ErrorCode::UnknownTopicOrPartition => {
                Poll::Pending
            }
            Err((code, what)) => {
                self.asking = [None, None];
                Poll::Ready(Err(place::answered(code, Fault::Refused, what)))
            }
        }
    }

    fn done<T>(&mut self, answer: T) -> Answer<T> {
        self.asking = [None, None];
        Poll::Ready(Ok(answer))
    }
}

impl Admin for MemoryAdmin {
    fn describe(&mut self, names: &[TopicName], now_ms: i64) -> Answer<Vec<Option<TopicInfo>>> {
        let request = MetadataRequest { topics: Some(names.to_vec()), allow_auto_creation: false };
        let topics =
            ready!(self.ask(0, request, |response: MetadataResponse| Ok(response.topics), now_ms)?);
        let request = DescribeConfigsRequest { topics: names.to_vec() };
        let configs =
            ready!(self.ask(1, request, |response: DescribeConfigsResponse| Ok(response.topics), now_ms)?);
        let infos = topics.into_iter().zip(configs).map(|(topic, configs)| info(topic, configs)).collect();
        match infos {
            Ok(infos) => self.done(infos),
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn create(&mut self, topics: &[NewTopic], now_ms: i64) -> Answer<()> {
        let request = CreateTopicsRequest::new(topics.iter().map(new_topic).collect());
        ready!(self.ask(0, request, |response: CreateTopicsResponse| created(response.topics), now_ms)?);
        self.done(())
    }

    fn bounds(
        &mut self,
        partitions: &[TopicPartition],
        isolation: Isolation,
        now_ms: i64,
    ) -> Answer<Vec<(i64, i64)>> {
        let earliest = offsets_request(partitions, OffsetSpec::Earliest, isolation);
        let starts = ready!(self.ask(0, earliest, listed, now_ms)?);
        let latest = offsets_request(partitions, OffsetSpec::Latest, isolation);
        let ends = ready!(self.ask(1, latest, listed, now_ms)?);
        self.done(starts.into_iter().zip(ends).collect())
    }

    fn delete_records(&mut self, before: &[(TopicPartition, i64)], now_ms: i64) -> Answer<()> {
        let one = |(partition, offset): &(TopicPartition, i64)| DeleteRecordsPartition {
            at: place::at(partition),
            before_offset: *offset,
        };
        let request = DeleteRecordsRequest { partitions: before.iter().map(one).collect() };
        ready!(self.ask(0, request, trimmed, now_ms)?);
        self.done(())
    }

    fn topics(&mut self, now_ms: i64) -> Answer<Vec<TopicName>> {
        let request = MetadataRequest { topics: None, allow_auto_creation: false };
        let topics =
            ready!(self.ask(0, request, |response: MetadataResponse| Ok(response.topics), now_ms)?);
        self.done(topics.into_iter().map(|topic| topic.name).collect())
    }

    fn delete(&mut self, names: &[TopicName], now_ms: i64) -> Answer<()> {
        let request = DeleteTopicsRequest { topics: names.to_vec() };
        ready!(self.ask(0, request, |response: DeleteTopicsResponse| deleted(response.topics), now_ms)?);
        self.done(())
    }

    fn offsets_at(
        &mut self,
        partitions: &[TopicPartition],
        time_ms: i64,
        now_ms: i64,
    ) -> Answer<Vec<Option<i64>>> {
        let spec = OffsetSpec::Timestamp(time_ms);
        let request = offsets_request(partitions, spec, Isolation::ReadUncommitted);
        let offsets = ready!(self.ask(0, request, listed, now_ms)?);
        self.done(offsets.into_iter().map(|offset| (offset >= 0).then_some(offset)).collect())
    }

    fn groups(&mut self, now_ms: i64) -> Answer<Vec<String>> {
        let request = ListGroupsRequest::default();
        let groups =
            ready!(self.ask(0, request, |response: ListGroupsResponse| Ok(response.groups), now_ms)?);
        self.done(groups.into_iter().map(|group| group.group_id.to_string()).collect())
    }

    fn members(&mut self, group: &str, now_ms: i64) -> Answer<Vec<GroupMember>> {
        let request = DescribeGroupsRequest { group_ids: vec![group.into()] };
        let unpack = |response: DescribeGroupsResponse| Ok(groups::members(response));
        let members = ready!(self.ask(0, request, unpack, now_ms)?);
        self.done(members)
    }

    fn remove_members(&mut self, group: &str, members: &[GroupMember], now_ms: i64) -> Answer<()> {
        let members = members.iter().map(groups::leaving).collect();
        let request = LeaveGroupRequest { group_id: group.into(), members };
        ready!(self.ask(0, request, |response: LeaveGroupResponse| groups::left(&response), now_ms)?);
        self.done(())
    }

    fn group_offsets(&mut self, group: &str, now_ms: i64) -> Answer<Vec<OffsetCommit>> {
        let request = OffsetFetchRequest {
            group_id: group.into(),
            member: MemberClaim::none(),
            partitions: None,
            require_stable: true,
        };
        let offsets = ready!(self.ask(
            0,
            request,
            |response: OffsetFetchResponse| groups::offsets(response),
            now_ms
        )?);
        self.done(offsets)
    }

    fn set_group_offsets(&mut self, group: &str, offsets: &[OffsetCommit], now_ms: i64) -> Answer<()> {
        let request: OffsetCommitRequest = groups::commit(group, offsets);
        ready!(self.ask(0, request, |response: OffsetCommitResponse| groups::set(response), now_ms)?);
        self.done(())
    }
}

fn info(topic: TopicMetadata, configs: TopicConfigs) -> Result<Option<TopicInfo>, KafkaError> {
    for code in [topic.error, configs.error] {
        match code {
            ErrorCode::None => {}
            ErrorCode::UnknownTopicOrPartition => return Ok(None),
            code => {
                let what = format!("topic `{}` cannot be described", topic.name);
                return Err(place::answered(code, Fault::Refused, what));
            }
        }
    }
    Ok(Some(TopicInfo {
        name: topic.name,
        id: topic.topic_id.0,
        partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
        configs: configs.entries.into_iter().map(|entry| (entry.name.to_owned(), entry.value)).collect(),
    }))
}

/// A topic as the broker is asked for it.
pub(super) fn new_topic(topic: &NewTopic) -> api::NewTopic {
    api::NewTopic {
        name: topic.name.clone(),
        partitions: topic.partitions,
        replication_factor: topic.replication_factor.unwrap_or(-1),
        configs: topic.configs.iter().cloned().collect(),
    }
}

fn created(topics: Vec<TopicResult>) -> Result<(), (ErrorCode, String)> {
    for topic in topics {
        if !matches!(topic.error, ErrorCode::None | ErrorCode::TopicAlreadyExists) {
            return Err((topic.error, format!("topic `{}` cannot be made: {}", topic.name, topic.message)));
        }
    }
    Ok(())
}

fn offsets_request(
    partitions: &[TopicPartition],
    spec: OffsetSpec,
    isolation: Isolation,
) -> ListOffsetsRequest {
    let one = |partition| ListOffsetsPartition { at: place::at(partition), spec, current_leader_epoch: None };
    ListOffsetsRequest {
        isolation: place::isolation(isolation),
        partitions: partitions.iter().map(one).collect(),
    }
}

fn listed(response: ListOffsetsResponse) -> Result<Vec<i64>, (ErrorCode, String)> {
    let one = |listed: api::ListedOffset| match listed.error {
        ErrorCode::None => Ok(listed.offset),
        code => Err((code, format!("the offsets of {} cannot be looked up", listed.at))),
    };
    response.partitions.into_iter().map(one).collect()
}

fn deleted(topics: Vec<TopicResult>) -> Result<(), (ErrorCode, String)> {
    for topic in topics {
        if !matches!(topic.error, ErrorCode::None | ErrorCode::UnknownTopicOrPartition) {
            return Err((
                topic.error,
                format!("topic `{}` cannot be deleted: {}", topic.name, topic.message),
            ));
        }
    }
    Ok(())
}

fn trimmed(response: DeleteRecordsResponse) -> Result<(), (ErrorCode, String)> {
    match response.partitions.into_iter().find(|trimmed| trimmed.error != ErrorCode::None) {
        Some(trimmed) => Err((trimmed.error, format!("records of {} cannot be deleted", trimmed.at))),
        None => Ok(()),
    }
}
