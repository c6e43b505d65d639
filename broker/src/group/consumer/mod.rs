//! The new protocol (KIP-848): members send heartbeats, the broker assigns, and everybody moves towards the
//! target at its own pace.
//!
//! ```text
//! members, subscriptions or topics change -> group epoch rises -> target assignment of that epoch
//! a member in a former epoch:
//!   holds what it shall not    -> Unrevoked: is told to give it up, keeps its epoch until it has
//!   shall hold what others do  -> Unreleased: has the new epoch, gets the partitions when they are free
//!   holds what it shall        -> Stable
//! ```
//! 1. A partition has one holder: it is held from the heartbeat that answers with it until the one that says
//!    that it is given up, or until the holder is out.
//! 2. Epochs never go back, neither a member's nor the group's, not even in a crash: all is kept but the time.
//! 3. Who does not give up in time (its rebalance time-out) is out, and so is who is silent for a session.
//! 4. A change of topics is noticed with the next heartbeat of any member.

mod admit;
mod assign;
mod commit;
mod describe;
mod durable;
mod expiry;
mod heartbeat;
mod leave;
mod reconcile;
mod subscription;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::{ConsumerGroupHeartbeatResponse, GroupState, TopicId, TopicIdPartitions};
use crate::error::ErrorCode;
use crate::topic::Catalogue;

use assign::{Assignor, Partitions, Place, Subscriber, Topics};
use subscription::Subscription;

pub(crate) use durable::{ConsumerFact, ConsumersFact};
pub(crate) use heartbeat::Beat;

/// Why a request was refused, in words too.
pub(crate) type Refusal = (ErrorCode, String);

/// The epoch of who joins.
const JOINING: i32 = 0;
/// The epoch of who leaves.
const LEAVING: i32 = -1;
/// The epoch of a static member that leaves for a while, and while it is away.
const AWAY: i32 = -2;

/// The answer to a heartbeat that is refused.
pub(crate) fn refused((error, message): Refusal) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        error,
        message,
        member_id: None,
        member_epoch: 0,
        heartbeat_interval_ms: 0,
        assignment: None,
    }
}

/// How far a member is on its way to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It holds what it shall.
    Stable,
    /// It has yet to give partitions up.
    Unrevoked,
    /// It waits for partitions that others have yet to give up.
    Unreleased,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Member {
    instance_id: Option<Arc<str>>,
    rack_id: Option<Arc<str>>,
    client_id: Arc<str>,
    client_host: Arc<str>,
    rebalance_timeout_ms: i64,
    subscription: Subscription,
    assignor: Option<Assignor>,
    epoch: i32,
    /// The epoch before: who did not hear of the new one comes with it.
    previous_epoch: i32,
    step: Step,
    /// What it may hold.
    assigned: Partitions,
    /// What it is to give up.
    revoking: Partitions,
    /// When its session ends.
    expires_at: i64,
    /// Until when it must have given up what it shall.
    revoked_by: Option<i64>,
}

impl Member {
    fn new() -> Self {
        Self {
            instance_id: None,
            rack_id: None,
            client_id: Arc::from(""),
            client_host: Arc::from(""),
            rebalance_timeout_ms: 0,
            subscription: Subscription::default(),
            assignor: None,
            epoch: JOINING,
            previous_epoch: JOINING,
            step: Step::Stable,
            assigned: Partitions::new(),
            revoking: Partitions::new(),
            expires_at: i64::MAX,
            revoked_by: None,
        }
    }

    fn is_reconciled(&self, epoch: i32) -> bool {
        self.step == Step::Stable && self.epoch == epoch
    }
}

/// The members of a group, and what each shall hold.
#[derive(Clone, Debug)]
pub(crate) struct ConsumerGroup {
    /// Rises with every change of members, subscriptions or topics.
    epoch: i32,
    /// The group's epoch for which the target was made.
    assignment_epoch: i32,
    /// Who made the target.
    assignor: Assignor,
    members: BTreeMap<Arc<str>, Member>,
    /// Member ids of static members, by `group.instance.id`.
    instances: BTreeMap<Arc<str>, Arc<str>>,
    /// What each member shall hold.
    target: BTreeMap<Arc<str>, Partitions>,
    /// The subscribed topics as they were at the last look.
    topics: Topics,
    /// Rises with everything that is to be kept.
    revision: u64,
}

impl ConsumerGroup {
    /// A group without members, whose next epoch will be the one after `epoch`.
    pub(super) fn new(epoch: i32) -> Self {
        Self {
            epoch,
            assignment_epoch: epoch,
            assignor: Assignor::ALL[0],
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            target: BTreeMap::new(),
            topics: Topics::new(),
            revision: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn epoch(&self) -> i32 {
        self.epoch
    }

    pub(super) fn state(&self) -> GroupState {
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.epoch > self.assignment_epoch {
            GroupState::Assigning
        } else if self.members.values().all(|member| member.is_reconciled(self.assignment_epoch)) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }

    /// Whether a member wants this topic.
    pub(super) fn reads(&self, topic: &str) -> bool {
        self.members.values().any(|member| member.subscription.wants(topic))
    }

    /// Looks at the topics, and makes a new target if anything has changed since the last one, or does now.
    fn retarget(&mut self, has_changed: bool, catalogue: &Catalogue) {
        let wanted: BTreeMap<Arc<str>, _> = self
            .members
            .iter()
            .map(|(id, member)| (id.clone(), member.subscription.topics(catalogue)))
            .collect();
        let sizes = catalogue.topics.values().map(|topic| (topic.id, topic.partition_count()));
        let is_wanted = |topic: &TopicId| wanted.values().any(|topics| topics.contains(topic));
        let topics: Topics = sizes.filter(|(topic, _)| is_wanted(topic)).collect();
        // Where somebody has left there is a new epoch already, whatever topics went with it.
        if has_changed || topics != self.topics && self.epoch == self.assignment_epoch {
            self.epoch += 1;
        }
        if topics != self.topics || self.epoch != self.assignment_epoch {
            self.revision += 1;
        }
        self.topics = topics;
        if self.epoch == self.assignment_epoch {
            return;
        }
        self.assignor = self.preferred_assignor();
        let nothing = Partitions::new();
        let subscribers: Vec<Subscriber<'_>> = self
            .in_order()
            .iter()
            .map(|id| Subscriber { topics: &wanted[id], had: self.target.get(id).unwrap_or(&nothing) })
            .collect();
        let given = self.assignor.assign(&subscribers, &self.topics);
        self.target = self.in_order().into_iter().zip(given).collect();
        self.assignment_epoch = self.epoch;
    }

    /// Members in the order in which assignors take them: static ones first, by name, so that a new id changes
    /// nothing.
    fn in_order(&self) -> Vec<Arc<str>> {
        let mut order: Vec<(&Arc<str>, &Member)> = self.members.iter().collect();
        order.sort_by_key(|(id, member)| {
            (member.instance_id.is_none(), member.instance_id.clone().unwrap_or_else(|| (*id).clone()))
        });
        order.into_iter().map(|(id, _)| id.clone()).collect()
    }

    /// The assignor that most of those members want that want one.
    fn preferred_assignor(&self) -> Assignor {
        let votes = |assignor: &Assignor| {
            self.members.values().filter(|member| member.assignor == Some(*assignor)).count()
        };
        // Of equals `max_by_key` takes the last one: the default.
        Assignor::ALL.into_iter().rev().max_by_key(votes).unwrap_or(Assignor::ALL[0])
    }

    /// Takes a member out; what it held is free.
    fn remove(&mut self, member_id: &str) {
        if self.forget(member_id) {
            self.epoch += 1;
            self.revision += 1;
        }
    }

    fn forget(&mut self, member_id: &str) -> bool {
        let Some(member) = self.members.remove(member_id) else { return false };
        if let Some(instance) = &member.instance_id {
            self.instances.remove(instance);
        }
        self.target.remove(member_id);
        true
    }
}

/// Partitions as requests name them.
fn partitions_of(named: &[TopicIdPartitions]) -> Partitions {
    let of_topic = |named: &TopicIdPartitions| {
        let topic = named.topic_id;
        named.partitions.clone().into_iter().map(move |partition| Place { topic, partition })
    };
    named.iter().flat_map(of_topic).collect()
}

/// Partitions as answers name them.
fn named(partitions: &Partitions) -> Vec<TopicIdPartitions> {
    let named = |(topic_id, partitions)| TopicIdPartitions { topic_id, partitions };
    by_topic(partitions).into_iter().map(named).collect()
}

/// Partitions by topic.
fn by_topic(partitions: &Partitions) -> BTreeMap<TopicId, Vec<i32>> {
    let mut topics: BTreeMap<TopicId, Vec<i32>> = BTreeMap::new();
    for at in partitions {
        topics.entry(at.topic).or_default().push(at.partition);
    }
    topics
}
