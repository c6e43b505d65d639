//! Compaction: of each key only the last record stays.
//!
//! 1. Only batches wholly below the last stable offset (and older than `min.compaction.lag.ms`) are touched.
//! 2. A record goes when a later committed record has its key. Records of aborted transactions always go.
//! 3. A tombstone that is the last record of its key stays for `delete.retention.ms`. The first pass that
//!    sees it writes the time when it may go into its batch, the *delete horizon* (KIP-534).
//! 4. A marker stays while its transaction has records in the log, and then until a delete horizon of its
//!    own.
//! 5. Offsets never change, and batches keep theirs. A batch stays without records when it is the last one
//!    that was touched (so that readers get past the gap, and the log's end is known after a crash), or when
//!    it is the last that says what a producer has written.
//! 6. Compressed batches cannot be looked into: they stay as they are (unless aborted as a whole).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;

use super::{Entry, PartitionLog};
use crate::batch::{
    Batch, BatchBuilder, BatchHeader, BatchOptions, CommittedFilter, Compression, Marker, Record,
};
use crate::error::ErrorCode;
use crate::storage::{Storage, StoredBatch};

/// What the topic's settings say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompactionRules {
    pub(crate) delete_retention_ms: i64,
    pub(crate) min_lag_ms: i64,
    pub(crate) now: i64,
}

/// What one compaction of one partition did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct CompactionReport {
    /// Records that were read, markers included.
    pub records_before: usize,
    /// Records that are left of them.
    pub records_after: usize,
    /// Bytes that were read.
    pub bytes_before: usize,
    /// Bytes that are left of them.
    pub bytes_after: usize,
}

/// One pass over the part of a log that may be cleaned.
struct Pass<'a> {
    rules: CompactionRules,
    /// Offset of the last committed record, by key.
    latest: HashMap<&'a [u8], i64>,
    /// Whether a transactional record was kept since the producer's last marker.
    data_left: BTreeMap<i64, bool>,
}

/// What becomes of a batch.
enum Fate {
    Keep,
    Rewrite(Vec<u8>),
    /// No record is left.
    Empty,
}

impl PartitionLog {
    /// Compacts the log.
    pub(crate) fn compact(
        &mut self,
        storage: &mut dyn Storage,
        rules: CompactionRules,
    ) -> Result<CompactionReport, ErrorCode> {
        let cleaned = self.cleanable(&rules);
        let Some(last) = cleaned.checked_sub(1).map(|last| self.entries[last]) else {
            return Ok(CompactionReport::default());
        };
        let below = last.base_offset + 1;
        let bytes =
            storage.read(self.id, i64::MIN..below, usize::MAX).map_err(|_| ErrorCode::KafkaStorageError)?;
        let kept = self.clean(&bytes, rules, last.base_offset)?;
        let report = report(&bytes, &kept);
        let headers: Vec<BatchHeader> = kept.iter().map(header_of).collect();
        let stored = kept.into_iter().zip(&headers);
        let stored = stored.map(|(bytes, header)| StoredBatch { base_offset: header.base_offset, bytes });
        storage.replace_below(self.id, below, stored.collect()).map_err(|_| ErrorCode::KafkaStorageError)?;
        let untouched = self.entries.split_off(cleaned);
        self.entries = headers.iter().map(Entry::of).chain(untouched).collect();
        let markers: BTreeSet<i64> = headers
            .iter()
            .filter(|header| header.is_control() && header.records_count > 0)
            .map(|header| header.base_offset)
            .collect();
        self.transactions.forget_aborted(|marker| marker < below && !markers.contains(&marker));
        Ok(report)
    }

    /// How many batches from the front may be touched.
    fn cleanable(&self, rules: &CompactionRules) -> usize {
        let stable = self.last_stable_offset();
        let old_enough = |entry: &&Entry| {
            rules.min_lag_ms == 0 || entry.max_timestamp.saturating_add(rules.min_lag_ms) <= rules.now
        };
        self.entries.iter().take_while(|entry| entry.last_offset < stable).take_while(old_enough).count()
    }

    fn clean(
        &self,
        bytes: &[Bytes],
        rules: CompactionRules,
        keep_last: i64,
    ) -> Result<Vec<Bytes>, ErrorCode> {
        let batches: Vec<Batch<'_>> = bytes
            .iter()
            .map(|bytes| Batch::parse(bytes).map_err(|_| ErrorCode::CorruptMessage))
            .collect::<Result<_, _>>()?;
        let mut pass = Pass { rules, latest: HashMap::new(), data_left: BTreeMap::new() };
        let mut filter = CommittedFilter::new(self.aborted());
        let committed: Vec<bool> = batches.iter().map(|batch| filter.admits(batch)).collect();
        for (batch, _) in batches.iter().zip(&committed).filter(|(_, committed)| **committed) {
            pass.learn_keys(batch)?;
        }
        let mut kept = Vec::with_capacity(bytes.len());
        for ((batch, committed), bytes) in batches.iter().zip(committed).zip(bytes) {
            let header = batch.header();
            match pass.decide(batch, committed)? {
                Fate::Keep => kept.push(bytes.clone()),
                Fate::Rewrite(rewritten) => kept.push(Bytes::from(rewritten)),
                Fate::Empty if header.base_offset == keep_last || self.producers.depends_on(header) => {
                    kept.push(Bytes::from(emptied(header)));
                }
                Fate::Empty => {}
            }
        }
        Ok(kept)
    }
}

impl<'a> Pass<'a> {
    fn learn_keys(&mut self, batch: &Batch<'a>) -> Result<(), ErrorCode> {
        if batch.header().compression() != Compression::None {
            return Ok(());
        }
        for record in batch.records() {
            let record = record.map_err(|_| ErrorCode::CorruptMessage)?;
            if let Some(key) = record.key {
                self.latest.insert(key, record.offset);
            }
        }
        Ok(())
    }

    fn decide(&mut self, batch: &Batch<'_>, committed: bool) -> Result<Fate, ErrorCode> {
        let header = batch.header();
        if header.is_control() {
            return Ok(self.decide_marker(batch));
        }
        let fate = if !committed {
            Fate::Empty
        } else if header.compression() != Compression::None {
            Fate::Keep
        } else {
            self.thin_out(batch)?
        };
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
            Some(horizon) if self.rules.now >= horizon => Fate::Empty,
            Some(_) => Fate::Keep,
            None => {
                let mut builder = BatchBuilder::with_capacity(header.size());
                builder.set_delete_horizon(self.rules.now.saturating_add(self.rules.delete_retention_ms));
                builder.push(&record);
                Fate::Rewrite(builder.finish(&options_of(header)))
            }
        }
    }

    fn thin_out(&self, batch: &Batch<'_>) -> Result<Fate, ErrorCode> {
        let header = batch.header();
        let horizon = header.delete_horizon();
        let tombstones_go = horizon.is_some_and(|horizon| self.rules.now >= horizon);
        let mut kept: Vec<Record<'_>> = Vec::new();
        let mut tombstones = false;
        for record in batch.records() {
            let record = record.map_err(|_| ErrorCode::CorruptMessage)?;
            let is_latest = record.key.is_some_and(|key| self.latest.get(key) == Some(&record.offset));
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
            let retention = self.rules.delete_retention_ms;
            builder.set_delete_horizon(horizon.unwrap_or(self.rules.now.saturating_add(retention)));
        }
        for record in &kept {
            let delta =
                i32::try_from(record.offset - header.base_offset).map_err(|_| ErrorCode::CorruptMessage)?;
            builder.push_at(delta, record);
        }
        builder.keep_extent(header.last_offset_delta, header.max_timestamp);
        Ok(Fate::Rewrite(builder.finish(&options_of(header))))
    }
}

/// The header of a batch whose records are all gone.
fn emptied(header: &BatchHeader) -> Vec<u8> {
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

fn header_of(bytes: &Bytes) -> BatchHeader {
    BatchHeader::parse(bytes).expect("batches in storage and batches built here parse")
}

fn report(before: &[Bytes], after: &[Bytes]) -> CompactionReport {
    let records = |batches: &[Bytes]| {
        batches.iter().map(|bytes| usize::try_from(header_of(bytes).records_count).unwrap_or(0)).sum()
    };
    let bytes = |batches: &[Bytes]| batches.iter().map(Bytes::len).sum();
    CompactionReport {
        records_before: records(before),
        records_after: records(after),
        bytes_before: bytes(before),
        bytes_after: bytes(after),
    }
}
