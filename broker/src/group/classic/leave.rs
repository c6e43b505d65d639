//! Leaving: members go by their own wish, or by an operator's.

use super::{ClassicGroup, Turn};
use crate::api::LeavingMember;
use crate::error::ErrorCode;

impl ClassicGroup {
    /// Takes one member out.
    pub(crate) fn leave(&mut self, leaving: &LeavingMember, turn: &mut Turn<'_>) -> ErrorCode {
        let mut member_id = leaving.member_id.clone();
        if let Some(instance) = &leaving.group_instance_id {
            match self.instances.get(instance) {
                None => return ErrorCode::UnknownMemberId,
                Some(holder) if !member_id.is_empty() && *holder != member_id => {
                    return ErrorCode::FencedInstanceId;
                }
                Some(holder) => member_id = holder.clone(),
            }
        }
        if self.promised.remove(&member_id).is_some() {
            self.complete_join_if_all_joined(turn);
            return ErrorCode::None;
        }
        if !self.members.contains_key(&member_id) {
            return ErrorCode::UnknownMemberId;
        }
        self.remove_member(&member_id, turn);
        ErrorCode::None
    }
}
