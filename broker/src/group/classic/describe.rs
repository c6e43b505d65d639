//! What a group tells about itself.

use super::{ClassicGroup, Member, Phase};
use crate::api::{DescribedGroup, DescribedMember, GroupState};
use crate::error::ErrorCode;
use bytes::Bytes;
use std::sync::Arc;

impl ClassicGroup {
    pub(crate) fn protocol_type(&self) -> Arc<str> {
        self.protocol_type.clone()
    }

    pub(crate) fn state(&self) -> GroupState {
        self.state.into()
    }

    pub(crate) fn described(&self, group_id: Arc<str>) -> DescribedGroup {
        let assigned = self.state == Phase::Stable;
        let member = |(id, member): (&Arc<str>, &Member)| DescribedMember {
            member_id: id.clone(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: if assigned { member.metadata(&self.protocol_name) } else { Bytes::new() },
            assignment: if assigned { member.assignment.clone() } else { Bytes::new() },
        };
        DescribedGroup {
            error: ErrorCode::None,
            message: String::new(),
            group_id,
            state: self.state.into(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: if assigned { self.protocol_name.clone() } else { Arc::from("") },
            leader: self.leader.clone(),
            members: self.members.iter().map(member).collect(),
        }
    }
}
