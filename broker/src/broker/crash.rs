//! Things that happen to a broker: a crash, an operator who fences a producer or throws a member out.

use std::sync::Arc;

use super::Broker;
use crate::error::ErrorCode;

impl Broker {
    /// The broker dies. Members of groups and everything under way are lost; whoever waits for an answer, or
    /// asks before [`Broker::restart`], hears [`ErrorCode::NetworkException`].
    ///
    /// Logs, topics, committed and pending offsets, producer ids and the state of transactions are durable.
    pub fn crash(&mut self, now: i64) {
        self.advance(now);
        self.down = true;
        self.break_connections();
        self.groups.crash();
        self.version += 1;
    }

    /// The broker comes back: it reads its logs, with their producers and open transactions, from storage.
    /// Every partition gets a new leader epoch.
    ///
    /// # Errors
    /// `KAFKA_STORAGE_ERROR` when a log cannot be read; the broker then stays down.
    pub fn restart(&mut self, now: i64) -> Result<(), ErrorCode> {
        self.advance(now);
        self.catalogue.recover(self.storage.as_ref())?;
        self.down = false;
        self.data_changed();
        Ok(())
    }

    /// Whether it has crashed and not come back.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.down
    }

    /// Fences the current producer of a transactional id and aborts its open transaction, as another producer
    /// of that name would.
    ///
    /// # Errors
    /// `TRANSACTIONAL_ID_NOT_FOUND`.
    pub fn fence_producer(&mut self, transactional_id: &str, now: i64) -> Result<(), ErrorCode> {
        self.advance(now);
        self.fence_and_abort(&Arc::from(transactional_id))
    }

    /// Ends a member's session.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND` or `UNKNOWN_MEMBER_ID`.
    pub fn expire_member(&mut self, group_id: &str, member_id: &str, now: i64) -> Result<(), ErrorCode> {
        self.advance(now);
        self.with_groups(|groups, turn| {
            groups.get_mut(group_id).ok_or(ErrorCode::GroupIdNotFound)?.expire(member_id, turn)
        })
    }
}
