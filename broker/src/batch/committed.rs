//! The committed filter: tells a `read_committed` reader which batches of a fetch it may hand on.
//!
//! 1. A fetch lists the aborted transactions that overlap it: producer and first offset.
//! 2. From that offset on, the producer's transactional batches are dropped,
//! 3. until its marker passes. Markers themselves are never handed on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::header::Batch;

/// Walks along with a fetch, batch by batch.
#[derive(Clone, Debug, Default)]
pub struct CommittedFilter {
    /// First offsets of aborted transactions still ahead, by producer.
    ahead: BTreeMap<i64, VecDeque<i64>>,
    /// Producers inside an aborted transaction.
    aborting: BTreeSet<i64>,
}

impl CommittedFilter {
    /// A filter for one fetch of one partition, from its aborted list: (producer id, first offset).
    #[must_use]
    pub fn new(aborted: impl IntoIterator<Item = (i64, i64)>) -> Self {
        let mut sorted: Vec<(i64, i64)> = aborted.into_iter().collect();
        sorted.sort_by_key(|&(_, first_offset)| first_offset);
        let mut filter = Self::default();
        for (producer_id, first_offset) in sorted {
            filter.ahead.entry(producer_id).or_default().push_back(first_offset);
        }
        filter
    }

    /// Whether the batch's records may be handed on. Call it for every batch, in order.
    pub fn admits(&mut self, batch: &Batch<'_>) -> bool {
        let header = batch.header();
        // Markers count too: compaction may have removed an aborted transaction's records but not its marker.
        if let Some(firsts) = self.ahead.get_mut(&header.producer_id) {
            while firsts.front().is_some_and(|&first| first <= header.last_offset()) {
                firsts.pop_front();
                self.aborting.insert(header.producer_id);
            }
        }
        if header.is_control() {
            self.aborting.remove(&header.producer_id);
            return false;
        }
        if !header.is_transactional() {
            return true;
        }
        !self.aborting.contains(&header.producer_id)
    }
}
