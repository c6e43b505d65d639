//! What of a classic group outlives the broker.

use std::sync::Arc;

use bytes::Bytes;

use super::{ClassicGroup, Member, Phase, Waiting, refused, unassigned};
use crate::api::{Protocol, Response, Ticket};
use crate::error::ErrorCode;

/// A classic group as the journal keeps it; without members where none has an assignment of this generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClassicFact {
    pub(crate) generation: i32,
    pub(crate) protocol_type: Arc<str>,
    pub(crate) protocol_name: Arc<str>,
    pub(crate) leader: Option<Arc<str>>,
    pub(crate) members: Vec<ClassicMemberFact>,
}

/// A member of a classic group as the journal keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClassicMemberFact {
    pub(crate) id: Arc<str>,
    pub(crate) instance_id: Option<Arc<str>>,
    pub(crate) client_id: Arc<str>,
    pub(crate) client_host: Arc<str>,
    pub(crate) session_timeout_ms: i64,
    pub(crate) rebalance_timeout_ms: i64,
    pub(crate) protocols: Vec<Protocol>,
    pub(crate) assignment: Bytes,
}

impl ClassicFact {
    /// A group without members.
    pub(crate) fn empty(generation: i32, protocol_type: Arc<str>) -> Self {
        let protocol_name = Arc::from("");
        Self { generation, protocol_type, protocol_name, leader: None, members: Vec::new() }
    }
}

impl ClassicGroup {
    /// Rises with everything that is to be kept.
    pub(in crate::group) fn revision(&self) -> u64 {
        self.revision
    }

    /// What is to be kept. `known` is what is kept so far: it stays until the next generation is known, or stable.
    pub(in crate::group) fn fact(&self, known: Option<&ClassicFact>) -> ClassicFact {
        if self.state == Phase::Stable {
            return ClassicFact {
                generation: self.generation,
                protocol_type: self.protocol_type.clone(),
                protocol_name: self.protocol_name.clone(),
                leader: self.leader.clone(),
                members: self.members.iter().map(|(id, member)| member.fact(id)).collect(),
            };
        }
        match known {
            Some(known) if known.generation == self.generation => known.clone(),
            _ => ClassicFact::empty(self.generation, self.protocol_type.clone()),
        }
    }

    /// The group that was kept.
    pub(in crate::group) fn restored(fact: ClassicFact) -> Self {
        let mut group = Self { protocol_type: fact.protocol_type, ..Self::new(fact.generation) };
        if fact.members.is_empty() {
            return group;
        }
        group.state = Phase::Stable;
        group.protocol_name = fact.protocol_name;
        group.leader = fact.leader;
        for member in fact.members {
            if let Some(instance) = &member.instance_id {
                group.instances.insert(instance.clone(), member.id.clone());
            }
            group.members.insert(member.id.clone(), Member::restored(member));
        }
        group
    }

    /// The sessions of all members begin.
    pub(in crate::group) fn begin_sessions(&mut self, now: i64) {
        self.members.values_mut().for_each(|member| member.refresh(now));
    }

    /// Refusals for all who wait for the group.
    pub(in crate::group) fn refusals(&self, error: ErrorCode) -> Vec<(Ticket, Response)> {
        let refusal = |(id, member): (&Arc<str>, &Member)| match member.waiting {
            Waiting::Nothing => None,
            Waiting::Join(ticket) => Some((ticket, refused(error, id).into())),
            Waiting::Sync(ticket) => Some((ticket, unassigned(error).into())),
        };
        self.members.iter().filter_map(refusal).collect()
    }
}

impl Member {
    fn fact(&self, id: &Arc<str>) -> ClassicMemberFact {
        ClassicMemberFact {
            id: id.clone(),
            instance_id: self.instance_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            session_timeout_ms: self.session_timeout_ms,
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            protocols: self.protocols.clone(),
            assignment: self.assignment.clone(),
        }
    }

    fn restored(fact: ClassicMemberFact) -> Self {
        Self {
            instance_id: fact.instance_id,
            client_id: fact.client_id,
            client_host: fact.client_host,
            session_timeout_ms: fact.session_timeout_ms,
            rebalance_timeout_ms: fact.rebalance_timeout_ms,
            protocols: fact.protocols,
            assignment: fact.assignment,
            waiting: Waiting::Nothing,
            expires_at: i64::MAX,
        }
    }
}
