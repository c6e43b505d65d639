//! What a group tells about itself.

use super::{Group, Member};
use crate::api::{DescribedGroup, DescribedMember, GroupState, ListedGroup};
use std::sync::Arc;

impl Group {
    pub(crate) fn listed(&self) -> ListedGroup {
        ListedGroup {
            group_id: self.id.clone(),
            protocol_type: self.protocol_type.clone(),
            state: self.state,
        }
    }

    pub(crate) fn described(&self) -> DescribedGroup {
        let assigned = self.state == GroupState::Stable;
        let member = |(id, member): (&Arc<str>, &Member)| DescribedMember {
            member_id: id.clone(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            metadata: member.metadata(&self.protocol_name),
            assignment: if assigned { member.assignment.clone() } else { bytes::Bytes::new() },
        };
        DescribedGroup {
            group_id: self.id.clone(),
            state: self.state,
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol_name.clone(),
            leader: self.leader.clone(),
            members: self.members.iter().map(member).collect(),
        }
    }
}
