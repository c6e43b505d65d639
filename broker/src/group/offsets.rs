//! Committed offsets of a group, and those that wait for their transaction's end.
//!
//! 1. An offset committed in a transaction is *pending* until the transaction's marker reaches the group.
//! 2. A partition with a pending offset is *unstable*: `require_stable` readers are told to come again.
//! 3. The later commit wins: a pending offset that was committed before a plain one does not replace it.

use std::collections::BTreeMap;

use crate::api::{CommittedOffset, FetchedOffset, OffsetCommitPartition, TopicPartition};
use crate::batch::MarkerKind;
use crate::error::ErrorCode;

#[derive(Clone, Debug)]
struct Kept {
    committed: CommittedOffset,
    /// When.
    at_ms: i64,
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
    fn keep(&mut self, committed: CommittedOffset, at_ms: i64) -> Kept {
        self.commits += 1;
        Kept { committed, at_ms, order: self.commits }
    }

    pub(crate) fn commit(&mut self, offset: &OffsetCommitPartition, now: i64) {
        let kept = self.keep(offset.committed.clone(), now);
        self.committed.insert(offset.at.clone(), kept);
    }

    pub(crate) fn commit_pending(&mut self, producer_id: i64, offset: &OffsetCommitPartition, now: i64) {
        let kept = self.keep(offset.committed.clone(), now);
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

    /// Deletes an offset, and what waits to become one.
    pub(crate) fn delete(&mut self, at: &TopicPartition) {
        self.committed.remove(at);
        for pending in self.pending.values_mut() {
            pending.remove(at);
        }
    }

    /// Forgets offsets that are due, by topic and time of commit; undecided ones stay.
    pub(super) fn expire(&mut self, is_due: impl Fn(&str, i64) -> bool) {
        let due: Vec<TopicPartition> = self
            .committed
            .iter()
            .filter(|(at, kept)| is_due(&at.topic, kept.at_ms) && !self.is_unstable(at))
            .map(|(at, _)| at.clone())
            .collect();
        for at in due {
            self.committed.remove(&at);
        }
    }

    /// Whether there are neither committed nor undecided ones.
    pub(super) fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.pending.values().all(BTreeMap::is_empty)
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

    /// All that was committed and still counts, in the order of the commits: producer of the transaction that
    /// is not decided, if there is one, partition and offset, time.
    pub(crate) fn history(&self) -> Vec<(Option<i64>, OffsetCommitPartition, i64)> {
        let pending =
            self.pending.iter().flat_map(|(id, pending)| pending.iter().map(|kept| (Some(*id), kept)));
        let mut all: Vec<_> = self.committed.iter().map(|kept| (None, kept)).chain(pending).collect();
        all.sort_by_key(|(_, (_, kept))| kept.order);
        let owned = |(producer_id, (at, kept)): (Option<i64>, (&TopicPartition, &Kept))| {
            let offset = OffsetCommitPartition { at: at.clone(), committed: kept.committed.clone() };
            (producer_id, offset, kept.at_ms)
        };
        all.into_iter().map(owned).collect()
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
