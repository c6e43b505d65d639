//! Join, sync, heartbeat, leave; list, describe and delete groups.

use super::Broker;
use crate::api::{
    ClientId, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse, DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest,
    DescribeGroupsResponse, DescribedConsumerGroup, DescribedGroup, GroupResult, GroupState,
    HeartbeatRequest, HeartbeatResponse, JoinGroupRequest, LeaveGroupRequest, LeaveGroupResponse,
    ListGroupsRequest, ListGroupsResponse, ListedGroup, SyncGroupRequest, Ticket,
};
use crate::error::ErrorCode;
use crate::group::{Beat, Caller, Group, beat_refused, refused, unassigned};
use crate::journal::Fact;
use std::sync::Arc;

impl Broker {
    pub(super) fn join_group(&mut self, client: &ClientId, request: &JoinGroupRequest, ticket: Ticket) {
        let may = self.say_start().map_err(|_| ErrorCode::CoordinatorNotAvailable);
        if let Err(error) = may.and_then(|()| self.check_join(request)) {
            return self.answer(ticket, refused(error, &request.member_id).into());
        }
        self.with_group(&request.group_id, |groups, turn| {
            match groups.get_or_create(&request.group_id).classic_to_join() {
                Ok(group) => group.join(request, Caller { client, ticket }, turn),
                Err(error) => turn.answer(ticket, refused(error, &request.member_id)),
            }
        });
    }

    fn check_join(&self, request: &JoinGroupRequest) -> Result<(), ErrorCode> {
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let allowed = self.group_rules.least_session_timeout_ms..=self.group_rules.most_session_timeout_ms;
        if !allowed.contains(&request.session_timeout_ms) {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        if !request.member_id.is_empty() && self.groups.get(&request.group_id).is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        Ok(())
    }

    pub(super) fn sync_group(&mut self, request: SyncGroupRequest, ticket: Ticket) {
        let group_id = request.group_id.clone();
        let answered = self.with_group(&group_id, |groups, turn| match groups.classic(&request.group_id) {
            Some(group) => {
                group.sync(request, ticket, turn);
                true
            }
            None => false,
        });
        if !answered {
            self.answer(ticket, unassigned(ErrorCode::UnknownMemberId).into());
        }
    }

    pub(super) fn heartbeat(&mut self, request: &HeartbeatRequest) -> HeartbeatResponse {
        let now = self.now;
        let group = self.groups.classic(&request.group_id);
        let error = group.map_or(ErrorCode::UnknownMemberId, |group| group.heartbeat(request, now));
        HeartbeatResponse { error }
    }

    pub(super) fn leave_group(&mut self, request: &LeaveGroupRequest) -> LeaveGroupResponse {
        let members = self.with_group(&request.group_id, |groups, turn| {
            let mut group = groups.classic(&request.group_id);
            let leave = |member| match &mut group {
                Some(group) => group.leave(member, turn),
                None => ErrorCode::UnknownMemberId,
            };
            request.members.iter().map(leave).collect()
        });
        LeaveGroupResponse { error: ErrorCode::None, members }
    }

    pub(super) fn list_groups(&self, request: &ListGroupsRequest) -> ListGroupsResponse {
        let wanted = |group: &ListedGroup| {
            (request.states.is_empty() || request.states.contains(&group.state))
                && (request.types.is_empty() || request.types.contains(&group.group_type))
        };
        ListGroupsResponse { groups: self.groups.iter().map(Group::listed).filter(wanted).collect() }
    }

    pub(super) fn describe_groups(&self, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
        let groups = request.group_ids.into_iter().map(|id| self.described_group(id)).collect();
        DescribeGroupsResponse { groups }
    }

    /// A group as DescribeGroups shows it; one that does not exist is dead.
    pub(super) fn described_group(&self, group_id: Arc<str>) -> DescribedGroup {
        let nothing: Arc<str> = Arc::from("");
        self.groups.get(&group_id).and_then(Group::described).unwrap_or_else(|| DescribedGroup {
            error: ErrorCode::GroupIdNotFound,
            message: format!("there is no classic group {group_id}"),
            group_id,
            state: GroupState::Dead,
            generation: -1,
            protocol_type: nothing.clone(),
            protocol_name: nothing,
            leader: None,
            members: Vec::new(),
        })
    }

    pub(super) fn consumer_group_heartbeat(
        &mut self,
        client: &ClientId,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> ConsumerGroupHeartbeatResponse {
        let may = self.say_start().map_err(|_| (ErrorCode::CoordinatorNotAvailable, String::new()));
        let answered = may.and_then(|()| Beat::read(request, client)).and_then(|beat| {
            let beaten = self.with_kept_group(&request.group_id, |groups, turn| {
                let group = match groups.get_mut(&request.group_id) {
                    Some(group) => group,
                    None if beat.joins() => groups.get_or_create(&request.group_id),
                    None => {
                        let message = format!("there is no group {}", request.group_id);
                        return Err((ErrorCode::GroupIdNotFound, message));
                    }
                };
                group.consumer_to_join(beat.joins())?.heartbeat(&beat, turn)
            });
            let unkept = |error| Err((error, "the group cannot be stored".to_owned()));
            beaten.unwrap_or_else(unkept)
        });
        answered.unwrap_or_else(beat_refused)
    }

    pub(super) fn describe_consumer_groups(
        &self,
        request: ConsumerGroupDescribeRequest,
    ) -> ConsumerGroupDescribeResponse {
        let described = |group_id: Arc<str>| {
            self.consumer_group(&group_id).unwrap_or_else(|| DescribedConsumerGroup {
                error: ErrorCode::GroupIdNotFound,
                message: format!("there is no consumer group {group_id}"),
                group_id,
                state: GroupState::Dead,
                group_epoch: 0,
                assignment_epoch: 0,
                assignor: Arc::from(""),
                members: Vec::new(),
            })
        };
        ConsumerGroupDescribeResponse { groups: request.group_ids.into_iter().map(described).collect() }
    }

    pub(super) fn delete_groups(&mut self, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
        let mut delete = |group_id: Arc<str>| {
            let deleted = self.groups.check_delete(&group_id).and_then(|()| {
                let fact = Fact::GroupDeleted(group_id.clone());
                self.note(&fact).map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
                self.noted.remove(&group_id);
                self.groups.remove(&group_id);
                Ok(())
            });
            let error = ErrorCode::of(&deleted);
            GroupResult { group_id, error }
        };
        DeleteGroupsResponse { groups: request.group_ids.into_iter().map(&mut delete).collect() }
    }
}
