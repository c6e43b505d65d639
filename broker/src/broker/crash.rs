//! Things that happen to a broker: a crash, an operator who fences a producer or throws a member out.

use std::sync::Arc;

use super::Broker;
use crate::error::ErrorCode;
use crate::storage::Damage;

impl Broker {
    /// The broker dies. Everything under way is lost; whoever waits for an answer, or asks before
    /// [`Broker::restart`], hears [`ErrorCode::NetworkException`].
    ///
    /// Logs, topics, committed and pending offsets, the numbers of groups, producer ids and the state of
    /// transactions are durable, and so are the members of groups, unless a group of the classic protocol rebalances.
    pub fn crash(&mut self, now: i64) {
        self.advance(now);
        self.down = true;
        self.break_connections();
        self.version += 1;
    }

    /// The broker comes back, and knows what storage holds and nothing else: topics, offsets, groups and the state of
    /// transactions by the journal, producers and open transactions of partitions by
    /// their logs. Every partition gets a new leader epoch. The next tick ends what was decided.
    ///
    /// # Errors
    /// As [`Broker::open`]; the broker then stays down.
    pub fn restart(&mut self, now: i64) -> Result<(), ErrorCode> {
        self.down = true;
        self.advance(now);
        self.recover()?;
        self.down = false;
        if self.config.producer_id_expiration_check_interval_ms.is_some() {
            // Those of whom is not known when they wrote last count from now.
            self.expire_producers(self.now);
        }
        self.data_changed(None);
        Ok(())
    }

    /// Ends in order: the next start has nothing to find out. What is asked from now on hears
    /// [`ErrorCode::NetworkException`].
    ///
    /// # Errors
    /// Whatever the medium answers; nothing is lost, but the next start reads more.
    pub fn close(&mut self, now: i64) -> std::io::Result<()> {
        self.crash(now);
        for topic in self.catalogue.topics.values_mut() {
            for log in &mut topic.partitions {
                log.close(self.storage.as_mut());
            }
        }
        self.storage.close()
    }

    /// What storage has found damaged since the last call: cut off, or unreadable.
    pub fn take_damages(&mut self) -> Vec<Damage> {
        self.storage.take_damages()
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
        self.with_group(group_id, |groups, turn| {
            groups.get_mut(group_id).ok_or(ErrorCode::GroupIdNotFound)?.expire(member_id, turn)
        })
    }
}
