//! Syncing: the leader brings everybody's assignment, the others fetch theirs. Heartbeats keep members in.

use std::sync::Arc;

use bytes::Bytes;

use super::{ClassicGroup, Phase, Turn, Waiting};
use crate::api::{HeartbeatRequest, MemberAssignment, SyncGroupRequest, SyncGroupResponse, Ticket};
use crate::error::ErrorCode;

/// The answer to a member that gets no assignment.
pub(crate) fn unassigned(error: ErrorCode) -> SyncGroupResponse {
    SyncGroupResponse {
        error,
        protocol_type: Arc::from(""),
        protocol_name: Arc::from(""),
        assignment: Bytes::new(),
    }
}

impl ClassicGroup {
    /// Takes a SyncGroup; it is answered now or when the leader has come.
    pub(crate) fn sync(&mut self, request: SyncGroupRequest, ticket: Ticket, turn: &mut Turn<'_>) {
        if let Err(error) = self.check_sync(&request) {
            turn.answer(ticket, unassigned(error));
            return;
        }
        let member_id = request.member.member_id;
        self.unsynced.remove(&member_id);
        if self.state == Phase::Stable {
            self.refresh(&member_id, turn.now);
            let answer = self.assigned(&member_id);
            turn.answer(ticket, answer);
            return;
        }
        if let Some(member) = self.members.get_mut(&member_id) {
            member.waiting = Waiting::Sync(ticket);
        }
        if self.leader.as_ref() == Some(&member_id) {
            self.distribute(request.assignments, turn);
        }
    }

    fn check_sync(&self, request: &SyncGroupRequest) -> Result<(), ErrorCode> {
        self.check_generation(&request.member)?;
        let differs =
            |said: &Option<Arc<str>>, known: &Arc<str>| said.as_ref().is_some_and(|said| said != known);
        if differs(&request.protocol_type, &self.protocol_type)
            || differs(&request.protocol_name, &self.protocol_name)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        match self.state {
            Phase::CompletingRebalance | Phase::Stable => Ok(()),
            Phase::PreparingRebalance => Err(ErrorCode::RebalanceInProgress),
            Phase::Empty => Err(ErrorCode::UnknownMemberId),
        }
    }

    fn distribute(&mut self, assignments: Vec<MemberAssignment>, turn: &mut Turn<'_>) {
        for given in assignments {
            if let Some(member) = self.members.get_mut(&given.member_id) {
                member.assignment = given.assignment;
            }
        }
        self.state = Phase::Stable;
        self.revision += 1;
        let ids: Vec<Arc<str>> = self.members.keys().cloned().collect();
        for id in ids {
            let answer = self.assigned(&id);
            let member = self.members.get_mut(&id).expect("its id was just read");
            if let Waiting::Sync(ticket) = member.waiting {
                member.waiting = Waiting::Nothing;
                member.refresh(turn.now);
                turn.answer(ticket, answer);
            }
        }
    }

    fn assigned(&self, member_id: &Arc<str>) -> SyncGroupResponse {
        SyncGroupResponse {
            error: ErrorCode::None,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            assignment: self
                .members
                .get(member_id)
                .map(|member| member.assignment.clone())
                .unwrap_or_default(),
        }
    }

    /// Takes a heartbeat.
    pub(crate) fn heartbeat(&mut self, request: &HeartbeatRequest, now: i64) -> ErrorCode {
        if let Err(error) = self.check_generation(&request.member) {
            return error;
        }
        self.refresh(&request.member.member_id, now);
        match self.state {
            Phase::PreparingRebalance => ErrorCode::RebalanceInProgress,
            Phase::CompletingRebalance | Phase::Stable => ErrorCode::None,
            Phase::Empty => ErrorCode::UnknownMemberId,
        }
    }

    /// Starts the member's session anew, as any request of it does.
    pub(super) fn refresh(&mut self, member_id: &str, now: i64) {
        if let Some(member) = self.members.get_mut(member_id) {
            member.refresh(now);
        }
    }
}
