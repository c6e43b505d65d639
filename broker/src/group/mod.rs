//! A group: members that share partitions, and the offsets it has committed.
//!
//! 1. Offsets belong to the group whatever its members do; they outlive members and crashes.
//! 2. A group's number (of its generation, or its epoch) never goes back, not even in a crash.
//! 3. All members of a group use one protocol. A group without members may go over to the other one, and its
//!    number goes on.

mod classic;
mod consumer;
mod durable;
mod expiry;
mod offsets;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::{
    ClientId, DescribedGroup, GroupType, ListedGroup, MemberClaim, Response, Ticket, TopicPartition,
};
use crate::error::ErrorCode;
use crate::identity::IdSource;
use crate::topic::Catalogue;

pub(crate) use classic::{ClassicFact, ClassicGroup, ClassicMemberFact, refused, unassigned};
pub(crate) use consumer::{
    Beat, ConsumerFact, ConsumerGroup, ConsumersFact, Refusal, Step, refused as beat_refused,
};
pub(crate) use durable::{GroupFact, MembersFact, Noted};
pub(crate) use offsets::{CommitCheck, Offsets};

/// Limits that the broker sets for groups.
#[derive(Clone, Debug)]
pub(crate) struct GroupRules {
    pub(crate) least_session_timeout_ms: i64,
    pub(crate) most_session_timeout_ms: i64,
    pub(crate) initial_rebalance_delay_ms: i64,
    pub(crate) most_metadata_bytes: usize,
    pub(crate) group_max_size: usize,
    pub(crate) consumer_group_max_size: usize,
    pub(crate) consumer_session_timeout_ms: i64,
    pub(crate) consumer_heartbeat_interval_ms: i64,
    pub(crate) offsets_retention_ms: i64,
}

/// Who waits for an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) client: &'a ClientId,
    pub(crate) ticket: Ticket,
}

/// What a group may use while it handles one request or one tick.
pub(crate) struct Turn<'a> {
    pub(crate) now: i64,
    pub(crate) rules: &'a GroupRules,
    pub(crate) ids: &'a mut IdSource,
    pub(crate) catalogue: &'a Catalogue,
    /// Answers to give, to this request or to parked ones.
    pub(crate) answers: &'a mut Vec<(Ticket, Response)>,
}

impl Turn<'_> {
    pub(crate) fn answer(&mut self, ticket: Ticket, response: impl Into<Response>) {
        self.answers.push((ticket, response.into()));
    }
}

/// How the members of a group share.
#[derive(Clone, Debug)]
enum Membership {
    Classic(ClassicGroup),
    Consumer(ConsumerGroup),
}

/// A group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    id: Arc<str>,
    membership: Membership,
    pub(crate) offsets: Offsets,
    /// Since when it is known to have lost its members.
    empty_since: Option<i64>,
}

impl Group {
    fn new(id: Arc<str>) -> Self {
        let membership = Membership::Classic(ClassicGroup::new(0));
        Self { id, membership, offsets: Offsets::default(), empty_since: None }
    }

    /// The members of a group of the classic protocol.
    pub(crate) fn classic(&mut self) -> Option<&mut ClassicGroup> {
        match &mut self.membership {
            Membership::Classic(group) => Some(group),
            Membership::Consumer(_) => None,
        }
    }

    /// The same to join them; a consumer group without members becomes a classic one. (Kafka also lets classic
    /// members into a consumer group that has some; here one has to end first.)
    pub(crate) fn classic_to_join(&mut self) -> Result<&mut ClassicGroup, ErrorCode> {
        if let Membership::Consumer(group) = &self.membership
            && group.is_empty()
        {
            self.membership = Membership::Classic(ClassicGroup::new(group.epoch()));
        }
        self.classic().ok_or(ErrorCode::InconsistentGroupProtocol)
    }

    /// The members of a consumer group.
    pub(crate) fn consumer(&self) -> Option<&ConsumerGroup> {
        match &self.membership {
            Membership::Consumer(group) => Some(group),
            Membership::Classic(_) => None,
        }
    }

    /// The same to send them a heartbeat; a classic group without members becomes a consumer group for who
    /// joins. (Kafka also turns a classic group that has some into a consumer group, if its members allow it;
    /// here they have to leave first.)
    pub(crate) fn consumer_to_join(&mut self, joins: bool) -> Result<&mut ConsumerGroup, Refusal> {
        if let Membership::Classic(group) = &self.membership
            && group.is_empty()
        {
            if !joins {
                // Kafka says that there is no such group, and its clients give up. A folder that an older broker
                // has left knows no members, and then they have to hear that they can join again.
                let message = format!("group {} has no members", self.id);
                return Err((ErrorCode::UnknownMemberId, message));
            }
            self.membership = Membership::Consumer(ConsumerGroup::new(group.generation()));
        }
        match &mut self.membership {
            Membership::Consumer(group) => Ok(group),
            Membership::Classic(_) => {
                Err((ErrorCode::GroupIdNotFound, format!("group {} is not a consumer group", self.id)))
            }
        }
    }

    pub(crate) fn listed(&self) -> ListedGroup {
        let (protocol_type, state, group_type) = match &self.membership {
            Membership::Classic(group) => (group.protocol_type(), group.state(), GroupType::Classic),
            Membership::Consumer(group) => (Arc::from("consumer"), group.state(), GroupType::Consumer),
        };
        ListedGroup { group_id: self.id.clone(), protocol_type, state, group_type }
    }

    /// The group, if it is of the classic protocol.
    pub(crate) fn described(&self) -> Option<DescribedGroup> {
        match &self.membership {
            Membership::Classic(group) => Some(group.described(self.id.clone())),
            Membership::Consumer(_) => None,
        }
    }

    /// Whether nobody is in it.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.membership {
            Membership::Classic(group) => group.is_empty(),
            Membership::Consumer(group) => group.is_empty(),
        }
    }

    /// Whether who claims to be `member` may commit; for members of a classic group it is a sign of life.
    pub(crate) fn commit(
        &mut self,
        member: &MemberClaim,
        check: CommitCheck,
        now: i64,
    ) -> Result<(), ErrorCode> {
        match &mut self.membership {
            Membership::Classic(group) => {
                group.check_commit(member, check)?;
                group.committed_by(member, now);
                Ok(())
            }
            Membership::Consumer(group) => group.check_commit(member, check),
        }
    }

    /// Whether offsets may be deleted at all: of a group with members only if it can be known what they read.
    pub(crate) fn check_offset_delete(&self) -> Result<(), ErrorCode> {
        match &self.membership {
            Membership::Classic(group) if !group.is_empty() && !group.has_consumers() => {
                Err(ErrorCode::NonEmptyGroup)
            }
            _ => Ok(()),
        }
    }

    /// Whether an offset may be deleted: no member may need it.
    pub(crate) fn check_unused(&self, at: &TopicPartition) -> Result<(), ErrorCode> {
        if self.reads(&at.topic) { Err(ErrorCode::GroupSubscribedToTopic) } else { Ok(()) }
    }

    /// Whether a member reads this topic.
    fn reads(&self, topic: &str) -> bool {
        match &self.membership {
            Membership::Classic(group) => group.reads(topic),
            Membership::Consumer(group) => group.reads(topic),
        }
    }

    /// Takes a member out as if its session had ended.
    pub(crate) fn expire(&mut self, member_id: &str, turn: &mut Turn<'_>) -> Result<(), ErrorCode> {
        match &mut self.membership {
            Membership::Classic(group) => group.expire(member_id, turn),
            Membership::Consumer(group) => group.expire(member_id).map_err(|(error, _)| error),
        }
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, turn: &mut Turn<'_>) {
        match &mut self.membership {
            Membership::Classic(group) => group.tick(turn),
            Membership::Consumer(group) => group.tick(turn.now),
        }
        self.notice_emptiness(turn.now);
    }

    /// When [`Group::tick`] has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<i64> {
        match &self.membership {
            Membership::Classic(group) => group.next_deadline(),
            Membership::Consumer(group) => group.next_deadline(),
        }
    }
}

/// All groups, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Groups {
    groups: BTreeMap<Arc<str>, Group>,
}

impl Groups {
    pub(crate) fn get(&self, id: &str) -> Option<&Group> {
        self.groups.get(id)
    }

    pub(crate) fn get_with_id(&self, id: &str) -> Option<(&Arc<str>, &Group)> {
        self.groups.get_key_value(id)
    }

    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Group> {
        self.groups.get_mut(id)
    }

    /// The members of this group, if it is of the classic protocol.
    pub(crate) fn classic(&mut self, id: &str) -> Option<&mut ClassicGroup> {
        self.get_mut(id)?.classic()
    }

    pub(crate) fn get_or_create(&mut self, id: &Arc<str>) -> &mut Group {
        self.groups.entry(id.clone()).or_insert_with(|| Group::new(id.clone()))
    }

    /// Whether a group can be deleted, with its offsets: it must have no members.
    pub(crate) fn check_delete(&self, id: &str) -> Result<(), ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let group = self.groups.get(id).ok_or(ErrorCode::GroupIdNotFound)?;
        if !group.is_empty() {
            return Err(ErrorCode::NonEmptyGroup);
        }
        Ok(())
    }

    /// Keeps only the groups for which this holds.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&mut Group) -> bool) {
        self.groups.retain(|_, group| keep(group));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Group> {
        self.groups.values()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.groups.values_mut()
    }
}
