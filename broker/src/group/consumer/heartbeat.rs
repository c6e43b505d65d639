//! A heartbeat: says that a member lives, brings what has changed with it, and takes what it may hold.

use std::sync::Arc;

use super::assign::Assignor;
use super::subscription::Pattern;
use super::{AWAY, ConsumerGroup, JOINING, LEAVING, Member, Partitions, Refusal, named, partitions_of};
use crate::api::{ClientId, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use crate::error::ErrorCode;
use crate::group::Turn;

/// A heartbeat that makes sense.
#[derive(Debug)]
pub(crate) struct Beat<'a> {
    pub(super) request: &'a ConsumerGroupHeartbeatRequest,
    pub(super) client: &'a ClientId,
    /// A new pattern, or that there is none any more.
    pub(super) pattern: Option<Option<Pattern>>,
    pub(super) assignor: Option<Assignor>,
    pub(super) owned: Option<Partitions>,
}

fn invalid(message: &str) -> Refusal {
    (ErrorCode::InvalidRequest, message.to_owned())
}

impl<'a> Beat<'a> {
    /// # Errors
    /// `INVALID_REQUEST`, `UNSUPPORTED_ASSIGNOR`, `INVALID_REGULAR_EXPRESSION`, each with what was wrong.
    pub(crate) fn read(
        request: &'a ConsumerGroupHeartbeatRequest,
        client: &'a ClientId,
    ) -> Result<Self, Refusal> {
        check_ids(request)?;
        if request.member_epoch == JOINING {
            check_joining(request)?;
        } else if request.member_epoch == AWAY && request.group_instance_id.is_none() {
            return Err(invalid("only a member with a group.instance.id leaves for a while"));
        } else if request.member_epoch < AWAY {
            return Err(invalid("no member has such an epoch"));
        }
        let assignor = match &request.server_assignor {
            None => None,
            Some(name) => Some(Assignor::from_name(name).ok_or_else(|| {
                let known = Assignor::ALL.map(Assignor::name).join(" and ");
                (ErrorCode::UnsupportedAssignor, format!("there is no assignor {name}, but {known}"))
            })?),
        };
        let pattern = match &request.subscribed_topic_regex {
            None => None,
            Some(none) if none.is_empty() => Some(None),
            Some(text) => Some(Some(Pattern::parse(text)?)),
        };
        let owned = request.owned.as_deref().map(partitions_of);
        Ok(Self { request, client, pattern, assignor, owned })
    }

    /// Whether a group is made for it when there is none.
    pub(crate) fn joins(&self) -> bool {
        self.request.member_epoch == JOINING
    }

    /// Whether it tells all about the member, as clients do that have lost an answer: it is to hear all again.
    fn is_full(&self) -> bool {
        let subscribes =
            self.request.subscribed_topics.is_some() || self.request.subscribed_topic_regex.is_some();
        self.joins() || self.request.rebalance_timeout_ms.is_some() && subscribes && self.owned.is_some()
    }
}

fn check_ids(request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refusal> {
    let is_empty = |id: &Option<Arc<str>>| id.as_ref().is_some_and(|id| id.trim().is_empty());
    let may_be_given = !request.member_id_required && request.member_epoch == JOINING;
    if request.member_id.trim().is_empty() && !may_be_given {
        return Err(invalid("a member has an id"));
    }
    if request.group_id.trim().is_empty() {
        return Err(invalid("a group has a name"));
    }
    if is_empty(&request.group_instance_id) {
        return Err(invalid("a group.instance.id is not empty"));
    }
    if is_empty(&request.rack_id) {
        return Err(invalid("a rack is not empty"));
    }
    Ok(())
}

fn check_joining(request: &ConsumerGroupHeartbeatRequest) -> Result<(), Refusal> {
    if request.rebalance_timeout_ms.is_none() {
        return Err(invalid("who joins says its rebalance time-out"));
    }
    if request.owned.as_ref().is_none_or(|owned| !owned.is_empty()) {
        return Err(invalid("who joins holds no partitions, and says so"));
    }
    if request.subscribed_topics.is_none() && request.subscribed_topic_regex.is_none() {
        return Err(invalid("who joins says which topics it wants"));
    }
    Ok(())
}

impl ConsumerGroup {
    /// Takes a heartbeat of a member that joins, stays or leaves.
    pub(crate) fn heartbeat(
        &mut self,
        beat: &Beat<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        if [LEAVING, AWAY].contains(&beat.request.member_epoch) {
            return self.leave(beat.request);
        }
        let known = self.members.get(&beat.request.member_id).cloned();
        let (member_id, has_changed) = self.admit(beat, turn)?;
        let member = self.members.get_mut(&member_id).expect("it was admitted");
        member.expires_at = turn.now.saturating_add(turn.rules.consumer_session_timeout_ms);
        let held_before = member.assigned.clone();
        self.retarget(has_changed, turn.catalogue);
        self.reconcile(&member_id, beat.owned.as_ref(), turn.now);
        let member = &self.members[&member_id];
        let known = known.map(|known| Member { expires_at: member.expires_at, ..known });
        if known.as_ref() != Some(member) {
            self.revision += 1;
        }
        let tell = beat.is_full() || member.assigned != held_before;
        Ok(ConsumerGroupHeartbeatResponse {
            error: ErrorCode::None,
            message: String::new(),
            member_id: Some(member_id.clone()),
            member_epoch: member.epoch,
            heartbeat_interval_ms: turn.rules.consumer_heartbeat_interval_ms,
            assignment: tell.then(|| named(&member.assigned)),
        })
    }
}
