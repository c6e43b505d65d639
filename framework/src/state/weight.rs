//! Weight: what the values of a store hold on the heap, estimated by their length as bytes.
//!
//! 1. Values are weighed where they are serialised or read anyway, so no record pays for it: the mean of the newest
//!    thousands counts for all of them.
//! 2. Before that a few of the newest are weighed, whenever somebody asks: values may grow large before the first commit.
//! 3. What lies in the value itself (a number, the pointer of a text) is counted by the store, not here.

use std::cell::Cell;

use crate::codec::Serde;

/// Values that the mean remembers; then older ones count half.
const REMEMBERED: usize = 4_096;
/// Values that are weighed when somebody asks.
const NEWEST: usize = 16;

/// What the values of a store weigh.
#[derive(Debug, Default)]
pub(super) struct Weight {
    bytes: Cell<usize>,
    values: Cell<usize>,
}

impl Weight {
    /// Notes the serialised length of a value.
    #[inline]
    pub(super) fn learn(&self, len: usize) {
        let (mut bytes, mut values) = (self.bytes.get(), self.values.get());
        if values >= REMEMBERED {
            (bytes, values) = (bytes / 2, values / 2);
        }
        self.bytes.set(bytes + len);
        self.values.set(values + 1);
    }

    /// Estimated bytes on the heap of `entries` values, the newest of which are `newest`.
    pub(super) fn heap<'a, V: 'a>(
        &self,
        entries: usize,
        newest: impl Iterator<Item = &'a V>,
        serde: &dyn Serde<V>,
    ) -> usize {
        let (mut bytes, mut weighed, mut out) = (0, 0, Vec::new());
        for value in newest.take(NEWEST) {
            out.clear();
            // One that cannot be written is told when it has to be.
            if serde.serialize(value, &mut out).is_ok() {
                bytes += out.len();
                weighed += 1;
            }
        }
        let mean = |bytes: usize, values: usize| bytes / values.max(1);
        let learned = mean(self.bytes.get(), self.values.get());
        entries * learned.max(mean(bytes, weighed)).saturating_sub(size_of::<V>())
    }
}
