//! What becomes of a batch when its log is compacted.

use std::collections::BTreeMap;

use super::keys::Keys;
use crate::batch::{Batch, BatchBuilder, BatchError, BatchHeader, BatchOptions, Marker, Record, codec};
use crate::error::ErrorCode;

/// What becomes of a batch.
pub(super) enum Fate {
    Keep,
    Rewrite(Vec<u8>),
    /// No record is left.
    Empty,
}

/// Decides on batches, in order from the start of the log.
#[derive(Debug)]
pub(super) struct Judge {
    delete_retention_ms: i64,
    now: i64,
    keys: Keys,
    /// Whether a transactional record was kept since the producer's last marker.
    data_left: BTreeMap<i64, bool>,
}

impl Judge {
    pub(super) fn new(delete_retention_ms: i64, now: i64) -> Self {
        Self { delete_retention_ms, now, keys: Keys::default(), data_left: BTreeMap::new() }
    }

    /// Whether no more keys can be learned.
    pub(super) fn is_full(&self) -> bool {
        self.keys.is_full()
    }

    /// Takes the keys of a committed batch.
    pub(super) fn learn(&mut self, batch: &Batch<'_>) -> Result<(), ErrorCode> {
        let mut room = Vec::new();
        let records = match batch.open(&mut room) {
            Ok(records) => records,
            Err(BatchError::Compressed) => return Ok(()),
            Err(_) => return Err(ErrorCode::CorruptMessage),
        };
        for record in records {
            let record = record.map_err(|_| ErrorCode::CorruptMessage)?;
            if let Some(key) = record.key {
                self.keys.learn(key, record.offset);
            }
        }
        Ok(())
    }

    /// Decides on a batch; to be asked for each, in order.
    pub(super) fn decide(&mut self, batch: &Batch<'_>, committed: bool) -> Result<Fate, ErrorCode> {
        let header = batch.header();
        if header.is_control() {
            return Ok(self.decide_marker(batch));
        }
        let fate = if !committed { Fate::Empty } else { self.thin_out(batch)? };
        if header.is_transactional() && !matches!(fate, Fate::Empty) {
            self.data_left.insert(header.producer_id, true);
        }
        Ok(fate)
    }

    fn decide_marker(&mut self, batch: &Batch<'_>) -> Fate {
        let header = batch.header();
        let Some(Ok(record)) = batch.records().next() else { return Fate::Empty };
        let is_transaction_end = Marker::decode(batch).is_some();
        if !is_transaction_end || self.data_left.remove(&header.producer_id).unwrap_or(false) {
            return Fate::Keep;
        }
        match header.delete_horizon() {
            Some(horizon) if self.now >= horizon => Fate::Empty,
            Some(_) => Fate::Keep,
            None => {
                let mut builder = BatchBuilder::with_capacity(header.size());
                builder.set_delete_horizon(self.now.saturating_add(self.delete_retention_ms));
                builder.push(&record);
                Fate::Rewrite(builder.finish(&options_of(header)))
            }
        }
    }

    fn thin_out(&self, batch: &Batch<'_>) -> Result<Fate, ErrorCode> {
        let header = batch.header();
        let horizon = header.delete_horizon();
        let tombstones_go = horizon.is_some_and(|horizon| self.now >= horizon);
        let mut room = Vec::new();
        let records = match batch.open(&mut room) {
            Ok(records) => records,
            Err(BatchError::Compressed) => return Ok(Fate::Keep),
            Err(_) => return Err(ErrorCode::CorruptMessage),
        };
        let mut kept: Vec<Record<'_>> = Vec::new();
        let mut tombstones = false;
        for record in records {
            let record = record.map_err(|_| ErrorCode::CorruptMessage)?;
            let is_latest = record.key.is_some_and(|key| !self.keys.is_outdated(key, record.offset));
            if is_latest && !(record.value.is_none() && tombstones_go) {
                tombstones |= record.value.is_none();
                kept.push(record);
            }
        }
        if kept.is_empty() {
            return Ok(Fate::Empty);
        }
        let needs_horizon = tombstones && horizon.is_none();
        if kept.len() == usize::try_from(header.records_count).unwrap_or(0) && !needs_horizon {
            return Ok(Fate::Keep);
        }
        let mut builder = BatchBuilder::with_capacity(header.size());
        if tombstones {
            builder.set_delete_horizon(horizon.unwrap_or(self.now.saturating_add(self.delete_retention_ms)));
        }
        for record in &kept {
            let delta =
                i32::try_from(record.offset - header.base_offset).map_err(|_| ErrorCode::CorruptMessage)?;
            builder.push_at(delta, record);
        }
        builder.keep_extent(header.last_offset_delta, header.max_timestamp);
        let rewritten = builder.finish(&options_of(header));
        let packed = codec::pack_batch(rewritten, header.compression());
        packed.map(Fate::Rewrite).map_err(|_| ErrorCode::CorruptMessage)
    }
}

/// The header of a batch whose records are all gone.
pub(super) fn emptied(header: &BatchHeader) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.keep_extent(header.last_offset_delta, header.max_timestamp);
    builder.finish(&options_of(header))
}

fn options_of(header: &BatchHeader) -> BatchOptions {
    BatchOptions {
        base_offset: header.base_offset,
        leader_epoch: header.leader_epoch,
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
        base_sequence: header.base_sequence,
        transactional: header.is_transactional(),
        control: header.is_control(),
        timestamp_type: header.timestamp_type(),
    }
}
