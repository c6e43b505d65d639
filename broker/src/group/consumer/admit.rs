//! Admitting: who may send heartbeats under a member id, in an epoch, for a `group.instance.id`; and what a
//! heartbeat changes about the member.

use std::sync::Arc;

use super::{AWAY, Beat, ConsumerGroup, JOINING, Member, Partitions, Refusal};
use crate::error::ErrorCode;
use crate::group::Turn;

impl Member {
    /// Whether it may come with this epoch: its own one, or, if it shows that it holds nothing that it may not
    /// hold, the one before, for it may not have heard of its own.
    fn check_epoch(&self, epoch: i32, owned: Option<&Partitions>) -> Result<(), Refusal> {
        let late = epoch == self.previous_epoch && owned.is_some_and(|owned| owned.is_subset(&self.assigned));
        if epoch == self.epoch || epoch < self.epoch && late {
            return Ok(());
        }
        let message =
            format!("the member has reached epoch {}, not {epoch}: it has to join again", self.epoch);
        Err((ErrorCode::FencedMemberEpoch, message))
    }

    /// Takes what has changed; tells whether the subscription has.
    fn update(&mut self, beat: &Beat<'_>) -> bool {
        let request = beat.request;
        self.client_id = Arc::from(beat.client.as_str());
        self.client_host = Arc::from(beat.client.host());
        let replace = |old: &mut Option<Arc<str>>, new: &Option<Arc<str>>| {
            if new.is_some() {
                old.clone_from(new);
            }
        };
        replace(&mut self.instance_id, &request.group_instance_id);
        replace(&mut self.rack_id, &request.rack_id);
        self.rebalance_timeout_ms = request.rebalance_timeout_ms.unwrap_or(self.rebalance_timeout_ms);
        self.assignor = beat.assignor.or(self.assignor);
        self.subscription.update(request.subscribed_topics.as_deref(), beat.pattern.as_ref())
    }
}

impl ConsumerGroup {
    /// Finds the member, or lets a new one in, and takes what the heartbeat changes. Returns its id, and whether
    /// members or subscriptions are others than before.
    pub(super) fn admit(
        &mut self,
        beat: &Beat<'_>,
        turn: &mut Turn<'_>,
    ) -> Result<(Arc<str>, bool), Refusal> {
        let request = beat.request;
        self.check_room(&request.member_id, turn.rules.consumer_group_max_size)?;
        let returns = match &request.group_instance_id {
            Some(instance) => self.check_instance(instance, beat)?,
            None => None,
        };
        let member_id = match request.member_id.is_empty() {
            true => turn.ids.member_id(beat.client.as_str()),
            false => request.member_id.clone(),
        };
        let is_new = returns.is_none() && !self.members.contains_key(&member_id);
        match (returns, self.members.get(&member_id)) {
            (Some(old), _) => self.replace(&old, &member_id),
            (None, Some(member)) => member.check_epoch(request.member_epoch, beat.owned.as_ref())?,
            (None, None) if beat.joins() => drop(self.members.insert(member_id.clone(), Member::new())),
            (None, None) => return Err(unknown(&member_id)),
        }
        if let Some(instance) = &request.group_instance_id {
            self.instances.insert(instance.clone(), member_id.clone());
        }
        let member = self.members.get_mut(&member_id).expect("it was found or inserted above");
        let has_changed = member.update(beat) || is_new;
        Ok((member_id, has_changed))
    }

    fn check_room(&self, member_id: &str, most: usize) -> Result<(), Refusal> {
        if self.members.len() < most || self.members.contains_key(member_id) {
            return Ok(());
        }
        Err((
            ErrorCode::GroupMaxSizeReached,
            format!("the group has {most} members, which is all it may have"),
        ))
    }

    /// Whether the member may use this `group.instance.id`. Returns the id under which it was known before, if
    /// it comes back.
    fn check_instance(&self, instance: &Arc<str>, beat: &Beat<'_>) -> Result<Option<Arc<str>>, Refusal> {
        let member_id = &beat.request.member_id;
        let Some(holder) = self.instances.get(instance) else {
            return match self.members.contains_key(member_id) {
                // Kafka would let a member change its instance; no client does.
                true => Err((ErrorCode::InvalidRequest, "a member keeps its group.instance.id".to_owned())),
                false if beat.joins() => Ok(None),
                false => Err((ErrorCode::UnknownMemberId, format!("there is no instance {instance}"))),
            };
        };
        if !beat.joins() {
            return self.check_holder(instance, member_id).map(|()| None);
        }
        if self.members[holder].epoch != AWAY {
            let message = format!("member {holder} is instance {instance} and has not left");
            return Err((ErrorCode::UnreleasedInstanceId, message));
        }
        if holder != member_id && self.members.contains_key(member_id) {
            return Err((ErrorCode::InvalidRequest, "the member id belongs to another instance".to_owned()));
        }
        Ok(Some(holder.clone()))
    }

    /// Whether the instance is this member.
    pub(super) fn check_holder(&self, instance: &str, member_id: &str) -> Result<(), Refusal> {
        match self.instances.get(instance) {
            None => Err((ErrorCode::UnknownMemberId, format!("there is no instance {instance}"))),
            Some(holder) if **holder != *member_id => {
                Err((ErrorCode::FencedInstanceId, format!("instance {instance} is member {holder} by now")))
            }
            Some(_) => Ok(()),
        }
    }

    /// A static member comes back: it keeps what it held and shall hold, under its new id.
    fn replace(&mut self, old: &Arc<str>, new: &Arc<str>) {
        let member = self.members.remove(old).expect("every instance belongs to a member");
        self.members.insert(new.clone(), Member { epoch: JOINING, previous_epoch: JOINING, ..member });
        if let Some(target) = self.target.remove(old) {
            self.target.insert(new.clone(), target);
        }
    }
}

/// The answer to a member that is not known.
pub(super) fn unknown(member_id: &str) -> Refusal {
    (ErrorCode::UnknownMemberId, format!("member {member_id} is not in the group"))
}
