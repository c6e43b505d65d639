//! Figures: what a broker has counted since it was made, and what it holds now, for who watches it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Broker, PartitionView};
use crate::api::{GroupState, TopicPartition};
use crate::log::CompactionReport;
use crate::transaction::TransactionState;

/// What a broker has counted. All of it begins at 0 with the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Figures {
    /// Records that producers have appended.
    pub appended_records: u64,
    /// Bytes of their batches, as they were sent.
    pub appended_bytes: u64,
    /// Transactions that were decided: commit.
    pub committed: u64,
    /// Transactions that were decided: abort, by whomever.
    pub aborted: u64,
    /// Those of them whose time was up.
    pub timed_out: u64,
    /// Compactions of a partition that have come to their end.
    pub compactions: u64,
    /// Bytes of the batches that they have read.
    pub compacted_bytes: u64,
    /// Bytes of those that they have kept.
    pub compaction_kept_bytes: u64,
}

impl Figures {
    /// Counts a change of a transaction that has been written down.
    pub(super) fn count_change(&mut self, before: Option<TransactionState>, after: Option<TransactionState>) {
        use TransactionState::{CompleteAbort, CompleteCommit, Ongoing, PrepareAbort, PrepareCommit};
        match (before, after) {
            (Some(Ongoing), Some(PrepareCommit | CompleteCommit)) => self.committed += 1,
            (Some(Ongoing), Some(PrepareAbort | CompleteAbort)) => self.aborted += 1,
            _ => {}
        }
    }

    pub(super) fn count_compaction(&mut self, report: &CompactionReport) {
        self.compactions += 1;
        self.compacted_bytes += report.bytes_before as u64;
        self.compaction_kept_bytes += report.bytes_after as u64;
    }
}

impl Broker {
    /// What it has counted.
    #[must_use]
    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// How many groups are in which state.
    #[must_use]
    pub fn group_states(&self) -> BTreeMap<GroupState, usize> {
        let mut states = BTreeMap::new();
        self.groups.iter().for_each(|group| *states.entry(group.listed().state).or_default() += 1);
        states
    }

    /// How many transactional ids are in which state.
    #[must_use]
    pub fn transaction_states(&self) -> BTreeMap<TransactionState, usize> {
        let mut states = BTreeMap::new();
        self.coordinator.states().for_each(|state| *states.entry(state).or_default() += 1);
        states
    }

    /// All partitions, in order.
    pub fn partitions(&self) -> impl Iterator<Item = (TopicPartition, PartitionView)> {
        let of_topic = |(name, topic): (&Arc<str>, &crate::topic::Topic)| {
            let name = name.clone();
            (0..topic.partition_count()).map(move |partition| TopicPartition::new(name.clone(), partition))
        };
        let all = self.catalogue.topics.iter().flat_map(of_topic);
        all.filter_map(|at| self.partition(&at.topic, at.partition).map(|view| (at, view)))
    }
}
