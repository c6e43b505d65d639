//! Committed offsets of a group, and those that wait for their transaction's end.
//!
//! 1. An offset committed in a transaction is *pending* until the transaction's marker reaches the group.
//! 2. A partition with a pending offset is *unstable*: `require_stable` readers are told to come again.
//! 3. The later commit wins: a pending offset that was committed before a plain one does not replace it.

use std::collections::BTreeMap;

use super::Group;
use crate::api::{
    CommittedOffset, FetchedOffset, GroupState, MemberClaim, OffsetCommitPartition, TopicPartition,
};
use crate::batch::MarkerKind;
use crate::error::ErrorCode;

#[derive(Clone, Debug)]
struct Kept {
    committed: CommittedOffset,
    /// Place among all commits of the group.
    order: u64,
}

/// The offsets of one group.
#[derive(Clone, Debug, Default)]
pub(crate) struct Offsets {
    committed: BTreeMap<TopicPartition, Kept>,
    /// By producer id.
    pending: BTreeMap<i64, BTreeMap<TopicPartition, Kept>>,
    commits: u64,
}

/// How a commit is checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CommitCheck {
    pub(crate) transactional: bool,
    /// Planted bug: any generation will do, and any member.
    pub(crate) accept_stale_generation: bool,
}

impl Offsets {
    fn keep(&mut self, committed: CommittedOffset) -> Kept {
        self.commits += 1;
        Kept { committed, order: self.commits }
    }

    pub(crate) fn commit(&mut self, offset: &OffsetCommitPartition) {
        let kept = self.keep(offset.committed.clone());
        self.committed.insert(offset.at.clone(), kept);
    }

    pub(crate) fn commit_pending(&mut self, producer_id: i64, offset: &OffsetCommitPartition) {
        let kept = self.keep(offset.committed.clone());
        self.pending.entry(producer_id).or_default().insert(offset.at.clone(), kept);
    }

    /// A transaction has ended.
    pub(crate) fn end_transaction(&mut self, producer_id: i64, kind: MarkerKind) {
        let Some(pending) = self.pending.remove(&producer_id) else { return };
        if kind == MarkerKind::Abort {
            return;
        }
        for (at, kept) in pending {
            if self.committed.get(&at).is_none_or(|current| current.order < kept.order) {
                self.committed.insert(at, kept);
            }
        }
    }

    pub(crate) fn forget_topic(&mut self, topic: &str) {
        self.committed.retain(|at, _| &*at.topic != topic);
        for pending in self.pending.values_mut() {
            pending.retain(|at, _| &*at.topic != topic);
        }
    }

    pub(crate) fn is_unstable(&self, at: &TopicPartition) -> bool {
        self.pending.values().any(|pending| pending.contains_key(at))
    }

    pub(crate) fn committed(&self, at: &TopicPartition) -> Option<&CommittedOffset> {
        self.committed.get(at).map(|kept| &kept.committed)
    }

    /// Pending offsets: producer, partition, offset.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (i64, &TopicPartition, &CommittedOffset)> {
        let of = |(producer_id, pending): (&i64, _)| -> Vec<(i64, &TopicPartition, &CommittedOffset)> {
            let pending: &BTreeMap<TopicPartition, Kept> = pending;
            pending.iter().map(|(at, kept)| (*producer_id, at, &kept.committed)).collect()
        };
        self.pending.iter().flat_map(of)
    }

    /// Partitions with a committed or a pending offset, in order.
    pub(crate) fn partitions(&self) -> Vec<TopicPartition> {
        let pending = self.pending.values().flat_map(BTreeMap::keys);
        let mut all: Vec<TopicPartition> = self.committed.keys().chain(pending).cloned().collect();
        all.sort();
        all.dedup();
        all
    }

    pub(crate) fn fetch(&self, at: TopicPartition, require_stable: bool) -> FetchedOffset {
        if require_stable && self.is_unstable(&at) {
            return FetchedOffset { at, error: ErrorCode::UnstableOffsetCommit, committed: None };
        }
        let committed = self.committed(&at).cloned();
        FetchedOffset { at, error: ErrorCode::None, committed }
    }
}

impl Group {
    /// Whether who claims to be `member` may commit (KIP-447 for transactional commits).
    pub(crate) fn check_commit(&self, member: &MemberClaim, check: CommitCheck) -> Result<(), ErrorCode> {
        let claims_nothing =
            member.generation < 0 && member.member_id.is_empty() && member.group_instance_id.is_none();
        if member.generation < 0 && self.state == GroupState::Empty || check.accept_stale_generation {
            return Ok(());
        }
        if !claims_nothing {
            self.check_generation(member)?;
        } else if !check.transactional {
            // A transactional commit without a claim is let through, as in Kafka.
            return Err(ErrorCode::UnknownMemberId);
        }
        if !check.transactional && self.state == GroupState::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    /// A commit is a sign of life.
    pub(crate) fn committed_by(&mut self, member: &MemberClaim, now: i64) {
        self.refresh(&member.member_id, now);
    }
}
