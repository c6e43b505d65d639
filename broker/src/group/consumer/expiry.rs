//! Expiry: who is silent for a session, or does not give up its partitions in time, is out.

use std::sync::Arc;

use super::{ConsumerGroup, Member, Refusal, admit};

impl Member {
    /// When it will be out.
    fn deadline(&self) -> i64 {
        self.revoked_by.map_or(self.expires_at, |revoked_by| revoked_by.min(self.expires_at))
    }
}

impl ConsumerGroup {
    /// Does what is due.
    pub(crate) fn tick(&mut self, now: i64) {
        let due = self.members.iter().filter(|(_, member)| member.deadline() <= now);
        let due: Vec<Arc<str>> = due.map(|(id, _)| id.clone()).collect();
        for id in due {
            self.remove(&id);
        }
    }

    /// Takes a member out as if its session had ended.
    pub(crate) fn expire(&mut self, member_id: &str) -> Result<(), Refusal> {
        if !self.members.contains_key(member_id) {
            return Err(admit::unknown(member_id));
        }
        self.remove(member_id);
        Ok(())
    }

    /// When [`ConsumerGroup::tick`] has something to do next.
    pub(crate) fn next_deadline(&self) -> Option<i64> {
        self.members.values().map(Member::deadline).min()
    }
}
