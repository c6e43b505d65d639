//! Appending: a client's batch is checked, placed and kept; a marker is written by the broker itself.

use std::ops::RangeInclusive;

use bytes::{Bytes, BytesMut};

use super::producers::Sequence;
use super::{PartitionLog, storage_code};
use crate::api::BadRecord;
use crate::batch::{self, Batch, BatchError, BatchHeader, Compression, Marker, NO_TIMESTAMP, TimestampType};
use crate::error::ErrorCode;
use crate::storage::{KeepRules, Storage, StoredBatch};

/// What a batch has to obey, from the topic's settings and the transaction coordinator.
#[derive(Clone, Debug)]
pub(crate) struct AppendRules {
    pub(crate) max_bytes: usize,
    pub(crate) timestamp_type: TimestampType,
    /// Compacted topics take no records without a key.
    pub(crate) keys_required: bool,
    /// Whether the partition belongs to the producer's ongoing transaction. Asked of transactional batches
    /// only.
    pub(crate) in_transaction: Result<(), ErrorCode>,
    /// Oldest and latest time that a record may have; of the producer's time stamps only.
    pub(crate) times: RangeInclusive<i64>,
    pub(crate) keep: KeepRules,
}

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Appended {
    pub(crate) base_offset: i64,
    /// It was there already, so nothing was appended.
    pub(crate) duplicate: bool,
}

/// Why a batch was not appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rejection {
    pub(crate) error: ErrorCode,
    /// Those for whose sake, in order; none if it is not for single records.
    pub(crate) records: Vec<BadRecord>,
}

impl From<ErrorCode> for Rejection {
    fn from(error: ErrorCode) -> Self {
        Self { error, records: Vec::new() }
    }
}

/// How many of a batch's bad records are told at most, so that an answer stays small.
const BAD_RECORDS_TOLD: usize = 10_000;

impl PartitionLog {
    /// Appends a client's batch.
    pub(crate) fn append(
        &mut self,
        storage: &mut dyn Storage,
        bytes: Bytes,
        rules: &AppendRules,
    ) -> Result<Appended, Rejection> {
        let (header, newest) = check_batch(&bytes, rules)?;
        if header.has_producer() {
            match self.producers.check(&header)? {
                Sequence::Next => {}
                Sequence::Duplicate(base_offset) => return Ok(Appended { base_offset, duplicate: true }),
            }
            if header.is_transactional() {
                rules.in_transaction?;
            } else if self.transactions.is_open(header.producer_id) {
                return Err(ErrorCode::InvalidTxnState.into());
            }
        }
        // Copies only when somebody else still holds the bytes.
        let mut placed = bytes.try_into_mut().unwrap_or_else(|shared| BytesMut::from(shared.as_ref()));
        match rules.timestamp_type {
            TimestampType::LogAppendTime => batch::restamp_append_time(&mut placed, rules.keep.now),
            topics if header.timestamp_type() != topics || header.max_timestamp != newest => {
                batch::restamp_create_time(&mut placed, newest);
            }
            TimestampType::CreateTime => {}
        }
        let base_offset = self.end;
        self.keep(storage, placed, &rules.keep)?;
        self.producers.touch(header.producer_id, rules.keep.now);
        Ok(Appended { base_offset, duplicate: false })
    }

    /// Appends a marker; it takes one offset and ends the producer's transaction in this partition.
    pub(crate) fn append_marker(
        &mut self,
        storage: &mut dyn Storage,
        marker: &Marker,
        rules: &KeepRules,
    ) -> Result<(), ErrorCode> {
        self.keep(storage, BytesMut::from(marker.encode().as_slice()), rules)
    }

    fn keep(
        &mut self,
        storage: &mut dyn Storage,
        mut placed: BytesMut,
        rules: &KeepRules,
    ) -> Result<(), ErrorCode> {
        batch::set_placement(&mut placed, self.end, self.leader_epoch);
        let bytes = placed.freeze();
        let header = BatchHeader::parse(&bytes).expect("a batch that was checked or built here parses");
        if !header.has_offsets() {
            // Nobody writes so much; but the name of a file may say so.
            return Err(ErrorCode::KafkaStorageError);
        }
        let stored = StoredBatch { header, bytes: bytes.clone() };
        let new_segment = storage.append(self.id, stored, rules).map_err(|error| storage_code(&error))?;
        if new_segment {
            // Without it a restart has more to read, and that is all.
            let _ = storage.save_snapshot(self.id, self.end, &self.snapshot());
        }
        self.note(&header, &bytes);
        self.note_producer(&header);
        Ok(())
    }

    /// Takes a batch at the end of the log into epochs and transactions. The bytes are looked at if it is a control
    /// batch.
    pub(super) fn note(&mut self, header: &BatchHeader, bytes: &[u8]) {
        self.epochs.note(header.leader_epoch, header.base_offset);
        self.end = header.next_offset();
        if !header.has_producer() {
            return;
        }
        if header.is_control() {
            if let Some(marker) = Batch::parse(bytes).ok().and_then(|batch| Marker::decode(&batch)) {
                self.transactions.end(header.producer_id, marker.kind, header.base_offset);
            }
            return;
        }
        // What compaction emptied was decided long ago and must not open a transaction again.
        if header.is_transactional() && header.records_count > 0 {
            self.transactions.begin(header.producer_id, header.base_offset);
        }
    }

    /// Takes a batch at the end of the log into producers.
    pub(super) fn note_producer(&mut self, header: &BatchHeader) {
        match (header.has_producer(), header.is_control()) {
            (false, _) => {}
            (true, true) => self.producers.note_marker(header),
            (true, false) => self.producers.note_data(header),
        }
    }
}

/// What every batch of a client has to be, whoever sent it. Says its newest time stamp, too.
fn check_batch(bytes: &[u8], rules: &AppendRules) -> Result<(BatchHeader, i64), Rejection> {
    let batch = Batch::parse(bytes).map_err(code_of)?;
    let header = *batch.header();
    if header.size() != bytes.len() {
        return Err(ErrorCode::InvalidRecord.into());
    }
    if header.size() > rules.max_bytes {
        return Err(ErrorCode::MessageTooLarge.into());
    }
    batch.verify().map_err(code_of)?;
    let counts_agree = header.records_count > 0 && header.last_offset_delta == header.records_count - 1;
    let producer_fits = header.has_producer() || !header.is_transactional();
    let sequence_fits = !header.has_producer() || header.base_sequence >= 0 && header.producer_epoch >= 0;
    let codec_known = header.compression() != Compression::Unknown;
    if header.is_control() || !counts_agree || !producer_fits || !sequence_fits || !codec_known {
        return Err(ErrorCode::InvalidRecord.into());
    }
    let newest = check_records(&batch, rules)?;
    Ok((header, newest))
}

/// Walks over all records, as Kafka does: what cannot be read is refused, or its readers would stop at it for ever.
/// Those of a batch that is compressed with a codec that this build lacks are taken as they are. Says the newest time
/// stamp.
fn check_records(batch: &Batch<'_>, rules: &AppendRules) -> Result<i64, Rejection> {
    let header = batch.header();
    let by_broker = rules.timestamp_type == TimestampType::LogAppendTime;
    if by_broker && header.timestamp_type() == TimestampType::LogAppendTime {
        // It is not for producers to say.
        return Err(ErrorCode::InvalidTimestamp.into());
    }
    let time_fits = |time: i64| by_broker || time == NO_TIMESTAMP || rules.times.contains(&time);
    let mut room = Vec::new();
    let mut records = match batch.open(&mut room) {
        Ok(records) => records,
        Err(BatchError::Compressed) if !time_fits(header.max_timestamp) => {
            return Err(ErrorCode::InvalidTimestamp.into());
        }
        Err(BatchError::Compressed) => return Ok(header.max_timestamp),
        Err(error) => return Err(code_of(error).into()),
    };
    let mut newest = NO_TIMESTAMP;
    let mut bad = Vec::new();
    for (place, record) in (0..).zip(&mut records) {
        let record = record.map_err(code_of)?;
        if record.offset.wrapping_sub(header.base_offset) != i64::from(place) {
            return Err(ErrorCode::InvalidRecord.into());
        }
        newest = newest.max(record.timestamp);
        let error = match () {
            () if rules.keys_required && record.key.is_none() => ErrorCode::InvalidRecord,
            () if !time_fits(record.timestamp) => ErrorCode::InvalidTimestamp,
            () => continue,
        };
        if bad.len() < BAD_RECORDS_TOLD {
            bad.push(BadRecord { place, error });
        }
    }
    if records.left_over() > 0 {
        return Err(ErrorCode::InvalidRecord.into());
    }
    let is_late = |bad: &BadRecord| bad.error == ErrorCode::InvalidTimestamp;
    let error = if bad.iter().any(is_late) { ErrorCode::InvalidTimestamp } else { ErrorCode::InvalidRecord };
    if bad.is_empty() { Ok(newest) } else { Err(Rejection { error, records: bad }) }
}

fn code_of(error: BatchError) -> ErrorCode {
    match error {
        BatchError::WrongMagic(_) => ErrorCode::UnsupportedForMessageFormat,
        BatchError::MalformedRecord => ErrorCode::InvalidRecord,
        // Producers that can split a batch do so then.
        BatchError::TooLarge => ErrorCode::MessageTooLarge,
        _ => ErrorCode::CorruptMessage,
    }
}
