//! Outbox: records on their way to the log, per partition in order.
//!
//! 1. Records gather in parcels of up to [`PARCEL_BYTES`]; a parcel becomes a batch when it is sent.
//! 2. One batch per partition is in flight. It is repeated with the same sequence numbers until it is answered, so
//!    that it is appended once.
//! 3. A batch that was refused has not been appended: its sequence numbers are used again. But where an earlier copy of
//!    it was lost, that one may have been appended: its numbers would make a duplicate of the next batch.
//! 4. A batch that was refused for what is in it is divided (as Java's producer does where it is too large), until the
//!    record at fault is alone: everything before it is delivered, and it is known.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use headwater_broker::ErrorCode;
use headwater_broker::api::{ProducePartition, ProduceRequest, ProduceResponse, ProducerStamp};
use headwater_broker::batch::{BatchBuilder, BatchOptions, Header, Record, advance_sequence};

use super::door::Door;
use super::errand::Errand;
use super::place;
use super::refused::{self, Blame};
use crate::kafka::Refusal;
use crate::record::{RawRecord, RecordBatch};
use crate::topic::TopicPartition;

/// librdkafka's default for `batch.size`; a record that is larger travels alone.
const PARCEL_BYTES: usize = 1_000_000;

/// Who sends.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub(super) transactional_id: Option<Arc<str>>,
    pub(super) stamp: ProducerStamp,
    pub(super) request_timeout_ms: i64,
    /// After so long without success a parcel is given up (`message.timeout.ms`).
    pub(super) delivery_timeout_ms: i64,
}

/// Why a batch was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undelivered {
    /// The broker's answer; the batch has not been appended.
    Refused(ErrorCode),
    /// The broker's answer to the last copy; whether an earlier one was appended is unknown.
    InDoubt(ErrorCode),
    /// There was no success in time; whether it was appended is unknown.
    TimedOut,
}

/// Records that are not acknowledged yet, and what was acknowledged.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    lanes: BTreeMap<TopicPartition, Lane>,
    pending_bytes: usize,
    acknowledged: BTreeMap<TopicPartition, i64>,
    refused: Vec<Refusal>,
}

#[derive(Debug, Default)]
struct Lane {
    next_sequence: i32,
    waiting: VecDeque<Parcel>,
    flight: Option<Flight>,
}

#[derive(Debug)]
struct Parcel {
    builder: BatchBuilder,
    queued_ms: i64,
}

#[derive(Debug)]
struct Flight {
    errand: Errand,
    batch: Bytes,
    first_sequence: i32,
    count: i32,
    bytes: usize,
    queued_ms: i64,
}

/// What became of the batch in flight.
enum Landing {
    /// It is still under way, or there is none.
    None,
    Acknowledged,
    /// Why, what, and since when it waited.
    Failed(Undelivered, Bytes, i64),
}

impl Outbox {
    pub(super) fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pending_bytes == 0
    }

    /// Takes the records of `batch`.
    pub(super) fn push(&mut self, partition: &TopicPartition, batch: &mut RecordBatch, now_ms: i64) {
        if !self.lanes.contains_key(partition) {
            self.lanes.insert(partition.clone(), Lane::default());
        }
        let lane = self.lanes.get_mut(partition).expect("it was inserted if it was missing");
        for raw in batch.iter() {
            self.pending_bytes += with_record(raw, |record| lane.push(record, now_ms));
        }
        batch.clear();
    }

    /// Partitions with records that wait to be sent.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &TopicPartition> {
        self.lanes.iter().filter(|(_, lane)| !lane.waiting.is_empty()).map(|(partition, _)| partition)
    }

    /// Sends what may be sent and takes in what was answered. `may_send` says which partitions are open.
    pub(super) fn pump(
        &mut self,
        door: &Door,
        sender: &Sender,
        may_send: impl Fn(&TopicPartition) -> bool,
        now_ms: i64,
    ) -> Result<(), (TopicPartition, Undelivered)> {
        if self.is_empty() {
            return Ok(());
        }
        for (partition, lane) in &mut self.lanes {
            loop {
                let before = lane.bytes();
                let landing = lane.land(door, now_ms, &mut |offset| {
                    self.acknowledged.insert(partition.clone(), offset);
                });
                let failed = match landing {
                    Landing::None | Landing::Acknowledged => None,
                    Landing::Failed(why, batch, queued_ms) => match refused::blame(partition, why, &batch) {
                        Blame::Nothing => Some(why),
                        Blame::Is(refusal) => {
                            self.refused.push(refusal);
                            Some(why)
                        }
                        Blame::OneOf(first, second) => {
                            lane.divide(first, second, queued_ms);
                            None
                        }
                    },
                };
                // Two halves take more bytes than the whole.
                self.pending_bytes = self.pending_bytes + lane.bytes() - before;
                if let Some(why) = failed {
                    return Err((partition.clone(), why));
                }
                if lane.is_late(sender, now_ms) {
                    self.pending_bytes -= lane.give_up(door);
                    return Err((partition.clone(), Undelivered::TimedOut));
                }
                if lane.flight.is_some() || lane.waiting.is_empty() || !may_send(partition) {
                    break;
                }
                lane.depart(partition, sender);
            }
        }
        Ok(())
    }

    /// Drops what is queued; what is in flight stays.
    pub(super) fn drop_queued(&mut self) {
        for lane in self.lanes.values_mut() {
            let before = lane.bytes();
            lane.waiting.clear();
            self.pending_bytes -= before - lane.bytes();
        }
    }

    /// Takes in what was answered without sending anything new, again until nothing is in flight. Collects why batches
    /// were not delivered.
    pub(super) fn settle(
        &mut self,
        door: &Door,
        sender: &Sender,
        now_ms: i64,
        failures: &mut Vec<Undelivered>,
    ) -> Poll<()> {
        let mut settled = Poll::Ready(());
        for (partition, lane) in &mut self.lanes {
            let before = lane.bytes();
            let landing = lane.land(door, now_ms, &mut |offset| {
                self.acknowledged.insert(partition.clone(), offset);
            });
            self.pending_bytes -= before - lane.bytes();
            if let Landing::Failed(why, ..) = landing {
                failures.push(why);
            }
            if lane.is_late(sender, now_ms) {
                self.pending_bytes -= lane.give_up(door);
                failures.push(Undelivered::TimedOut);
            }
            if lane.flight.is_some() {
                settled = Poll::Pending;
            }
        }
        settled
    }

    /// Forgets everything that is under way: the producer is dead, or got a new epoch.
    pub(super) fn start_over(&mut self) {
        self.lanes.clear();
        self.pending_bytes = 0;
    }

    /// What was refused since the last call.
    pub(super) fn take_refused(&mut self) -> Vec<Refusal> {
        std::mem::take(&mut self.refused)
    }

    /// A topic that may not be written was not even offered a record.
    pub(super) fn note_refused(&mut self, refusal: Refusal) {
        self.refused.push(refusal);
    }

    /// The offset behind the last acknowledged record of each partition since the last call.
    pub(super) fn take_acknowledged(&mut self) -> Vec<(TopicPartition, i64)> {
        std::mem::take(&mut self.acknowledged).into_iter().collect()
    }
}

impl Lane {
    fn bytes(&self) -> usize {
        let waiting: usize = self.waiting.iter().map(|parcel| parcel.builder.len()).sum();
        waiting + self.flight.as_ref().map_or(0, |flight| flight.bytes)
    }

    /// Whether the oldest records have waited for too long.
    fn is_late(&self, sender: &Sender, now_ms: i64) -> bool {
        let flight = self.flight.as_ref().map(|flight| flight.queued_ms);
        let oldest = flight.or_else(|| self.waiting.front().map(|parcel| parcel.queued_ms));
        oldest.is_some_and(|queued_ms| now_ms - queued_ms >= sender.delivery_timeout_ms)
    }

    /// Drops everything, in flight or not. Tells how many bytes that were.
    fn give_up(&mut self, door: &Door) -> usize {
        let bytes = self.bytes();
        self.waiting.clear();
        if let Some(flight) = self.flight.take() {
            flight.errand.abandon(door);
        }
        bytes
    }

    /// Adds a record to the last parcel, or to a new one where it does not fit. Tells how many bytes were added.
    fn push(&mut self, record: &Record<'_>, now_ms: i64) -> usize {
        let room = PARCEL_BYTES.saturating_sub(BatchBuilder::record_bytes(record));
        if let Some(parcel) = self.waiting.back_mut().filter(|parcel| parcel.builder.len() <= room) {
            let before = parcel.builder.len();
            parcel.builder.push(record);
            return parcel.builder.len() - before;
        }
        let mut builder = BatchBuilder::new();
        builder.push(record);
        let added = builder.len();
        self.waiting.push_back(Parcel { builder, queued_ms: now_ms });
        added
    }

    /// Puts the halves of a batch back where it came from.
    fn divide(&mut self, first: BatchBuilder, second: BatchBuilder, queued_ms: i64) {
        self.waiting.push_front(Parcel { builder: second, queued_ms });
        self.waiting.push_front(Parcel { builder: first, queued_ms });
    }

    /// Makes the first parcel a batch in flight; it goes out when it is asked for its answer.
    fn depart(&mut self, partition: &TopicPartition, sender: &Sender) {
        let Some(Parcel { builder, queued_ms }) = self.waiting.pop_front() else { return };
        let (bytes, count, first_sequence) = (builder.len(), builder.count(), self.next_sequence);
        let ProducerStamp { id, epoch } = sender.stamp;
        let options = match sender.transactional_id {
            Some(_) => BatchOptions::transactional(id, epoch, first_sequence),
            None => BatchOptions::idempotent(id, epoch, first_sequence),
        };
        let batch = Bytes::from(builder.finish(&options));
        let request = ProduceRequest {
            transactional_id: sender.transactional_id.clone(),
            partitions: vec![ProducePartition { at: place::at(partition), batch: batch.clone() }],
        };
        self.next_sequence = advance_sequence(first_sequence, count);
        let errand = Errand::new(request, sender.request_timeout_ms);
        self.flight = Some(Flight { errand, batch, first_sequence, count, bytes, queued_ms });
    }

    /// Looks after the batch in flight.
    fn land(&mut self, door: &Door, now_ms: i64, acknowledge: &mut dyn FnMut(i64)) -> Landing {
        let Some(flight) = &mut self.flight else { return Landing::None };
        let answer = match flight.errand.poll::<ProduceResponse>(door, now_ms) {
            Poll::Pending => return Landing::None,
            Poll::Ready(answer) => answer.and_then(base_offset),
        };
        match answer {
            Ok(base_offset) => {
                if let Some(base_offset) = base_offset {
                    acknowledge(base_offset + i64::from(flight.count));
                }
                self.flight = None;
                Landing::Acknowledged
            }
            // It goes out again with the next poll.
            Err(code) if code.is_retriable() => Landing::None,
            Err(code) => {
                let why = match flight.errand.was_lost() {
                    true => Undelivered::InDoubt(code),
                    false => Undelivered::Refused(code),
                };
                let (batch, queued_ms) = (flight.batch.clone(), flight.queued_ms);
                self.next_sequence = flight.first_sequence;
                self.flight = None;
                Landing::Failed(why, batch, queued_ms)
            }
        }
    }
}

/// The offset of the first record; `None` for a duplicate whose place the broker has forgotten.
fn base_offset(response: ProduceResponse) -> Result<Option<i64>, ErrorCode> {
    let produced = response.partitions.into_iter().next().ok_or(ErrorCode::UnknownServerError)?;
    match produced.error {
        ErrorCode::None => Ok(Some(produced.base_offset)),
        ErrorCode::DuplicateSequenceNumber => Ok(None),
        code => Err(code),
    }
}

/// Hands the record on in the broker's words, without a copy.
pub(super) fn with_record<T>(raw: RawRecord<'_>, take: impl FnOnce(&Record<'_>) -> T) -> T {
    let record = Record::new(raw.timestamp, raw.key, raw.value);
    if !raw.has_headers() {
        return take(&record);
    }
    let headers: Vec<Header<'_>> = raw.headers().map(|(key, value)| Header { key, value }).collect();
    take(&record.with_headers(&headers))
}
