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
/// What a record, and a batch, take that wait, beside their bytes.
const ENTRY: usize = 32;
const BATCH: usize = 256;
/// So many empty batches are kept, of this size at most.
const SPARE: usize = 4;
const SPARE_BYTES: usize = 1 << 20;

/// What goes into one request of librdkafka's.
#[derive(Clone, Debug)]
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
    /// Whether it is among those that are ready.
    ready: bool,
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
    /// Lanes in which records wait, and that may be open.
    ready: VecDeque<usize>,
    /// Whether librdkafka's queue had no room, and has given none back since.
    full: bool,
    /// How many batches wait, and how many records librdkafka has.
    batches: usize,
    records: usize,
    /// Bytes that librdkafka has, and that wait.
    given: usize,
    kept: usize,
}

impl Backlog {
    pub(super) fn new(limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self {
            limits,
            clock,
            lanes: Vec::new(),
            spare: Vec::new(),
            by_partition: HashMap::new(),
            ready: VecDeque::new(),
            full: false,
            batches: 0,
            records: 0,
            given: 0,
            kept: 0,
        }
    }

    /// One without lanes, in the place of this.
    pub(super) fn renewed(&self) -> Self {
        Self::new(self.limits.clone(), Arc::clone(&self.clock))
    }

    /// How many partitions were ever written to.
    pub(super) fn lanes(&self) -> usize {
        self.lanes.len()
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
            ready: false,
        });
        lane
    }

    /// The partition of a lane.
    pub(super) fn partition(&self, lane: usize) -> &TopicPartition {
        &self.lanes[lane].partition
    }

    /// Whether records wait in a lane: others go behind them.
    pub(super) fn is_waiting(&self, lane: usize) -> bool {
        !self.lanes[lane].waiting.is_empty()
    }

    /// The next lane in which records wait, if it may be open and there is room.
    pub(super) fn next_ready(&mut self) -> Option<usize> {
        let lane = self.ready.pop_front_if(|_| !self.full)?;
        self.lanes[lane].ready = false;
        Some(lane)
    }

    /// A lane has been opened, or there was no room: it is looked at before all others, or when it is its turn.
    fn look_at(&mut self, number: usize, first: bool) {
        let lane = &mut self.lanes[number];
        if lane.waiting.is_empty() || std::mem::replace(&mut lane.ready, true) {
            return;
        }
        if first { self.ready.push_front(number) } else { self.ready.push_back(number) }
    }

    /// Takes in that librdkafka's queue has no room.
    pub(super) fn refused(&mut self) {
        self.full = true;
    }

    /// Which records of a batch may go to librdkafka now, from `from` on: none if the lane is closed or there is no room, and
    /// not always all that it is open for.
    pub(super) fn admitted(&mut self, lane: usize, batch: &RecordBatch, from: usize) -> Range<usize> {
        if self.full {
            return from..from;
        }
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
        self.records += records;
        self.given += bytes;
    }

    /// Lets the records of a batch from `from` on wait behind those of the lane that do; an empty batch with room for as many
    /// takes its place.
    pub(super) fn wait(&mut self, lane: usize, batch: &mut RecordBatch, from: usize) {
        let empty = self.spare.pop();
        let empty = empty.unwrap_or_else(|| RecordBatch::with_capacity(batch.len(), batch.byte_len()));
        self.kept += cost(batch);
        self.batches += 1;
        self.lanes[lane].waiting.push_back((std::mem::replace(batch, empty), from));
        if self.full {
            self.look_at(lane, false);
        }
    }

    /// Takes the first batch of a lane that waits, and from which record on; it is put back.
    pub(super) fn first(&mut self, lane: usize) -> Option<(RecordBatch, usize)> {
        let (batch, from) = self.lanes[lane].waiting.pop_front()?;
        self.kept -= cost(&batch);
        self.batches -= 1;
        Some((batch, from))
    }

    /// Puts a batch back, of which the records before `from` are given; returns whether all are.
    pub(super) fn put_back(&mut self, lane: usize, mut batch: RecordBatch, from: usize) -> bool {
        let all = from == batch.len();
        if !all {
            self.kept += cost(&batch);
            self.batches += 1;
            self.lanes[lane].waiting.push_front((batch, from));
            if self.full {
                self.look_at(lane, true);
            }
        } else if self.spare.len() < SPARE && batch.byte_len() <= SPARE_BYTES {
            batch.clear();
            self.spare.push(batch);
        }
        all
    }

    /// Takes in that librdkafka has so many records no longer.
    pub(super) fn settled(&mut self, partition: &TopicPartition, records: usize) {
        let number = self.lane(partition);
        let lane = &mut self.lanes[number];
        self.full = false;
        let records = records.min(lane.records);
        lane.records -= records;
        self.records -= records;
        if lane.records == 0 {
            self.given -= std::mem::take(&mut lane.bytes);
            self.look_at(number, false);
        }
    }

    /// Forgets what waits.
    pub(super) fn clear(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.waiting.clear());
        (self.kept, self.batches) = (0, 0);
    }

    /// Whether librdkafka has, or had, all records.
    pub(super) fn is_given(&self) -> bool {
        self.batches == 0
    }

    /// Whether librdkafka is done with all records.
    pub(super) fn is_settled(&self) -> bool {
        self.batches == 0 && self.records == 0
    }

    /// Bytes that wait, or are not acknowledged.
    pub(super) fn bytes(&self) -> usize {
        self.given + self.kept
    }
}

/// What a batch takes that waits.
fn cost(batch: &RecordBatch) -> usize {
    batch.byte_len() + ENTRY * batch.len() + BATCH
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::ManualClock;

    const LIMITS: Limits = Limits { records: 4, bytes: 4 * (36 + 10), open_us: 2_000 };

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
        backlog.settled(&partition, 1);
        assert_eq!(give(&mut backlog, &partition, 1, 10), 1, "both are");
        assert!(!backlog.is_settled());
        backlog.settled(&partition, 1);
        backlog.settled(&other, 1);
        assert!(backlog.is_settled());
    }

    #[test]
    fn lanes_that_wait_are_looked_at_in_turn_once_they_are_opened() {
        let (mut backlog, _, _) = backlog();
        let partitions: Vec<_> = (0..3).map(|number| TopicPartition::new("t", number)).collect();
        for partition in &partitions {
            let lane = backlog.lane(partition);
            backlog.gave(lane, 2, 5);
            backlog.wait(lane, &mut batch(1, 10), 0);
        }
        assert_eq!(backlog.next_ready(), None, "all are closed");
        backlog.settled(&partitions[2], 2);
        backlog.settled(&partitions[0], 1);
        backlog.settled(&partitions[0], 1);
        backlog.settled(&partitions[0], 1);
        assert_eq!(backlog.next_ready(), Some(2));
        backlog.refused();
        let (batch, from) = backlog.first(2).unwrap();
        assert!(backlog.admitted(2, &batch, from).is_empty(), "there is no room");
        assert!(!backlog.put_back(2, batch, from));
        assert_eq!(backlog.next_ready(), None, "nothing goes");
        backlog.settled(&partitions[1], 1);
        assert_eq!([(); 3].map(|()| backlog.next_ready()), [Some(2), Some(0), None]);
        assert!(backlog.first(1).is_some());
        backlog.settled(&partitions[1], 1);
        assert_eq!(backlog.next_ready(), None, "nothing waits in it");
    }

    #[test]
    fn batches_wait_in_order_and_are_counted() {
        let (mut backlog, _, partition) = backlog();
        let lane = backlog.lane(&partition);
        backlog.gave(lane, 1, 5);
        backlog.wait(lane, &mut batch(2, 10), 1);
        backlog.wait(lane, &mut batch(3, 10), 0);
        let batches = |records: usize, batches: usize| records * (10 + ENTRY) + batches * BATCH;
        assert_eq!(
            (backlog.bytes(), backlog.is_given(), backlog.is_waiting(lane)),
            (5 + batches(5, 2), false, true)
        );
        let (first, from) = backlog.first(lane).unwrap();
        assert_eq!((first.len(), from, backlog.bytes()), (2, 1, 5 + batches(3, 1)));
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
