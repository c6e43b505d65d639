//! What a consumer group tells about itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{ConsumerGroup, Member, Partitions, by_topic};
use crate::api::{DescribedConsumer, DescribedConsumerGroup, NamedPartitions, TopicId};
use crate::error::ErrorCode;
use crate::topic::Catalogue;

impl ConsumerGroup {
    pub(crate) fn described(&self, group_id: Arc<str>, catalogue: &Catalogue) -> DescribedConsumerGroup {
        let names: BTreeMap<TopicId, &Arc<str>> =
            catalogue.topics.iter().map(|(name, topic)| (topic.id, name)).collect();
        let nothing = Partitions::new();
        let member = |(id, member): (&Arc<str>, &Member)| DescribedConsumer {
            member_id: id.clone(),
            group_instance_id: member.instance_id.clone(),
            rack_id: member.rack_id.clone(),
            member_epoch: member.epoch,
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            subscribed_topics: member.subscription.names().iter().cloned().collect(),
            subscribed_topic_regex: member.subscription.pattern_text(),
            assignment: named(&member.assigned, &names),
            target_assignment: named(self.target.get(id).unwrap_or(&nothing), &names),
        };
        DescribedConsumerGroup {
            error: ErrorCode::None,
            message: String::new(),
            group_id,
            state: self.state(),
            group_epoch: self.epoch,
            assignment_epoch: self.assignment_epoch,
            assignor: Arc::from(self.assignor.name()),
            members: self.members.iter().map(member).collect(),
        }
    }
}

/// Partitions by topics, without those that are deleted.
fn named(partitions: &Partitions, names: &BTreeMap<TopicId, &Arc<str>>) -> Vec<NamedPartitions> {
    let with_name = |(topic_id, partitions)| {
        let topic = names.get(&topic_id).map(|name| (*name).clone())?;
        Some(NamedPartitions { topic_id, topic, partitions })
    };
    let mut named: Vec<NamedPartitions> = by_topic(partitions).into_iter().filter_map(with_name).collect();
    named.sort_by(|one, other| one.topic.cmp(&other.topic));
    named
}
