//! The log of one partition: batches in order of offset, and what follows from them.
//!
//! 1. Batches are kept as they were sent; only base offset and leader epoch are filled in (and the time
//!    stamp, under `LogAppendTime`).
//! 2. There is one replica, so the high watermark is the end of the log.
//! 3. The last stable offset is the first offset of the oldest open transaction, or the high watermark.
//! 4. Producers, open transactions and leader epochs follow from the batches alone: they are read back from
//!    them after a crash, from the last snapshot on. Where batches lie is storage's to know.

mod append;
mod compact;
mod epochs;
mod producers;
mod read;
mod recover;
mod snapshot;
mod trim;
mod unstable;

use std::io;

pub use compact::CompactionReport;
pub use producers::ProducerView;

pub(crate) use append::{AppendRules, Rejection};
pub(crate) use compact::{CompactionRules, Progress};
pub(crate) use read::{FetchSpec, Fetched};
pub(crate) use trim::RetentionRules;

use crate::batch::Marker;
use crate::error::ErrorCode;
use crate::storage::LogId;
use epochs::Epochs;
use producers::Producers;
use unstable::Transactions;

/// The log of one partition.
#[derive(Debug)]
pub(crate) struct PartitionLog {
    id: LogId,
    leader_epoch: i32,
    start: i64,
    end: i64,
    epochs: Epochs,
    producers: Producers,
    transactions: Transactions,
    /// Up to where it was compacted.
    cleaned: i64,
    compaction: Option<compact::Job>,
}

impl PartitionLog {
    /// An empty log, as long as storage has not opened it.
    fn new(id: LogId) -> Self {
        Self {
            id,
            leader_epoch: 0,
            start: 0,
            end: 0,
            epochs: Epochs::default(),
            producers: Producers::default(),
            transactions: Transactions::default(),
            cleaned: 0,
            compaction: None,
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

    /// Producers with an open transaction and its first offset.
    pub(crate) fn open_transactions(&self) -> impl Iterator<Item = (i64, i64)> {
        self.transactions.open()
    }

    /// The producers that the partition remembers.
    pub(crate) fn producers(&self) -> impl Iterator<Item = ProducerView> {
        let open = |id| self.transactions.open().find(|(open, _)| *open == id).map(|(_, first)| first);
        self.producers
            .views()
            .map(move |view| ProducerView { transaction_start: open(view.producer.id), ..view })
    }

    /// Whether this marker, or one like it, stands here already and nothing is open.
    pub(crate) fn has_marker(&self, marker: &Marker) -> bool {
        let id = marker.producer_id;
        !self.transactions.is_open(id) && self.producers.has_ended(id, marker.producer_epoch)
    }

    /// Refuses clients whose idea of the leader is older or newer than ours.
    pub(crate) fn check_leader_epoch(&self, known: Option<i32>) -> Result<(), ErrorCode> {
        match known {
            Some(epoch) if epoch >= 0 && epoch < self.leader_epoch => Err(ErrorCode::FencedLeaderEpoch),
            Some(epoch) if epoch > self.leader_epoch => Err(ErrorCode::UnknownLeaderEpoch),
            _ => Ok(()),
        }
    }

    /// Aborted transactions of the whole log: producer and first offset.
    pub(crate) fn aborted(&self) -> Vec<(i64, i64)> {
        self.transactions.aborted_between(self.start, self.end)
    }
}

/// What a client hears when storage fails.
fn storage_code(error: &io::Error) -> ErrorCode {
    match error.kind() {
        io::ErrorKind::InvalidData => ErrorCode::CorruptMessage,
        _ => ErrorCode::KafkaStorageError,
    }
}
