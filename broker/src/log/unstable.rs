//! Transactions as one partition sees them: which are open, and which were aborted.
//!
//! A transaction opens with a producer's first transactional batch and ends with its marker. An aborted one
//! is remembered as long as its marker is in the log, for readers to drop its records.

use std::collections::BTreeMap;

use super::snapshot::{Numbers, Take};
use crate::batch::MarkerKind;

#[derive(Clone, Copy, Debug)]
struct Aborted {
    producer_id: i64,
    first_offset: i64,
    marker_offset: i64,
}

/// Open and aborted transactions of one partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Transactions {
    /// First offset, by producer.
    open: BTreeMap<i64, i64>,
    /// By marker offset.
    aborted: Vec<Aborted>,
}

impl Transactions {
    pub(super) fn begin(&mut self, producer_id: i64, first_offset: i64) {
        self.open.entry(producer_id).or_insert(first_offset);
    }

    pub(super) fn end(&mut self, producer_id: i64, kind: MarkerKind, marker_offset: i64) {
        let Some(first_offset) = self.open.remove(&producer_id) else { return };
        if kind == MarkerKind::Abort {
            self.aborted.push(Aborted { producer_id, first_offset, marker_offset });
        }
    }

    pub(super) fn is_open(&self, producer_id: i64) -> bool {
        self.open.contains_key(&producer_id)
    }

    pub(super) fn open(&self) -> impl Iterator<Item = (i64, i64)> {
        self.open.iter().map(|(&producer_id, &first_offset)| (producer_id, first_offset))
    }

    pub(super) fn first_open(&self) -> Option<i64> {
        self.open.values().copied().min()
    }

    /// Aborted transactions that overlap the offsets from `first` up to and including `last`: not only those
    /// that start there.
    pub(super) fn aborted_between(&self, first: i64, last: i64) -> Vec<(i64, i64)> {
        let from = self.aborted.partition_point(|aborted| aborted.marker_offset < first);
        self.aborted[from..]
            .iter()
            .filter(|aborted| aborted.first_offset <= last)
            .map(|aborted| (aborted.producer_id, aborted.first_offset))
            .collect()
    }

    pub(super) fn save(&self, out: &mut Numbers) {
        out.put_len(self.open.len());
        for (producer_id, first_offset) in self.open() {
            out.put(producer_id);
            out.put(first_offset);
        }
        out.put_len(self.aborted.len());
        for aborted in &self.aborted {
            out.put(aborted.producer_id);
            out.put(aborted.first_offset);
            out.put(aborted.marker_offset);
        }
    }

    /// Those of a log that ended at `end`.
    pub(super) fn load(from: &mut Take<'_>, end: i64) -> Option<Self> {
        let mut loaded = Self::default();
        for _ in 0..from.take()? {
            loaded.open.insert(from.take()?, from.take_below(end)?);
        }
        for _ in 0..from.take()? {
            let (producer_id, first_offset) = (from.take()?, from.take()?);
            let marker_offset = from.take_below(end)?;
            let follows = loaded.aborted.last().is_none_or(|last| last.marker_offset < marker_offset);
            if !follows || first_offset > marker_offset {
                return None;
            }
            loaded.aborted.push(Aborted { producer_id, first_offset, marker_offset });
        }
        Some(loaded)
    }

    /// Forgets aborted transactions whose marker is gone from the log.
    pub(super) fn forget_aborted(&mut self, marker_is_gone: impl Fn(i64) -> bool) {
        self.aborted.retain(|aborted| !marker_is_gone(aborted.marker_offset));
    }
}
