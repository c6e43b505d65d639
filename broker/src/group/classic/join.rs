//! Joining: a new member, a known one that joins again, or a static one that returns under a new id.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::{Caller, ClassicGroup, Member, Phase, Turn, Waiting};
use crate::api::{JoinGroupRequest, JoinGroupResponse, JoinedMember, MemberClaim, Ticket};
use crate::error::ErrorCode;

/// What a member may say of itself; in Kafka it has to fit into a record, which is 1 MiB at most.
const MOST_METADATA_BYTES: usize = 1 << 20;

/// The answer to a member that is not let in.
pub(crate) fn refused(error: ErrorCode, member_id: &Arc<str>) -> JoinGroupResponse {
    JoinGroupResponse {
        error,
        generation: -1,
        protocol_type: Arc::from(""),
        protocol_name: Arc::from(""),
        leader: Arc::from(""),
        member_id: member_id.clone(),
        skip_assignment: false,
        members: Vec::new(),
    }
}

impl ClassicGroup {
    /// Takes a JoinGroup; it is answered now or when the rebalance is complete.
    pub(crate) fn join(&mut self, request: &JoinGroupRequest, caller: Caller<'_>, turn: &mut Turn<'_>) {
        let outcome =
            self.check_room(request, turn).and_then(|()| self.check_protocols(request)).and_then(|()| {
                if request.member_id.is_empty() {
                    self.join_new(request, caller, turn)
                } else {
                    self.join_known(request, caller, turn)
                }
            });
        match outcome {
            Err(ErrorCode::GroupMaxSizeReached) => {
                turn.answer(caller.ticket, refused(ErrorCode::GroupMaxSizeReached, &Arc::from("")));
            }
            Err(error) => turn.answer(caller.ticket, refused(error, &request.member_id)),
            Ok(()) => {}
        }
    }

    /// `group.max.size`. Of a group that is too large already those stay that join again first.
    fn check_room(&mut self, request: &JoinGroupRequest, turn: &mut Turn<'_>) -> Result<(), ErrorCode> {
        let known = self.members.get(&request.member_id);
        let (is_in, members) = match self.state {
            Phase::Empty => return Ok(()),
            Phase::PreparingRebalance => {
                let joining = self.members.values().filter(|member| member.is_joining()).count();
                (known.is_some_and(Member::is_joining), joining)
            }
            Phase::CompletingRebalance | Phase::Stable => (known.is_some(), self.members.len()),
        };
        if is_in || members < turn.rules.group_max_size {
            return Ok(());
        }
        self.remove_member(&request.member_id, turn);
        Err(ErrorCode::GroupMaxSizeReached)
    }

    fn check_protocols(&self, request: &JoinGroupRequest) -> Result<(), ErrorCode> {
        let bytes: usize = request.protocols.iter().map(|offered| offered.metadata.len()).sum();
        if bytes > MOST_METADATA_BYTES {
            return Err(ErrorCode::InvalidRequest);
        }
        if request.protocols.is_empty() || request.protocol_type.is_empty() {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        if self.members.is_empty() {
            return Ok(());
        }
        let mut shared: BTreeSet<&str> = request.protocols.iter().map(|offered| &*offered.name).collect();
        for (_, member) in self.members.iter().filter(|(id, _)| **id != request.member_id) {
            let names = member.protocols.iter().map(|known| &*known.name);
            shared = names.filter(|name| shared.contains(name)).collect();
        }
        if self.protocol_type == request.protocol_type && !shared.is_empty() {
            Ok(())
        } else {
            Err(ErrorCode::InconsistentGroupProtocol)
        }
    }

    fn join_new(
        &mut self,
        request: &JoinGroupRequest,
        caller: Caller<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance) = &request.group_instance_id {
            let member_id = turn.ids.member_id(instance);
            match self.instances.get(instance).cloned() {
                Some(old) => self.replace_static(request, (old, member_id), caller.ticket, turn),
                None => self.add_member(request, member_id, caller, turn),
            }
            return Ok(());
        }
        let member_id = turn.ids.member_id(caller.client.as_str());
        if request.member_id_required {
            self.promised.insert(member_id.clone(), turn.now.saturating_add(request.session_timeout_ms));
            turn.answer(caller.ticket, refused(ErrorCode::MemberIdRequired, &member_id));
        } else {
            self.add_member(request, member_id, caller, turn);
        }
        Ok(())
    }

    fn join_known(
        &mut self,
        request: &JoinGroupRequest,
        caller: Caller<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(), ErrorCode> {
        if self.promised.remove(&request.member_id).is_some() {
            self.add_member(request, request.member_id.clone(), caller, turn);
            return Ok(());
        }
        let claim = MemberClaim {
            generation: -1,
            member_id: request.member_id.clone(),
            group_instance_id: request.group_instance_id.clone(),
        };
        self.check_member(&claim)?;
        let member = self.members.get(&request.member_id).ok_or(ErrorCode::UnknownMemberId)?;
        let changed = member.protocols != request.protocols;
        let is_leader = self.leader.as_ref() == Some(&request.member_id);
        let rebalances = match self.state {
            Phase::PreparingRebalance => false,
            // The answer to the first JoinGroup was lost: give it again.
            Phase::CompletingRebalance => changed,
            // The leader joins again when it wants a new assignment.
            Phase::Stable => changed || is_leader,
            Phase::Empty => return Err(ErrorCode::UnknownMemberId),
        };
        if self.state != Phase::PreparingRebalance && !rebalances {
            let answer = self.current_answer(&request.member_id);
            self.refresh(&request.member_id, turn.now);
            turn.answer(caller.ticket, answer);
            return Ok(());
        }
        self.update_member(request, &request.member_id, caller.ticket);
        if rebalances {
            self.prepare_rebalance(turn);
        } else {
            self.complete_join_if_all_joined(turn);
        }
        Ok(())
    }

    fn add_member(
        &mut self,
        request: &JoinGroupRequest,
        member_id: Arc<str>,
        caller: Caller<'_>,
        turn: &mut Turn<'_>,
    ) {
        if let Some(instance) = &request.group_instance_id {
            self.instances.insert(instance.clone(), member_id.clone());
        }
        if self.members.is_empty() {
            self.protocol_type = request.protocol_type.clone();
        }
        let member = Member {
            instance_id: request.group_instance_id.clone(),
            client_id: Arc::from(caller.client.as_str()),
            client_host: Arc::from(caller.client.host()),
            session_timeout_ms: request.session_timeout_ms,
            rebalance_timeout_ms: request.rebalance_timeout_ms,
            protocols: request.protocols.clone(),
            assignment: Bytes::new(),
            waiting: Waiting::Join(caller.ticket),
            expires_at: i64::MAX,
        };
        self.members.insert(member_id.clone(), member);
        self.leader.get_or_insert(member_id);
        if self.state == Phase::PreparingRebalance {
            self.extend_initial_delay(turn);
            self.complete_join_if_all_joined(turn);
        } else {
            self.prepare_rebalance(turn);
        }
    }

    fn update_member(&mut self, request: &JoinGroupRequest, member_id: &str, ticket: Ticket) {
        let member = self.members.get_mut(member_id).expect("the caller has found the member");
        member.session_timeout_ms = request.session_timeout_ms;
        member.rebalance_timeout_ms = request.rebalance_timeout_ms;
        member.protocols.clone_from(&request.protocols);
        member.waiting = Waiting::Join(ticket);
    }

    /// A static member has come back (or somebody else took its name): it gets a new id, and whoever holds
    /// the old one is fenced. A stable group stays as it is.
    fn replace_static(
        &mut self,
        request: &JoinGroupRequest,
        (old, new): (Arc<str>, Arc<str>),
        ticket: Ticket,
        turn: &mut Turn<'_>,
    ) {
        let member = self.members.remove(&old).expect("every instance id belongs to a member");
        self.answer_waiting(&old, member.waiting, ErrorCode::FencedInstanceId, turn);
        if let Some(instance) = &member.instance_id {
            self.instances.insert(instance.clone(), new.clone());
        }
        self.members.insert(new.clone(), Member { waiting: Waiting::Nothing, ..member });
        if self.unsynced.remove(&old) {
            self.unsynced.insert(new.clone());
        }
        let old_leader = self.leader.clone().unwrap_or_else(|| Arc::from(""));
        if self.leader.as_ref() == Some(&old) {
            self.leader = Some(new.clone());
        }
        self.update_member(request, &new, ticket);
        let keeps = self.state == Phase::Stable && self.choose_protocol() == self.protocol_name;
        if keeps {
            self.revision += 1;
            let member = self.members.get_mut(&new).expect("it was inserted above");
            member.waiting = Waiting::Nothing;
            member.refresh(turn.now);
            let mut answer = self.current_answer(&new);
            if request.knows_skip_assignment {
                answer.skip_assignment = self.leader.as_ref() == Some(&new);
            } else {
                // It must not think that it has to assign: the old id is named as the leader.
                answer = JoinGroupResponse { leader: old_leader, members: Vec::new(), ..answer };
            }
            turn.answer(ticket, answer);
        } else if self.state == Phase::PreparingRebalance {
            self.complete_join_if_all_joined(turn);
        } else {
            self.prepare_rebalance(turn);
        }
    }

    /// What a member is told about the generation that has started.
    pub(super) fn current_answer(&self, member_id: &Arc<str>) -> JoinGroupResponse {
        let is_leader = self.leader.as_ref() == Some(member_id);
        let joined = |(id, member): (&Arc<str>, &Member)| JoinedMember {
            member_id: id.clone(),
            group_instance_id: member.instance_id.clone(),
            metadata: member.metadata(&self.protocol_name),
        };
        JoinGroupResponse {
            error: ErrorCode::None,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone().unwrap_or_else(|| Arc::from("")),
            member_id: member_id.clone(),
            skip_assignment: false,
            members: if is_leader { self.members.iter().map(joined).collect() } else { Vec::new() },
        }
    }
}
