//! Snapshots: producers, transactions and epochs as bytes, so that a start need not read all batches.
//!
//! 1. A whole one stands for all batches below its offset.
//! 2. One of producers alone stands for what those batches say of producers: where a compaction has thinned them out they
//!    do not say it any more, and say of transactions what they have not said before.
//!
//! The bytes belong to one version of this file, and say of which log they are and up to where; any others are as good
//! as none. A checksum does not tell that files were mixed up when somebody put them back. Nor are those any good that
//! speak of what lies behind their end: who waited for it would wait for ever.

use super::{PartitionLog, epochs::Epochs, producers::Producers, unstable::Transactions};
use crate::storage::LogId;

const WHOLE: i64 = 1;
const PRODUCERS: i64 = 2;

/// Bytes that numbers are put into.
#[derive(Debug, Default)]
pub(super) struct Numbers(Vec<u8>);

impl Numbers {
    pub(super) fn put(&mut self, number: impl Into<i64>) {
        self.0.extend_from_slice(&number.into().to_be_bytes());
    }

    pub(super) fn put_len(&mut self, len: usize) {
        self.put(i64::try_from(len).expect("lengths fit into 63 bits"));
    }
}

/// Numbers that are taken from bytes.
#[derive(Debug)]
pub(super) struct Take<'a>(&'a [u8]);

impl Take<'_> {
    pub(super) fn take(&mut self) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(8)?;
        self.0 = rest;
        Some(i64::from_be_bytes(number.try_into().ok()?))
    }

    pub(super) fn take_as<T: TryFrom<i64>>(&mut self) -> Option<T> {
        T::try_from(self.take()?).ok()
    }

    /// An offset that lies below another.
    pub(super) fn take_below(&mut self, end: i64) -> Option<i64> {
        self.take().filter(|offset| (0..end).contains(offset))
    }
}

/// What tells a snapshot from all others.
fn names(id: LogId, offset: i64) -> [i64; 4] {
    let topic = id.topic.0.cast_signed();
    // Its two halves.
    let halves = [topic >> 64, topic << 64 >> 64].map(|half| i64::try_from(half).expect("it has 64 bits"));
    [halves[0], halves[1], i64::from(id.partition), offset]
}

impl PartitionLog {
    /// What is known about everything below the end.
    pub(super) fn snapshot(&self) -> Vec<u8> {
        let mut out = self.headed(WHOLE);
        out.put_len(self.epochs.all().len());
        for (epoch, first_offset) in self.epochs.all() {
            out.put(epoch);
            out.put(first_offset);
        }
        self.producers.save(&mut out);
        self.transactions.save(&mut out);
        out.0
    }

    /// What is known of producers about everything below the end.
    pub(super) fn producers_snapshot(&self) -> Vec<u8> {
        let mut out = self.headed(PRODUCERS);
        self.producers.save(&mut out);
        out.0
    }

    fn headed(&self, kind: i64) -> Numbers {
        let mut out = Numbers::default();
        out.put(kind);
        names(self.id, self.end).into_iter().for_each(|name| out.put(name));
        out
    }

    /// A log that has been read up to its end; of producers it knows what a snapshot of this offset says.
    pub(super) fn from_snapshot(id: LogId, offset: i64, state: &[u8]) -> Option<Self> {
        let mut from = Take(state);
        let kind = from.take()?;
        for name in names(id, offset) {
            if from.take()? != name {
                return None;
            }
        }
        if kind == PRODUCERS {
            let log = Self { producers: Producers::load(&mut from, offset)?, ..Self::new(id) };
            return from.0.is_empty().then_some(log);
        }
        if kind != WHOLE {
            return None;
        }
        let mut epochs = Epochs::default();
        for _ in 0..from.take()? {
            epochs.note(from.take_as()?, from.take_below(offset)?);
        }
        let producers = Producers::load(&mut from, offset)?;
        let transactions = Transactions::load(&mut from, offset)?;
        let log = Self { end: offset, epochs, producers, transactions, ..Self::new(id) };
        from.0.is_empty().then_some(log)
    }
}

#[cfg(test)]
mod tests {
    use super::PartitionLog;
    use crate::api::TopicId;
    use crate::batch::MarkerKind;
    use crate::storage::LogId;

    /// Each line: where a transaction begins, where it is aborted, and the end of the log.
    #[test]
    fn a_snapshot_is_none_that_speaks_of_what_lies_behind_its_end() {
        for (first, marker, end, expected) in [
            (2, Some(3), 4, true),
            (3, None, 4, true),
            (4, None, 4, false),
            (-1, None, 4, false),
            (2, Some(4), 4, false),
            (3, Some(2), 4, false),
        ] {
            let id = LogId { topic: TopicId(7), partition: 0 };
            let mut log = PartitionLog { end, ..PartitionLog::new(id) };
            log.transactions.begin(1, first);
            if let Some(marker) = marker {
                log.transactions.end(1, MarkerKind::Abort, marker);
            }
            let known = PartitionLog::from_snapshot(id, end, &log.snapshot());
            assert_eq!(known.is_some(), expected, "{first} {marker:?} {end}");
        }
    }
}
