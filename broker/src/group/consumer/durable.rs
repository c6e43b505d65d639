//! What of a consumer group outlives the broker: all but the time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::assign::{Assignor, Topics};
use super::subscription::Subscription;
use super::{ConsumerGroup, Member, Partitions, Step, named, partitions_of};
use crate::api::{TopicId, TopicIdPartitions};
use crate::group::GroupRules;

/// What the journal keeps of a consumer group: what has changed since the last time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsumersFact {
    pub(crate) epoch: i32,
    pub(crate) assignment_epoch: i32,
    pub(crate) assignor: Arc<str>,
    /// The subscribed topics with their numbers of partitions, if they are others.
    pub(crate) topics: Option<Vec<(TopicId, i32)>>,
    /// Members that are new, or other than they were.
    pub(crate) members: BTreeMap<Arc<str>, ConsumerFact>,
    /// Members that are out.
    pub(crate) gone: Vec<Arc<str>>,
}

/// A member of a consumer group as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConsumerFact {
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) rack_id: Option<Arc<str>>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    pub(crate) rebalance_timeout_ms: i64,
    pub(crate) topics: Vec<Arc<str>>,
    pub(crate) pattern: Option<Arc<str>>,
    pub(crate) assignor: Option<Arc<str>>,
    pub(crate) epoch: i32,
    pub(crate) previous_epoch: i32,
    pub(crate) step: Step,
    pub(crate) assigned: Vec<TopicIdPartitions>,
    pub(crate) revoking: Vec<TopicIdPartitions>,
    pub(crate) target: Vec<TopicIdPartitions>,
}

impl ConsumersFact {
    /// A group without members.
    pub(crate) fn empty(epoch: i32) -> Self {
        Self {
            epoch,
            assignment_epoch: epoch,
            assignor: Arc::from(Assignor::ALL[0].name()),
            topics: None,
            members: BTreeMap::new(),
            gone: Vec::new(),
        }
    }

    /// What of it is other than it was.
    pub(in crate::group) fn since(&self, known: &Self) -> Self {
        let members = self.members.iter().filter(|(id, member)| known.members.get(*id) != Some(member));
        let gone = known.members.keys().filter(|id| !self.members.contains_key(*id));
        Self {
            epoch: self.epoch,
            assignment_epoch: self.assignment_epoch,
            assignor: self.assignor.clone(),
            topics: self.topics.clone().filter(|_| self.topics != known.topics),
            members: members.map(|(id, member)| (id.clone(), member.clone())).collect(),
            gone: gone.cloned().collect(),
        }
    }
}

impl ConsumerGroup {
    /// Rises with everything that is to be kept.
    pub(in crate::group) fn revision(&self) -> u64 {
        self.revision
    }

    /// All that is to be kept.
    pub(in crate::group) fn fact(&self) -> ConsumersFact {
        let nothing = Partitions::new();
        let member = |(id, member): (&Arc<str>, &Member)| {
            (id.clone(), member.fact(self.target.get(id).unwrap_or(&nothing)))
        };
        ConsumersFact {
            epoch: self.epoch,
            assignment_epoch: self.assignment_epoch,
            assignor: Arc::from(self.assignor.name()),
            topics: Some(self.topics.iter().map(|(topic, partitions)| (*topic, *partitions)).collect()),
            members: self.members.iter().map(member).collect(),
            gone: Vec::new(),
        }
    }

    /// Takes what was kept.
    pub(in crate::group) fn take(&mut self, fact: ConsumersFact) {
        self.epoch = fact.epoch;
        self.assignment_epoch = fact.assignment_epoch;
        self.assignor = Assignor::from_name(&fact.assignor).unwrap_or(Assignor::ALL[0]);
        if let Some(topics) = fact.topics {
            self.topics = Topics::from_iter(topics);
        }
        for id in fact.gone {
            self.forget(&id);
        }
        for (id, member) in fact.members {
            if let Some(instance) = &member.instance_id {
                self.instances.insert(instance.clone(), id.clone());
            }
            self.target.insert(id.clone(), partitions_of(&member.target));
            self.members.insert(id, Member::restored(member));
        }
    }

    /// The sessions of all members begin.
    pub(in crate::group) fn begin_sessions(&mut self, rules: &GroupRules, now: i64) {
        for member in self.members.values_mut() {
            member.expires_at = now.saturating_add(rules.consumer_session_timeout_ms);
            let revokes = member.step == Step::Unrevoked;
            member.revoked_by = revokes.then(|| now.saturating_add(member.rebalance_timeout_ms));
        }
    }
}

impl Member {
    fn fact(&self, target: &Partitions) -> ConsumerFact {
        ConsumerFact {
            instance_id: self.instance_id.clone(),
            rack_id: self.rack_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            topics: self.subscription.names().iter().cloned().collect(),
            pattern: self.subscription.pattern_text(),
            assignor: self.assignor.map(|assignor| Arc::from(assignor.name())),
            epoch: self.epoch,
            previous_epoch: self.previous_epoch,
            step: self.step,
            assigned: named(&self.assigned),
            revoking: named(&self.revoking),
            target: named(target),
        }
    }

    fn restored(fact: ConsumerFact) -> Self {
        Self {
            instance_id: fact.instance_id,
            rack_id: fact.rack_id,
            client_id: fact.client_id,
            client_host: fact.client_host,
            rebalance_timeout_ms: fact.rebalance_timeout_ms,
            subscription: Subscription::restored(&fact.topics, fact.pattern.as_ref()),
            assignor: fact.assignor.and_then(|name| Assignor::from_name(&name)),
            epoch: fact.epoch,
            previous_epoch: fact.previous_epoch,
            step: fact.step,
            assigned: partitions_of(&fact.assigned),
            revoking: partitions_of(&fact.revoking),
            ..Self::new()
        }
    }
}
