//! Leaving: for good, or, for a static member, until it comes back within its session.

use super::admit::unknown;
use super::{AWAY, ConsumerGroup, Partitions, Refusal};
use crate::api::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use crate::error::ErrorCode;

impl ConsumerGroup {
    pub(super) fn leave(
        &mut self,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, Refusal> {
        if let Some(instance) = &request.group_instance_id {
            self.check_holder(instance, &request.member_id)?;
        }
        let member = self.members.get_mut(&request.member_id).ok_or_else(|| unknown(&request.member_id))?;
        if request.member_epoch == AWAY {
            // Its session goes on: when that ends, it is out.
            member.epoch = AWAY;
            member.revoking = Partitions::new();
            member.revoked_by = None;
            self.revision += 1;
        } else {
            self.remove(&request.member_id);
        }
        Ok(ConsumerGroupHeartbeatResponse {
            error: ErrorCode::None,
            message: String::new(),
            member_id: Some(request.member_id.clone()),
            member_epoch: request.member_epoch,
            heartbeat_interval_ms: 0,
            assignment: None,
        })
    }
}
