//! Expiry: sessions without a heartbeat, and rebalances that wait too long.

use std::sync::Arc;

use super::{ClassicGroup, Phase, Turn, Waiting};
use crate::error::ErrorCode;

impl ClassicGroup {
    /// Does what is due.
    pub(crate) fn tick(&mut self, turn: &mut Turn<'_>) {
        let promises = self.promised.len();
        self.promised.retain(|_, until| *until > turn.now);
        if self.promised.len() < promises {
            self.complete_join_if_all_joined(turn);
        }
        let expired: Vec<Arc<str>> = self
            .members
            .iter()
            .filter(|(_, member)| member.waiting == Waiting::Nothing && member.expires_at <= turn.now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in expired {
            self.remove_member(&id, turn);
        }
        if self.not_before.is_some_and(|time| time <= turn.now) {
            self.complete_join_if_all_joined(turn);
        }
        if self.deadline.is_some_and(|deadline| deadline <= turn.now) {
            self.end_phase(turn);
        }
    }

    fn end_phase(&mut self, turn: &mut Turn<'_>) {
        self.deadline = None;
        if self.state == Phase::PreparingRebalance {
            self.complete_join(turn);
            return;
        }
        // Who has not fetched its assignment in time is out; after the first removal a new rebalance runs.
        let late: Vec<Arc<str>> = std::mem::take(&mut self.unsynced).into_iter().collect();
        for id in late {
            self.remove_member(&id, turn);
        }
    }

    /// Takes a member out as if its session had ended.
    pub(crate) fn expire(&mut self, member_id: &str, turn: &mut Turn<'_>) -> Result<(), ErrorCode> {
        let found = self.members.get_key_value(member_id).map(|(id, _)| id.clone());
        let id = found.ok_or(ErrorCode::UnknownMemberId)?;
        self.remove_member(&id, turn);
        Ok(())
    }

    /// When [`ClassicGroup::tick`] has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<i64> {
        let sessions = self.members.values().filter(|member| member.waiting == Waiting::Nothing);
        let phase_matters = self.state == Phase::PreparingRebalance || !self.unsynced.is_empty();
        sessions
            .map(|member| member.expires_at)
            .chain(self.promised.values().copied())
            .chain(self.deadline.filter(|_| phase_matters))
            .chain(self.not_before)
            .min()
    }
}
