//! Reading: fetches, and offsets by what one knows about them.

use bytes::Bytes;

use super::{PartitionLog, storage_code};
use crate::api::{AbortedTransaction, Isolation, OffsetSpec};
use crate::batch::{Batch, BatchError, BatchHeader};
use crate::error::ErrorCode;
use crate::storage::Storage;

/// What to fetch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchSpec {
    pub(crate) offset: i64,
    pub(crate) max_bytes: usize,
    pub(crate) isolation: Isolation,
}

/// What was fetched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fetched {
    pub(crate) batches: Vec<Bytes>,
    pub(crate) aborted: Vec<AbortedTransaction>,
}

impl PartitionLog {
    /// Where the log ends for readers of this isolation.
    pub(crate) fn end_for(&self, isolation: Isolation) -> i64 {
        match isolation {
            Isolation::ReadUncommitted => self.high_watermark(),
            Isolation::ReadCommitted => self.last_stable_offset(),
        }
    }

    /// Reads whole batches from the one that contains the offset on; the first comes whatever its size.
    pub(crate) fn fetch(&self, storage: &dyn Storage, spec: &FetchSpec) -> Result<Fetched, ErrorCode> {
        self.check_offset(spec.offset)?;
        let end = self.end_for(spec.isolation);
        // Who has read everything asks again and again: that costs nothing.
        if spec.offset >= end {
            return Ok(Fetched::default());
        }
        let batches = storage.read(self.id, spec.offset..end, spec.max_bytes);
        let batches = batches.map_err(|error| storage_code(&error))?;
        let aborted = match (spec.isolation, batches.first(), batches.last()) {
            (Isolation::ReadCommitted, Some(first), Some(last)) => self.aborted_within(first, last),
            _ => Vec::new(),
        };
        Ok(Fetched { batches, aborted })
    }

    /// Whether readers may be at an offset.
    pub(crate) fn check_offset(&self, offset: i64) -> Result<(), ErrorCode> {
        match (self.start..=self.end).contains(&offset) {
            true => Ok(()),
            false => Err(ErrorCode::OffsetOutOfRange),
        }
    }

    fn aborted_within(&self, first: &Bytes, last: &Bytes) -> Vec<AbortedTransaction> {
        let header = |bytes| BatchHeader::parse(bytes).expect("stored batches parse");
        let (first, last) = (header(first).base_offset, header(last).last_offset());
        let found = self.transactions.aborted_between(first, last);
        let name = |(producer_id, first_offset)| AbortedTransaction { producer_id, first_offset };
        found.into_iter().map(name).collect()
    }

    /// All batches of the log.
    pub(crate) fn read_all(&self, storage: &dyn Storage) -> Result<Vec<Bytes>, ErrorCode> {
        let mut all: Vec<Bytes> = Vec::new();
        let mut next = self.start;
        while next < self.end {
            let batches = storage.read(self.id, next..self.end, usize::MAX);
            let batches = batches.map_err(|error| storage_code(&error))?;
            let Some(last) = batches.last() else { break };
            next = BatchHeader::parse(last).expect("stored batches parse").next_offset();
            all.extend(batches);
        }
        Ok(all)
    }

    /// Offset, time stamp (-1 unless searched for) and leader epoch; `None` when no record qualifies.
    pub(crate) fn find_offset(
        &self,
        storage: &dyn Storage,
        spec: OffsetSpec,
        isolation: Isolation,
    ) -> Result<Option<(i64, i64, i32)>, ErrorCode> {
        match spec {
            OffsetSpec::Earliest => Ok(Some((self.start, -1, self.epoch_at(self.start)))),
            OffsetSpec::Latest => Ok(Some((self.end_for(isolation), -1, self.leader_epoch))),
            OffsetSpec::Timestamp(wanted) => self.find_timestamp(storage, wanted, isolation),
            OffsetSpec::MaxTimestamp => {
                let newest = storage.newest_time(self.id, self.end_for(isolation));
                match newest.map_err(|error| storage_code(&error))? {
                    Some(largest) => self.find_timestamp(storage, largest, isolation),
                    None => Ok(None),
                }
            }
        }
    }

    /// The first record at or after a time. Markers are no records. The records of a batch that is compressed
    /// with a codec that this build lacks cannot be read, so the batch's start stands for them.
    fn find_timestamp(
        &self,
        storage: &dyn Storage,
        wanted: i64,
        isolation: Isolation,
    ) -> Result<Option<(i64, i64, i32)>, ErrorCode> {
        let end = self.end_for(isolation);
        let mut from = self.start;
        while from < end {
            let found = storage.find_time(self.id, from..end, wanted);
            let Some(bytes) = found.map_err(|error| storage_code(&error))? else { return Ok(None) };
            let batch = Batch::parse(&bytes).map_err(|_| ErrorCode::CorruptMessage)?;
            let header = batch.header();
            let mut room = Vec::new();
            let records = match batch.open(&mut room) {
                Ok(records) => records,
                Err(BatchError::Compressed) => {
                    let offset = header.base_offset.max(self.start);
                    return Ok(Some((offset, header.max_timestamp, header.leader_epoch)));
                }
                Err(_) => return Err(ErrorCode::CorruptMessage),
            };
            for record in records {
                let record = record.map_err(|_| ErrorCode::CorruptMessage)?;
                if record.timestamp >= wanted && record.offset >= self.start {
                    return Ok(Some((record.offset, record.timestamp, header.leader_epoch)));
                }
            }
            from = header.next_offset();
        }
        Ok(None)
    }

    fn epoch_at(&self, offset: i64) -> i32 {
        let known = if offset < self.end { self.epochs.at(offset) } else { None };
        known.unwrap_or(self.leader_epoch)
    }

    /// The largest epoch up to `wanted`, and where it ended.
    pub(crate) fn epoch_end(&self, wanted: i32) -> Option<(i32, i64)> {
        if wanted == self.leader_epoch {
            return Some((self.leader_epoch, self.end));
        }
        self.epochs.end_of(wanted, self.end)
    }
}
