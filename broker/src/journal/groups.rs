//! Groups as bytes.

use bytes::Bytes;

use super::bytes::{Put, Take};
use crate::api::{GroupType, Protocol, TopicIdPartitions};
use crate::group::{
    ClassicFact, ClassicMemberFact, ConsumerFact, ConsumersFact, GroupFact, MembersFact, Step,
};

const STEPS: [Step; 3] = [Step::Stable, Step::Unrevoked, Step::Unreleased];

impl Put {
    pub(super) fn classic(&mut self, group: &ClassicFact) {
        self.number(group.generation);
        self.text(&group.protocol_type);
        self.text(&group.protocol_name);
        self.optional(group.leader.as_deref());
        self.list(&group.members, |put, member| {
            put.text(&member.id);
            put.optional(member.instance_id.as_deref());
            put.text(&member.client_id);
            put.text(&member.client_host);
            put.number(member.session_timeout_ms);
            put.number(member.rebalance_timeout_ms);
            put.list(&member.protocols, |put, protocol| {
                put.text(&protocol.name);
                put.bytes(&protocol.metadata);
            });
            put.bytes(&member.assignment);
        });
    }

    pub(super) fn consumers(&mut self, group: &ConsumersFact) {
        self.number(group.epoch);
        self.number(group.assignment_epoch);
        self.text(&group.assignor);
        self.number(i64::from(group.topics.is_some()));
        if let Some(topics) = &group.topics {
            self.list(topics, |put, (topic, partitions)| {
                put.id(*topic);
                put.number(*partitions);
            });
        }
        self.len(group.members.len());
        for (id, member) in &group.members {
            self.text(id);
            self.consumer(member);
        }
        self.list(&group.gone, |put, id| put.text(id));
    }

    fn consumer(&mut self, member: &ConsumerFact) {
        for text in [&member.instance_id, &member.rack_id, &member.pattern, &member.assignor] {
            self.optional(text.as_deref());
        }
        self.text(&member.client_id);
        self.text(&member.client_host);
        self.number(member.rebalance_timeout_ms);
        self.list(&member.topics, |put, topic| put.text(topic));
        self.number(member.epoch);
        self.number(member.previous_epoch);
        self.len(STEPS.iter().position(|step| *step == member.step).unwrap_or(0));
        for partitions in [&member.assigned, &member.revoking, &member.target] {
            self.list(partitions, |put, of| {
                put.id(of.topic_id);
                put.list(&of.partitions, |put, partition| put.number(*partition));
            });
        }
    }

    fn bytes(&mut self, bytes: &Bytes) {
        self.len(bytes.len());
        self.0.extend_from_slice(bytes);
    }
}

impl Take<'_> {
    /// As journals have a group that were written before members were kept.
    pub(super) fn old_group(&mut self) -> Option<GroupFact> {
        let id = self.text()?;
        let group_type = match self.number::<i64>()? {
            1 => GroupType::Consumer,
            _ => GroupType::Classic,
        };
        let (number, protocol_type) = (self.number()?, self.text()?);
        let members = match group_type {
            GroupType::Consumer => MembersFact::Consumer(ConsumersFact::empty(number)),
            _ => MembersFact::Classic(ClassicFact::empty(number, protocol_type)),
        };
        Some(GroupFact { id, members })
    }

    pub(super) fn classic(&mut self) -> Option<ClassicFact> {
        Some(ClassicFact {
            generation: self.number()?,
            protocol_type: self.text()?,
            protocol_name: self.text()?,
            leader: self.optional()?,
            members: self.list(|from| {
                Some(ClassicMemberFact {
                    id: from.text()?,
                    instance_id: from.optional()?,
                    client_id: from.text()?,
                    client_host: from.text()?,
                    session_timeout_ms: from.number()?,
                    rebalance_timeout_ms: from.number()?,
                    protocols: from
                        .list(|from| Some(Protocol { name: from.text()?, metadata: from.bytes()? }))?,
                    assignment: from.bytes()?,
                })
            })?,
        })
    }

    pub(super) fn consumers(&mut self) -> Option<ConsumersFact> {
        Some(ConsumersFact {
            epoch: self.number()?,
            assignment_epoch: self.number()?,
            assignor: self.text()?,
            topics: match self.number::<i64>()? {
                0 => None,
                _ => Some(self.list(|from| Some((from.id()?, from.number()?)))?),
            },
            members: self.list(|from| Some((from.text()?, from.consumer()?)))?.into_iter().collect(),
            gone: self.list(Self::text)?,
        })
    }

    fn consumer(&mut self) -> Option<ConsumerFact> {
        Some(ConsumerFact {
            instance_id: self.optional()?,
            rack_id: self.optional()?,
            pattern: self.optional()?,
            assignor: self.optional()?,
            client_id: self.text()?,
            client_host: self.text()?,
            rebalance_timeout_ms: self.number()?,
            topics: self.list(Self::text)?,
            epoch: self.number()?,
            previous_epoch: self.number()?,
            step: *STEPS.get(self.number::<usize>()?)?,
            assigned: self.partitions()?,
            revoking: self.partitions()?,
            target: self.partitions()?,
        })
    }

    fn partitions(&mut self) -> Option<Vec<TopicIdPartitions>> {
        self.list(|from| {
            Some(TopicIdPartitions { topic_id: from.id()?, partitions: from.list(Self::number)? })
        })
    }

    fn bytes(&mut self) -> Option<Bytes> {
        let len = self.number()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(Bytes::copy_from_slice(bytes))
    }
}
