//! Consumer: reads partitions from explicit offsets, one fetch in flight per partition.

use std::collections::BTreeMap;
use std::task::Poll;

use headwater_broker::ErrorCode;
use headwater_broker::api::{FetchPartition, FetchRequest, FetchResponse, FetchedPartition};
use headwater_broker::batch::{Batch, BatchError, CommittedFilter};

use super::door::Door;
use super::errand::{Errand, REQUEST_TIMEOUT_MS};
use super::place;
use crate::kafka::{Consumer, Fault, Fetched, Isolation, KafkaError};
use crate::record::RecordBatch;
use crate::topic::TopicPartition;

/// A consumer without group.
#[derive(Debug)]
pub(super) struct MemoryConsumer {
    door: Door,
    isolation: Isolation,
    partitions: BTreeMap<TopicPartition, Reading>,
}

#[derive(Debug)]
struct Reading {
    position: i64,
    fetch: Option<Errand>,
    /// The data's version at which there was nothing behind `position`: no need to ask again before it changes.
    nothing_at: Option<u64>,
}

impl MemoryConsumer {
    pub(super) fn new(door: Door, isolation: Isolation) -> Self {
        Self { door, isolation, partitions: BTreeMap::new() }
    }
}

impl Consumer for MemoryConsumer {
    fn add(&mut self, partition: &TopicPartition, offset: i64) {
        self.remove(partition);
        let reading = Reading { position: offset, fetch: None, nothing_at: None };
        self.partitions.insert(partition.clone(), reading);
    }

    fn remove(&mut self, partition: &TopicPartition) {
        if let Some(fetch) = self.partitions.remove(partition).and_then(|reading| reading.fetch) {
            fetch.abandon(&self.door);
        }
    }

    fn fetch(
        &mut self,
        partition: &TopicPartition,
        max_bytes: usize,
        now_ms: i64,
    ) -> Result<Option<Fetched>, KafkaError> {
        let Some(reading) = self.partitions.get_mut(partition) else {
            return Err(place::out_of_place(format!("{partition} is not read by this consumer")));
        };
        let version = self.door.data_version(now_ms);
        if reading.nothing_at == Some(version) {
            let position = reading.position;
            return Ok(Some(Fetched { records: RecordBatch::default(), position, caught_up: true }));
        }
        // A fetch that is under way is kept even if `max_bytes` has changed: its answer is as good.
        let isolation = self.isolation;
        let position = reading.position;
        let waited = reading.fetch.is_some();
        let fetch = reading.fetch.get_or_insert_with(|| {
            Errand::new(request(partition, position, max_bytes, isolation), REQUEST_TIMEOUT_MS)
        });
        let answer = match fetch.poll::<FetchResponse>(&self.door, now_ms) {
            Poll::Pending => return Ok(None),
            Poll::Ready(answer) => answer.and_then(only_partition),
        };
        match answer {
            Ok(fetched) => {
                reading.fetch = None;
                let fetched = unpack(&fetched, position, isolation)
                    .map_err(|error| unreadable(partition, position, error))?;
                reading.position = fetched.position;
                // A fault may have held the answer back while data came: only what was asked just now is known.
                reading.nothing_at = (fetched.caught_up && !waited).then_some(version);
                Ok(Some(fetched))
            }
            Err(code) if code.is_retriable() && code != ErrorCode::UnknownTopicOrPartition => Ok(None),
            Err(code) => {
                reading.fetch = None;
                let what = format!("{partition} cannot be read from offset {position}");
                Err(place::answered(code, Fault::Refused, what))
            }
        }
    }

    fn end(&self, partition: &TopicPartition) -> Option<i64> {
        let reading = self.partitions.get(partition)?;
        Some(self.door.end(partition, self.isolation)?.max(reading.position))
    }
}

fn request(partition: &TopicPartition, offset: i64, max_bytes: usize, isolation: Isolation) -> FetchRequest {
    let wanted = FetchPartition { at: place::at(partition), offset, max_bytes, current_leader_epoch: None };
    FetchRequest { isolation: place::isolation(isolation), max_bytes, partitions: vec![wanted] }
}

fn only_partition(response: FetchResponse) -> Result<FetchedPartition, ErrorCode> {
    let fetched = response.partitions.into_iter().next().ok_or(ErrorCode::UnknownServerError)?;
    fetched.error.check()?;
    Ok(fetched)
}

fn unreadable(partition: &TopicPartition, position: i64, error: BatchError) -> KafkaError {
    let what = format!("{partition} cannot be read from offset {position}: {error}");
    place::answered(ErrorCode::CorruptMessage, Fault::Refused, what)
}

/// The records from `position` on that the isolation shows. Batches are whole, so the first may begin below it.
fn unpack(fetched: &FetchedPartition, position: i64, isolation: Isolation) -> Result<Fetched, BatchError> {
    let end = match isolation {
        Isolation::ReadUncommitted => fetched.high_watermark,
        Isolation::ReadCommitted => fetched.last_stable_offset,
    };
    let bytes = fetched.batches.iter().map(bytes::Bytes::len).sum();
    let mut records = RecordBatch::with_capacity(0, bytes);
    let mut next = position;
    let mut filter =
        CommittedFilter::new(fetched.aborted.iter().map(|one| (one.producer_id, one.first_offset)));
    for bytes in &fetched.batches {
        let batch = Batch::parse(bytes)?;
        // Under read_uncommitted the aborted list is empty: only control batches are held back.
        if filter.admits(&batch) {
            push_records(&mut records, &batch, position)?;
        }
        next = next.max(batch.header().next_offset());
    }
    if fetched.batches.is_empty() {
        // Nothing is left up to the end: compaction or deletion took it.
        next = next.max(end);
    }
    Ok(Fetched { records, position: next, caught_up: next >= end })
}

fn push_records(records: &mut RecordBatch, batch: &Batch<'_>, position: i64) -> Result<(), BatchError> {
    // Ours are not compressed; those that come through a port may be.
    let mut room = Vec::new();
    for record in batch.open(&mut room)? {
        let record = record?;
        if record.offset < position {
            continue;
        }
        records.push(record.timestamp, record.key, record.value, record.offset);
        for header in record.headers.iter() {
            records.push_header(header.key, header.value);
        }
    }
    Ok(())
}
