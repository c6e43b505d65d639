//! Expiry of offsets: what nobody reads and nobody has committed for a long time is forgotten, and at last the
//! group.
//!
//! 1. While a group has members, the offsets of topics that they read stay.
//! 2. Other offsets go when `offsets.retention.minutes` have passed since their commit and, if the group had
//!    members, since it lost the last one.
//! 3. Offsets of a partition that has an undecided transactional commit stay.

use super::{Group, Membership};

impl Group {
    /// Forgets the offsets that are due. Tells whether the group itself is still needed.
    pub(crate) fn expire_offsets(&mut self, retention_ms: i64, now: i64) -> bool {
        self.notice_emptiness(now);
        let membership = match &self.membership {
            // While it rebalances it is not known which topics will be read.
            Membership::Classic(group) if !group.is_settled() => return true,
            membership => membership,
        };
        let is_old = |since: i64| now.saturating_sub(since) >= retention_ms;
        let emptied = self.empty_since;
        self.offsets.expire(|topic, committed_at| {
            let is_read = match membership {
                Membership::Classic(group) => group.reads(topic),
                Membership::Consumer(group) => group.reads(topic),
            };
            !is_read && is_old(emptied.map_or(committed_at, |emptied| emptied.max(committed_at)))
        });
        let is_awaited = matches!(membership, Membership::Classic(group) if group.awaits_members());
        let is_over = self.is_empty() && self.offsets.is_empty() && !is_awaited;
        !(is_over && emptied.is_none_or(is_old))
    }

    /// Notes when the group lost its members. It is looked at with every tick, and a crash counts from then.
    pub(super) fn notice_emptiness(&mut self, now: i64) {
        let had_members = match &self.membership {
            Membership::Classic(group) => !group.protocol_type().is_empty(),
            Membership::Consumer(_) => true,
        };
        self.empty_since = match self.empty_since {
            _ if !self.is_empty() || !had_members => None,
            None => Some(now),
            known => known,
        };
    }
}
