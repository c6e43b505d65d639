//! Backlog: records on their way to librdkafka, partition by partition.
//!
//! While librdkafka (2.12.1) has a request of more than a few records under way to a partition it sends no other; and where
//! records wait behind it for longer than `linger.ms`, its broker's thread asks again and again whether they may go: a core,
//! for as long as the broker is late. So a partition is *open* for what goes into one request, and for a part of `linger.ms`
//! after its first record; then it is *closed* until all of them are acknowledged, and what comes waits here.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use crate::record::RecordBatch;
use crate::time::Clock;
use crate::topic::TopicPartition;

/// The most that librdkafka adds to a record in a request (its `RD_KAFKAP_MESSAGE_V2_MAX_OVERHEAD`).
const OVERHEAD: usize = 36;
/// Before so many records the time is looked at again.
const AT_ONCE: usize = 256;
/// So many empty batches are kept.
const SPARE: usize = 4;

/// What goes into one request of librdkafka's.
#[derive(Debug)]
pub(super) struct Limits {
    pub(super) records: usize,
    /// With what librdkafka adds to each record.
    pub(super) bytes: usize,
    /// How long a partition is open after its first record.
    pub(super) open_us: u64,
}

/// A partition that is written to.
#[derive(Debug)]
struct Lane {
    partition: TopicPartition,
    /// What librdkafka has, and since when it has the first of it.
    records: usize,
    bytes: usize,
    since_us: u64,
    /// What waits: batches, and how many records of each librdkafka has.
    waiting: VecDeque<(RecordBatch, usize)>,
}

/// Records on their way to librdkafka.
#[derive(Debug)]
pub(super) struct Backlog {
    limits: Limits,
    clock: Arc<dyn Clock>,
    lanes: Vec<Lane>,
    /// Empty batches whose memory is used again.
    spare: Vec<RecordBatch>,
    by_partition: HashMap<TopicPartition, usize>,
    /// Whether lanes may have been opened.
    stirred: bool,
    /// Bytes of keys, values and headers that librdkafka has, and of batches that wait.
    given: usize,
    waiting: usize,
}

impl Backlog {
    pub(super) fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self {
            limits,
            clock,
            lanes: Vec::new(),
            spare: Vec::new(),
            by_partition: HashMap::new(),
            stirred: false,
            given: 0,
            waiting: 0,
        }
    }

    /// The lane of a partition.
    pub(super) fn lane(&mut self, partition: &TopicPartition) -> usize {
        if let Some(lane) = self.by_partition.get(partition) {
            return *lane;
        }
        let lane = self.lanes.len();
        self.by_partition.insert(partition.clone(), lane);
        self.lanes.push(Lane {
            partition: partition.clone(),
            records: 0,
            bytes: 0,
            since_us: 0,
            waiting: VecDeque::new(),
        });
        lane
    }

    /// The partition of a lane.
    pub(super) fn partition(&self, lane: usize) -> &TopicPartition {
        &self.lanes[lane].partition
    }

    /// Number of lanes.
    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// Whether records wait in a lane: others go behind them.
    pub(super) fn is_waiting(&self, lane: usize) -> bool {
        !self.lanes[lane].waiting.is_empty()
    }

    /// Whether lanes may have been opened since the last call.
    pub(super) fn was_stirred(&mut self) -> bool {
        std::mem::take(&mut self.stirred)
    }

    /// Which records of a batch may go to librdkafka now, from `from` on: none if the lane is closed, and not always all that
    /// it is open for.
    pub(super) fn admitted(&mut self, lane: usize, batch: &RecordBatch, from: usize) -> Range<usize> {
        let (lane, now_us) = (&mut self.lanes[lane], self.clock.elapsed_us());
        if lane.records == 0 {
            lane.since_us = now_us;
        } else if now_us.saturating_sub(lane.since_us) >= self.limits.open_us {
            return from..from;
        }
        let (mut to, mut bytes) = (from, lane.bytes + OVERHEAD * lane.records);
        while to < batch.len() && to - from < AT_ONCE {
            let records = lane.records + to - from;
            bytes += batch.get(to).byte_len() + OVERHEAD;
            if records > 0 && (records >= self.limits.records || bytes > self.limits.bytes) {
                break;
            }
            to += 1;
        }
        from..to
    }

    /// Takes in that librdkafka has so many more records.
    pub(super) fn gave(&mut self, lane: usize, records: usize, bytes: usize) {
        let lane = &mut self.lanes[lane];
        lane.records += records;
        lane.bytes += bytes;
        self.given += bytes;
    }

    /// Lets the records of a batch from `from` on wait behind those of the lane that do; an empty batch takes its place.
    pub(super) fn wait(&mut self, lane: usize, batch: &mut RecordBatch, from: usize) {
        self.waiting += batch.byte_len();
        let empty = self.spare.pop().unwrap_or_default();
        self.lanes[lane].waiting.push_back((std::mem::replace(batch, empty), from));
    }

    /// Takes the first batch of a lane that waits, and from which record on; it is put back.
    pub(super) fn first(&mut self, lane: usize) -> Option<(RecordBatch, usize)> {
        let (batch, from) = self.lanes[lane].waiting.pop_front()?;
        self.waiting -= batch.byte_len();
        Some((batch, from))
    }

    /// Puts a batch back, of which the records before `from` are given; returns whether all are.
    pub(super) fn put_back(&mut self, lane: usize, mut batch: RecordBatch, from: usize) -> bool {
        let all = from == batch.len();
        if all {
            batch.clear();
            if self.spare.len() < SPARE {
                self.spare.push(batch);
            }
        } else {
            self.waiting += batch.byte_len();
            self.lanes[lane].waiting.push_front((batch, from));
        }
        all
    }

    /// Takes in that librdkafka has so many records no longer.
    pub(super) fn settled(&mut self, partition: &TopicPartition, records: usize) {
        let lane = self.lane(partition);
        let lane = &mut self.lanes[lane];
        lane.records = lane.records.saturating_sub(records);
        if lane.records == 0 {
            self.given -= std::mem::take(&mut lane.bytes);
        }
        self.stirred = true;
    }

    /// Forgets what waits.
    pub(super) fn clear(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.waiting.clear());
        self.waiting = 0;
    }

    /// Whether librdkafka has, or had, all records.
    pub(super) fn is_given(&self) -> bool {
        self.lanes.iter().all(|lane| lane.waiting.is_empty())
    }

    /// Whether librdkafka is done with all records.
    pub(super) fn is_settled(&self) -> bool {
        self.lanes.iter().all(|lane| lane.records == 0 && lane.waiting.is_empty())
    }

    /// Bytes of keys, values and headers that wait, or are not acknowledged.
    pub(super) fn bytes(&self) -> usize {
        self.given + self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ManualClock;

    const LIMITS: Limits = Limits { records: 4, bytes: 4 * (OVERHEAD + 10), open_us: 2_000 };

    /// A backlog, its clock, and the lane of a partition.
    fn backlog() -> (Backlog, ManualClock, TopicPartition) {
        let clock = ManualClock::at(1_000);
        (Backlog::new(LIMITS, Arc::new(clock.clone())), clock, TopicPartition::new("t", 0))
    }

    fn batch(records: usize, bytes: usize) -> RecordBatch {
        let mut batch = RecordBatch::default();
        (0..records).for_each(|_| batch.push(1, None, Some(&vec![0; bytes]), 0));
        batch
    }

    /// Gives what may be given of records of so many bytes; returns how many that were.
    fn give(backlog: &mut Backlog, partition: &TopicPartition, records: usize, bytes: usize) -> usize {
        let (lane, batch) = (backlog.lane(partition), batch(records, bytes));
        let admitted = backlog.admitted(lane, &batch, 0).len();
        backlog.gave(lane, admitted, admitted * bytes);
        admitted
    }

    #[test]
    fn a_partition_takes_what_goes_into_one_request() {
        // Records, bytes of each, how many may go.
        for (records, bytes, expected) in
            [(3, 10, 3), (9, 10, 4), (9, 1, 4), (9, 20, 3), (9, 1_000, 1), (0, 0, 0)]
        {
            let (mut backlog, _, partition) = backlog();
            assert_eq!(
                give(&mut backlog, &partition, records, bytes),
                expected,
                "{records} of {bytes} bytes"
            );
        }
    }

    #[test]
    fn a_partition_is_open_for_a_while_and_then_when_all_is_acknowledged() {
        let (mut backlog, clock, partition) = backlog();
        let other = TopicPartition::new("t", 1);
        assert_eq!(give(&mut backlog, &partition, 1, 10), 1);
        clock.advance_ms(1);
        assert_eq!(give(&mut backlog, &partition, 1, 10), 1);
        clock.advance_ms(1);
        assert_eq!(give(&mut backlog, &partition, 1, 10), 0, "2 ms after the first one");
        assert_eq!(give(&mut backlog, &other, 1, 10), 1, "another partition");
        backlog.settled(&partition, 1);
        assert_eq!(give(&mut backlog, &partition, 1, 10), 0, "one of two is acknowledged");
        assert!(backlog.was_stirred() && !backlog.was_stirred());
        backlog.settled(&partition, 1);
        assert_eq!(give(&mut backlog, &partition, 1, 10), 1, "both are");
        assert!(!backlog.is_settled());
        backlog.settled(&partition, 1);
        backlog.settled(&other, 1);
        assert!(backlog.is_settled());
    }

    #[test]
    fn batches_wait_in_order_and_are_counted() {
        let (mut backlog, _, partition) = backlog();
        let lane = backlog.lane(&partition);
        backlog.gave(lane, 1, 5);
        backlog.wait(lane, &mut batch(2, 10), 1);
        backlog.wait(lane, &mut batch(3, 10), 0);
        assert_eq!((backlog.bytes(), backlog.is_given(), backlog.is_waiting(lane)), (55, false, true));
        let (first, from) = backlog.first(lane).unwrap();
        assert_eq!((first.len(), from, backlog.bytes()), (2, 1, 35));
        assert!(!backlog.put_back(lane, first, 1));
        let (first, from) = backlog.first(lane).unwrap();
        assert_eq!((first.len(), from), (2, 1));
        assert!(backlog.put_back(lane, first, 2));
        assert_eq!(backlog.first(lane).map(|(first, from)| (first.len(), from)), Some((3, 0)));
        let mut last = batch(1, 10);
        backlog.wait(lane, &mut last, 0);
        assert!(last.is_empty());
        backlog.clear();
        assert_eq!((backlog.bytes(), backlog.is_given(), backlog.is_settled()), (5, true, false));
        backlog.settled(&partition, 1);
        assert_eq!((backlog.bytes(), backlog.is_settled()), (0, true));
    }
}
