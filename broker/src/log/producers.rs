//! Producers: what a partition remembers of idempotent producers, to know duplicates and gaps.
//!
//! 1. A lower epoch than the last one seen is fenced.
//! 2. A batch whose first and last sequence equal one of the last five is a duplicate: answered, not
//!    appended.
//! 3. A higher epoch starts at sequence 0; within an epoch each batch continues the last one.
//! 4. A producer that the partition does not know may start anywhere, as in Kafka since 2.4: its earlier
//!    batches may have been deleted.
//! 5. Markers carry epochs too: after a fencing the zombie's batches are refused.
//! 6. A producer that has not written for `producer.id.expiration.ms` is forgotten. It counts from when the broker took
//!    its last batch: Kafka takes the time of the batch's records, so replays of old ones are not known again there.

use std::collections::{BTreeMap, VecDeque};

use super::snapshot::{Numbers, Take};
use crate::api::ProducerStamp;
use crate::batch::{BatchHeader, advance_sequence};
use crate::error::ErrorCode;

/// As many as a client may have in flight.
const REMEMBERED_BATCHES: usize = 5;

#[derive(Clone, Copy, Debug)]
struct SequenceRange {
    first: i32,
    last: i32,
    base_offset: i64,
    last_offset: i64,
}

#[derive(Clone, Debug)]
struct Producer {
    epoch: i16,
    batches: VecDeque<SequenceRange>,
    /// Offset of its last marker.
    marker: Option<i64>,
    /// When it last wrote; unknown after a crash.
    seen_ms: Option<i64>,
}

/// A producer as a partition knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerView {
    /// Which producer.
    pub producer: ProducerStamp,
    /// Sequence number of its last record, if it has written in this epoch.
    pub last_sequence: Option<i32>,
    /// When it last wrote; unknown after a restart.
    pub last_timestamp: Option<i64>,
    /// Where its open transaction begins in the partition.
    pub transaction_start: Option<i64>,
}

/// What a batch's sequence number says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sequence {
    Next,
    /// Stored before, at this offset.
    Duplicate(i64),
}

/// The producers of one partition.
#[derive(Clone, Debug, Default)]
pub(super) struct Producers {
    by_id: BTreeMap<i64, Producer>,
}

impl Producers {
    pub(super) fn check(&self, header: &BatchHeader) -> Result<Sequence, ErrorCode> {
        let Some(known) = self.by_id.get(&header.producer_id) else { return Ok(Sequence::Next) };
        if header.producer_epoch < known.epoch {
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        if header.producer_epoch > known.epoch {
            return if header.base_sequence == 0 {
                Ok(Sequence::Next)
            } else {
                Err(ErrorCode::OutOfOrderSequenceNumber)
            };
        }
        let (first, last) = (header.base_sequence, header.last_sequence());
        if let Some(seen) = known.batches.iter().find(|seen| seen.first == first && seen.last == last) {
            return Ok(Sequence::Duplicate(seen.base_offset));
        }
        let expected = known.batches.back().map_or(0, |newest| advance_sequence(newest.last, 1));
        if first == expected { Ok(Sequence::Next) } else { Err(ErrorCode::OutOfOrderSequenceNumber) }
    }

    pub(super) fn note_data(&mut self, header: &BatchHeader) {
        let producer = self.at_epoch(header);
        if producer.batches.len() == REMEMBERED_BATCHES {
            producer.batches.pop_front();
        }
        producer.batches.push_back(SequenceRange {
            first: header.base_sequence,
            last: header.last_sequence(),
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
        });
    }

    pub(super) fn note_marker(&mut self, header: &BatchHeader) {
        self.at_epoch(header).marker = Some(header.base_offset);
    }

    /// It has written just now.
    pub(super) fn touch(&mut self, id: i64, now: i64) {
        if let Some(producer) = self.by_id.get_mut(&id) {
            producer.seen_ms = Some(now);
        }
    }

    /// Forgets producers that have not written for long; those for which `needed` holds stay.
    pub(super) fn expire(&mut self, now: i64, expiration_ms: i64, needed: impl Fn(i64) -> bool) {
        self.by_id.retain(|id, producer| {
            let seen = *producer.seen_ms.get_or_insert(now);
            now.saturating_sub(seen) < expiration_ms || needed(*id)
        });
    }

    /// What is known of them, by id.
    pub(super) fn views(&self) -> impl Iterator<Item = ProducerView> {
        self.by_id.iter().map(|(&id, producer)| ProducerView {
            producer: ProducerStamp { id, epoch: producer.epoch },
            last_sequence: producer.batches.back().map(|newest| newest.last),
            last_timestamp: producer.seen_ms,
            transaction_start: None,
        })
    }

    fn at_epoch(&mut self, header: &BatchHeader) -> &mut Producer {
        let epoch = header.producer_epoch;
        let producer = self.by_id.entry(header.producer_id).or_insert_with(|| Producer {
            epoch,
            batches: VecDeque::new(),
            marker: None,
            seen_ms: None,
        });
        if producer.epoch != epoch {
            producer.epoch = epoch;
            producer.batches.clear();
        }
        producer
    }

    /// Whether the last that a producer of this epoch has written here is a marker.
    pub(super) fn has_ended(&self, id: i64, epoch: i16) -> bool {
        let Some(known) = self.by_id.get(&id).filter(|known| known.epoch == epoch) else { return false };
        let last = known.batches.back().map_or(-1, |batch| batch.last_offset);
        known.marker.is_some_and(|marker| marker > last)
    }

    pub(super) fn save(&self, out: &mut Numbers) {
        out.put_len(self.by_id.len());
        for (id, producer) in &self.by_id {
            out.put(*id);
            out.put(producer.epoch);
            out.put(producer.marker.unwrap_or(-1));
            out.put(producer.seen_ms.unwrap_or(i64::MIN));
            out.put_len(producer.batches.len());
            for batch in &producer.batches {
                out.put(batch.first);
                out.put(batch.last);
                out.put(batch.base_offset);
                out.put(batch.last_offset);
            }
        }
    }

    /// Those of a log that ended at `end`.
    pub(super) fn load(from: &mut Take<'_>, end: i64) -> Option<Self> {
        let mut by_id = BTreeMap::new();
        for _ in 0..from.take()? {
            let id = from.take()?;
            let epoch = from.take_as()?;
            let marker = match from.take()? {
                -1 => None,
                marker => Some(marker).filter(|marker| (0..end).contains(marker)).map(Some)?,
            };
            let seen_ms = from.take().map(|seen| Some(seen).filter(|seen| *seen > i64::MIN))?;
            let mut batches = VecDeque::new();
            for _ in 0..from.take()? {
                let (first, last) = (from.take_as()?, from.take_as()?);
                batches.push_back(SequenceRange {
                    first,
                    last,
                    base_offset: from.take_below(end)?,
                    last_offset: from.take_below(end)?,
                });
            }
            by_id.insert(id, Producer { epoch, batches, marker, seen_ms });
        }
        Some(Self { by_id })
    }

    /// Whether compaction has to leave this batch's header, because a crash would else lose what it says
    /// about its producer.
    pub(super) fn depends_on(&self, header: &BatchHeader) -> bool {
        let Some(known) = self.by_id.get(&header.producer_id) else { return false };
        if known.epoch != header.producer_epoch {
            return false;
        }
        match known.batches.back() {
            Some(newest) => newest.last_offset == header.last_offset(),
            None => known.marker == Some(header.base_offset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Producers, Sequence};
    use crate::batch::{BatchHeader, BatchOptions, Record, encode};
    use crate::error::ErrorCode;

    fn header(epoch: i16, sequence: i32, count: usize) -> BatchHeader {
        let records = vec![Record::new(0, None, None); count];
        BatchHeader::parse(&encode(&BatchOptions::idempotent(1, epoch, sequence), records)).unwrap()
    }

    /// Each line: epoch, sequence, count, and what is expected of the batch.
    #[test]
    fn sequences_and_epochs() {
        let cases: &[(i16, i32, usize, Result<Sequence, ErrorCode>)] = &[
            (0, 7, 2, Ok(Sequence::Next)), // unknown producers start anywhere
            (0, 7, 2, Ok(Sequence::Duplicate(0))),
            (0, 7, 1, Err(ErrorCode::OutOfOrderSequenceNumber)), // part of a batch is no duplicate
            (0, 10, 1, Err(ErrorCode::OutOfOrderSequenceNumber)),
            (0, 9, 1, Ok(Sequence::Next)),
            (0, 10, 1, Ok(Sequence::Next)),
            (0, 11, 1, Ok(Sequence::Next)),
            (0, 12, 1, Ok(Sequence::Next)),
            (0, 7, 2, Ok(Sequence::Duplicate(0))), // the fifth last
            (0, 13, 1, Ok(Sequence::Next)),
            (0, 7, 2, Err(ErrorCode::OutOfOrderSequenceNumber)), // forgotten
            (2, 1, 1, Err(ErrorCode::OutOfOrderSequenceNumber)), // a new epoch starts at 0
            (2, 0, 1, Ok(Sequence::Next)),
            (1, 0, 1, Err(ErrorCode::InvalidProducerEpoch)),
            (3, 0, 1, Ok(Sequence::Next)),
            (3, i32::MAX - 1, 2, Err(ErrorCode::OutOfOrderSequenceNumber)),
        ];
        let mut producers = Producers::default();
        for (i, (epoch, sequence, count, expected)) in cases.iter().enumerate() {
            let header = header(*epoch, *sequence, *count);
            let found = producers.check(&header);
            assert_eq!(found, *expected, "line {i}");
            if found == Ok(Sequence::Next) {
                producers.note_data(&header);
            }
        }
    }

    #[test]
    fn producers_that_are_silent_for_long_are_forgotten() {
        let mut producers = Producers::default();
        producers.note_data(&header(3, 0, 1));
        producers.touch(1, 10);
        producers.expire(500, 500, |_| false);
        assert_eq!(producers.check(&header(2, 0, 1)), Err(ErrorCode::InvalidProducerEpoch));
        producers.expire(510, 500, |id| id == 1);
        assert_eq!(producers.check(&header(2, 0, 1)), Err(ErrorCode::InvalidProducerEpoch), "still needed");
        producers.expire(510, 500, |_| false);
        assert_eq!(producers.check(&header(2, 0, 1)), Ok(Sequence::Next));
    }

    #[test]
    fn sequences_wrap_to_zero() {
        let mut producers = Producers::default();
        producers.note_data(&header(0, i32::MAX - 1, 2));
        assert_eq!(producers.check(&header(0, 0, 1)), Ok(Sequence::Next));
        assert_eq!(producers.check(&header(0, 1, 1)), Err(ErrorCode::OutOfOrderSequenceNumber));
    }
}
