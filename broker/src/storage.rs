//! Storage: the port through which partition logs keep their batches.
//!
//! A log is known by topic id and partition; a batch by its base offset. What storage holds is what a crash
//! leaves: the log's index, its producers and its open transactions are read back from it.

use std::collections::{BTreeMap, VecDeque};
use std::io;

use bytes::Bytes;

use crate::api::TopicId;

/// Which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// Its topic.
    pub topic: TopicId,
    /// Its partition.
    pub partition: i32,
}

/// A batch with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// Offset of its first record.
    pub base_offset: i64,
    /// All its bytes.
    pub bytes: Bytes,
}

/// Keeps batches. The caller appends in order of base offsets and never hands in a malformed batch.
///
/// An error makes the request fail with `KAFKA_STORAGE_ERROR`; an append that failed must leave nothing
/// behind.
pub trait Storage: Send {
    /// Adds a batch at the end of a log; the first one creates the log.
    ///
    /// # Errors
    /// Whatever the medium answers.
    fn append(&mut self, log: LogId, batch: StoredBatch) -> io::Result<()>;

    /// Reads whole batches in order, from the one with base offset `from` on, up to but without base offset
    /// `to`: the first always, more as long as the sum stays within `max_bytes`.
    ///
    /// # Errors
    /// Whatever the medium answers.
    fn read(&self, log: LogId, range: std::ops::Range<i64>, max_bytes: usize) -> io::Result<Vec<Bytes>>;

    /// Records that the log starts at `start` and frees batches with base offsets below `first_kept`.
    ///
    /// # Errors
    /// Whatever the medium answers.
    fn truncate_front(&mut self, log: LogId, start: i64, first_kept: i64) -> io::Result<()>;

    /// Puts `batches` in place of all whose base offset is below `below`: what compaction does.
    ///
    /// # Errors
    /// Whatever the medium answers; the log must then be as before.
    fn replace_below(&mut self, log: LogId, below: i64, batches: Vec<StoredBatch>) -> io::Result<()>;

    /// Forgets a log.
    ///
    /// # Errors
    /// Whatever the medium answers.
    fn remove(&mut self, log: LogId) -> io::Result<()>;

    /// Where the log starts, as [`Storage::truncate_front`] last said; 0 for a new log.
    fn start(&self, log: LogId) -> i64;
}

/// Storage in memory. It outlives a simulated crash, not the process.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    logs: BTreeMap<LogId, MemoryLog>,
}

#[derive(Clone, Debug, Default)]
struct MemoryLog {
    start: i64,
    batches: VecDeque<StoredBatch>,
}

impl MemoryLog {
    fn position(&self, base_offset: i64) -> usize {
        self.batches.partition_point(|batch| batch.base_offset < base_offset)
    }
}

impl MemoryStorage {
    /// Empty storage.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Storage for MemoryStorage {
    fn append(&mut self, log: LogId, batch: StoredBatch) -> io::Result<()> {
        self.logs.entry(log).or_default().batches.push_back(batch);
        Ok(())
    }

    fn read(&self, log: LogId, range: std::ops::Range<i64>, max_bytes: usize) -> io::Result<Vec<Bytes>> {
        let Some(log) = self.logs.get(&log) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        let mut total = 0;
        for batch in log.batches.range(log.position(range.start)..) {
            total += batch.bytes.len();
            if batch.base_offset >= range.end || !found.is_empty() && total > max_bytes {
                break;
            }
            found.push(batch.bytes.clone());
        }
        Ok(found)
    }

    fn truncate_front(&mut self, log: LogId, start: i64, first_kept: i64) -> io::Result<()> {
        let log = self.logs.entry(log).or_default();
        log.start = start;
        let gone = log.position(first_kept);
        log.batches.drain(..gone);
        Ok(())
    }

    fn replace_below(&mut self, log: LogId, below: i64, batches: Vec<StoredBatch>) -> io::Result<()> {
        let log = self.logs.entry(log).or_default();
        let kept = log.batches.split_off(log.position(below));
        log.batches = batches.into();
        log.batches.extend(kept);
        Ok(())
    }

    fn remove(&mut self, log: LogId) -> io::Result<()> {
        self.logs.remove(&log);
        Ok(())
    }

    fn start(&self, log: LogId) -> i64 {
        self.logs.get(&log).map_or(0, |log| log.start)
    }
}
