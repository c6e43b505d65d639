//! Join, sync, heartbeat, leave; list, describe and delete groups.

use super::Broker;
use crate::api::{
    ClientId, DeleteGroupsRequest, DeleteGroupsResponse, DescribeGroupsRequest, DescribeGroupsResponse,
    DescribedGroup, GroupResult, GroupState, HeartbeatRequest, HeartbeatResponse, JoinGroupRequest,
    LeaveGroupRequest, LeaveGroupResponse, ListGroupsRequest, ListGroupsResponse, SyncGroupRequest, Ticket,
};
use crate::error::ErrorCode;
use crate::group::{Caller, Group, refused, unassigned};
use std::sync::Arc;

impl Broker {
    pub(super) fn join_group(&mut self, client: &ClientId, request: &JoinGroupRequest, ticket: Ticket) {
        if let Err(error) = self.check_join(request) {
            return self.answer(ticket, refused(error, &request.member_id).into());
        }
        self.with_groups(|groups, turn| {
            groups.get_or_create(&request.group_id).join(request, Caller { client, ticket }, turn);
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
        let answered = self.with_groups(|groups, turn| match groups.get_mut(&request.group_id) {
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
        let group = self.groups.get_mut(&request.group_id);
        let error = group.map_or(ErrorCode::UnknownMemberId, |group| group.heartbeat(request, now));
        HeartbeatResponse { error }
    }

    pub(super) fn leave_group(&mut self, request: &LeaveGroupRequest) -> LeaveGroupResponse {
        let members = self.with_groups(|groups, turn| {
            let mut group = groups.get_mut(&request.group_id);
            let leave = |member| match &mut group {
                Some(group) => group.leave(member, turn),
                None => ErrorCode::UnknownMemberId,
            };
            request.members.iter().map(leave).collect()
        });
        LeaveGroupResponse { error: ErrorCode::None, members }
    }

    pub(super) fn list_groups(&self, request: &ListGroupsRequest) -> ListGroupsResponse {
        let wanted = |state| request.states.is_empty() || request.states.contains(&state);
        let groups = self.groups.iter().filter(|group| wanted(group.state()));
        ListGroupsResponse { groups: groups.map(Group::listed).collect() }
    }

    pub(super) fn describe_groups(&self, request: DescribeGroupsRequest) -> DescribeGroupsResponse {
        let groups = request.group_ids.into_iter().map(|id| self.described_group(id)).collect();
        DescribeGroupsResponse { groups }
    }

    /// A group as DescribeGroups shows it; one that does not exist is dead.
    pub(super) fn described_group(&self, group_id: Arc<str>) -> DescribedGroup {
        let nothing: Arc<str> = Arc::from("");
        self.groups.get(&group_id).map(Group::described).unwrap_or(DescribedGroup {
            group_id,
            state: GroupState::Dead,
            generation: -1,
            protocol_type: nothing.clone(),
            protocol_name: nothing,
            leader: None,
            members: Vec::new(),
        })
    }

    pub(super) fn delete_groups(&mut self, request: DeleteGroupsRequest) -> DeleteGroupsResponse {
        let mut delete = |group_id: Arc<str>| {
            let error = ErrorCode::of(&self.groups.delete(&group_id));
            GroupResult { group_id, error }
        };
        DeleteGroupsResponse { groups: request.group_ids.into_iter().map(&mut delete).collect() }
    }
}
