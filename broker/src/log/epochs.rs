//! Leader epochs: at which offset each began.

use std::collections::VecDeque;

/// The epochs of a log's batches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Epochs {
    /// Epoch and first offset, both rising.
    began: VecDeque<(i32, i64)>,
}

impl Epochs {
    /// Takes a batch at the end of the log.
    pub(super) fn note(&mut self, epoch: i32, offset: i64) {
        if self.began.back().is_none_or(|(last, _)| *last < epoch) {
            self.began.push_back((epoch, offset));
        }
    }

    pub(super) fn all(&self) -> impl ExactSizeIterator<Item = (i32, i64)> {
        self.began.iter().copied()
    }

    /// The epoch of a record.
    pub(super) fn at(&self, offset: i64) -> Option<i32> {
        let after = self.began.partition_point(|(_, first)| *first <= offset);
        self.began.get(after.saturating_sub(1)).map(|(epoch, _)| *epoch)
    }

    /// The largest epoch up to `wanted`, and where it ended in a log that ends at `end`.
    pub(super) fn end_of(&self, wanted: i32, end: i64) -> Option<(i32, i64)> {
        let after = self.began.partition_point(|(epoch, _)| *epoch <= wanted);
        let (epoch, _) = self.began.get(after.checked_sub(1)?)?;
        Some((*epoch, self.began.get(after).map_or(end, |(_, next)| *next)))
    }

    /// Forgets epochs that have no record from `start` on in a log that ends at `end`.
    pub(super) fn forget_below(&mut self, start: i64, end: i64) {
        while self.began.get(1).map_or(end, |(_, next)| *next) <= start {
            if self.began.pop_front().is_none() {
                break;
            }
        }
    }
}
