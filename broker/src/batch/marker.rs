//! Markers: control batches by which the broker says in the log that a transaction was committed or aborted.
//!
//! A marker takes an offset like any record but is never handed to readers.

use super::encode::{BatchBuilder, BatchOptions};
use super::header::Batch;
use super::record::Record;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MarkerKind {
    /// Its records are thrown away by readers.
    Abort,
    /// Its records count.
    Commit,
}

/// A marker and what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    /// How the transaction ended.
    pub kind: MarkerKind,
    /// Whose transaction.
    pub producer_id: i64,
    /// The producer's epoch; after a fencing it is the new one.
    pub producer_epoch: i16,
    /// Epoch of the coordinator that decided.
    pub coordinator_epoch: i32,
    /// When the marker was written.
    pub timestamp: i64,
}

impl Marker {
    /// The control batch, to be placed by the log.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let kind: u8 = match self.kind {
            MarkerKind::Abort => 0,
            MarkerKind::Commit => 1,
        };
        // Key: version and kind; value: version and coordinator epoch.
        let key = [0, 0, 0, kind];
        let mut value = [0; 6];
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        let options = BatchOptions {
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            transactional: true,
            control: true,
            ..BatchOptions::default()
        };
        let mut builder = BatchBuilder::with_capacity(96);
        builder.push(&Record::new(self.timestamp, Some(&key), Some(&value)));
        builder.finish(&options)
    }

    /// What a batch says if it is a marker of a transaction; `None` for data, for other control batches and
    /// for what compaction left of a marker.
    #[must_use]
    pub fn decode(batch: &Batch<'_>) -> Option<Self> {
        let header = batch.header();
        if !header.is_control() {
            return None;
        }
        let record = batch.records().next()?.ok()?;
        let kind = match *record.key?.get(2..4)? {
            [0, 0] => MarkerKind::Abort,
            [0, 1] => MarkerKind::Commit,
            _ => return None,
        };
        let epoch = record.value?.get(2..6)?;
        Some(Self {
            kind,
            producer_id: header.producer_id,
            producer_epoch: header.producer_epoch,
            coordinator_epoch: i32::from_be_bytes(epoch.try_into().ok()?),
            timestamp: record.timestamp,
        })
    }
}
