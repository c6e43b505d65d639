//! What of a group outlives the broker: its type, its number and its offsets.

use std::sync::Arc;

use super::{ClassicGroup, ConsumerGroup, Group, Groups, Membership};
use crate::api::GroupType;

/// A group without its members and offsets, as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GroupFact {
    pub(crate) id: Arc<str>,
    pub(crate) group_type: GroupType,
    /// Of its generation, or its epoch.
    pub(crate) number: i32,
    pub(crate) protocol_type: Arc<str>,
}

impl Group {
    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Its type, and the number of its generation or epoch.
    pub(crate) fn number(&self) -> (GroupType, i32) {
        match &self.membership {
            Membership::Classic(group) => (GroupType::Classic, group.generation()),
            Membership::Consumer(group) => (GroupType::Consumer, group.epoch()),
        }
    }

    /// What is to be kept of it beside its offsets.
    pub(crate) fn fact(&self) -> GroupFact {
        let (group_type, number) = self.number();
        let protocol_type = match &self.membership {
            Membership::Classic(group) => group.protocol_type(),
            Membership::Consumer(_) => Arc::from("consumer"),
        };
        GroupFact { id: self.id.clone(), group_type, number, protocol_type }
    }
}

impl Groups {
    /// Takes a group from the journal; it has no members.
    pub(crate) fn restore(&mut self, fact: GroupFact) {
        let group = self.get_or_create(&fact.id);
        group.membership = match fact.group_type {
            GroupType::Consumer => Membership::Consumer(ConsumerGroup::new(fact.number)),
            _ => Membership::Classic(ClassicGroup::without_members(fact.number, fact.protocol_type)),
        };
    }

    /// Takes a group out, whatever it holds.
    pub(crate) fn remove(&mut self, id: &str) {
        self.groups.remove(id);
    }
}
