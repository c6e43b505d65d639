//! The log of one partition: batches in order of offset, and what follows from them.
//!
//! 1. Batches are kept as they were sent; only base offset and leader epoch are filled in (and the time
//!    stamp, under `LogAppendTime`).
//! 2. There is one replica, so the high watermark is the end of the log.
//! 3. The last stable offset is the first offset of the oldest open transaction, or the high watermark.
//! 4. Index, producers and open transactions follow from the batches alone: recovery reads them
//!    back after a crash.

mod append;
mod compact;
mod producers;
mod read;
mod recover;
mod trim;
mod unstable;

use std::collections::VecDeque;

use bytes::Bytes;

pub use compact::CompactionReport;

pub(crate) use append::AppendRules;
pub(crate) use compact::CompactionRules;
pub(crate) use read::{FetchSpec, Fetched};
pub(crate) use trim::RetentionRules;

use crate::batch::BatchHeader;
use crate::error::ErrorCode;
use crate::storage::{LogId, Storage};
use producers::Producers;
use unstable::Transactions;

/// What the index knows about a batch without reading it.
#[derive(Clone, Copy, Debug)]
struct Entry {
    base_offset: i64,
    last_offset: i64,
    max_timestamp: i64,
    leader_epoch: i32,
    size: usize,
    control: bool,
}

impl Entry {
    fn of(header: &BatchHeader) -> Self {
        Self {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            max_timestamp: header.max_timestamp,
            leader_epoch: header.leader_epoch,
            size: header.size(),
            control: header.is_control(),
        }
    }
}

/// The log of one partition.
#[derive(Debug)]
pub(crate) struct PartitionLog {
    id: LogId,
    leader_epoch: i32,
    start: i64,
    end: i64,
    entries: VecDeque<Entry>,
    producers: Producers,
    transactions: Transactions,
}

impl PartitionLog {
    pub(crate) fn new(id: LogId) -> Self {
        Self {
            id,
            leader_epoch: 0,
            start: 0,
            end: 0,
            entries: VecDeque::new(),
            producers: Producers::default(),
            transactions: Transactions::default(),
        }
    }

    pub(crate) fn id(&self) -> LogId {
        self.id
    }

    pub(crate) fn leader_epoch(&self) -> i32 {
        self.leader_epoch
    }

    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    pub(crate) fn high_watermark(&self) -> i64 {
        self.end
    }

    pub(crate) fn last_stable_offset(&self) -> i64 {
        self.transactions.first_open().map_or(self.end, |first| first.max(self.start))
    }

    /// Bytes of all batches.
    pub(crate) fn size(&self) -> usize {
        self.entries.iter().map(|entry| entry.size).sum()
    }

    /// Producers with an open transaction and its first offset.
    pub(crate) fn open_transactions(&self) -> impl Iterator<Item = (i64, i64)> {
        self.transactions.open()
    }

    /// Refuses clients whose idea of the leader is older or newer than ours.
    pub(crate) fn check_leader_epoch(&self, known: Option<i32>) -> Result<(), ErrorCode> {
        match known {
            Some(epoch) if epoch >= 0 && epoch < self.leader_epoch => Err(ErrorCode::FencedLeaderEpoch),
            Some(epoch) if epoch > self.leader_epoch => Err(ErrorCode::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    /// Index of the first batch that ends at or after `offset`.
    fn position(&self, offset: i64) -> usize {
        self.entries.partition_point(|entry| entry.last_offset < offset)
    }

    fn read_batch(&self, storage: &dyn Storage, entry: &Entry) -> Result<Bytes, ErrorCode> {
        let range = entry.base_offset..entry.base_offset + 1;
        let found = storage.read(self.id, range, 0).map_err(|_| ErrorCode::KafkaStorageError)?;
        found.into_iter().next().ok_or(ErrorCode::KafkaStorageError)
    }

    /// All batches of the log.
    pub(crate) fn read_all(&self, storage: &dyn Storage) -> Result<Vec<Bytes>, ErrorCode> {
        storage.read(self.id, i64::MIN..i64::MAX, usize::MAX).map_err(|_| ErrorCode::KafkaStorageError)
    }

    /// Aborted transactions of the whole log: producer and first offset.
    pub(crate) fn aborted(&self) -> Vec<(i64, i64)> {
        self.transactions.aborted_between(self.start, self.end)
    }
}
