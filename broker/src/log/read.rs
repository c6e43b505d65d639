//! Reading: fetches, and offsets by what one knows about them.

use bytes::Bytes;

use super::PartitionLog;
use crate::api::{AbortedTransaction, Isolation, OffsetSpec};
use crate::batch::{Batch, BatchHeader, Compression};
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
        if spec.offset < self.start || spec.offset > self.end {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        let end = self.end_for(spec.isolation);
        let first = match self.entries.get(self.position(spec.offset)) {
            Some(entry) if entry.base_offset < end => entry.base_offset,
            _ => return Ok(Fetched::default()),
        };
        let batches =
            storage.read(self.id, first..end, spec.max_bytes).map_err(|_| ErrorCode::KafkaStorageError)?;
        let aborted = match (spec.isolation, batches.last()) {
            (Isolation::ReadCommitted, Some(last)) => self.aborted_up_to(first, last),
            _ => Vec::new(),
        };
        Ok(Fetched { batches, aborted })
    }

    fn aborted_up_to(&self, first: i64, last: &Bytes) -> Vec<AbortedTransaction> {
        let header = BatchHeader::parse(last).expect("stored batches parse");
        let found = self.transactions.aborted_between(first, header.last_offset());
        let name = |(producer_id, first_offset)| AbortedTransaction { producer_id, first_offset };
        found.into_iter().map(name).collect()
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
                let end = self.end_for(isolation);
                let data = self.entries.iter().filter(|entry| !entry.control && entry.last_offset < end);
                match data.map(|entry| entry.max_timestamp).max() {
                    Some(largest) => self.find_timestamp(storage, largest, isolation),
                    None => Ok(None),
                }
            }
        }
    }

    /// The first record at or after a time. Markers are no records; the records of a compressed batch cannot
    /// be read, so the batch's start stands for them.
    fn find_timestamp(
        &self,
        storage: &dyn Storage,
        wanted: i64,
        isolation: Isolation,
    ) -> Result<Option<(i64, i64, i32)>, ErrorCode> {
        let end = self.end_for(isolation);
        let below_end = self.entries.iter().take_while(|entry| entry.base_offset < end);
        for entry in below_end.filter(|entry| !entry.control && entry.max_timestamp >= wanted) {
            let bytes = self.read_batch(storage, entry)?;
            let batch = Batch::parse(&bytes).map_err(|_| ErrorCode::CorruptMessage)?;
            if batch.header().compression() != Compression::None {
                let offset = entry.base_offset.max(self.start);
                return Ok(Some((offset, entry.max_timestamp, entry.leader_epoch)));
            }
            for record in batch.records() {
                let record = record.map_err(|_| ErrorCode::CorruptMessage)?;
                if record.timestamp >= wanted && record.offset >= self.start {
                    return Ok(Some((record.offset, record.timestamp, entry.leader_epoch)));
                }
            }
        }
        Ok(None)
    }

    fn epoch_at(&self, offset: i64) -> i32 {
        self.entries.get(self.position(offset)).map_or(self.leader_epoch, |entry| entry.leader_epoch)
    }

    /// The largest epoch up to `wanted`, and where it ended.
    pub(crate) fn epoch_end(&self, wanted: i32) -> Option<(i32, i64)> {
        if wanted == self.leader_epoch {
            return Some((self.leader_epoch, self.end));
        }
        let after = self.entries.partition_point(|entry| entry.leader_epoch <= wanted);
        let last = self.entries.get(after.checked_sub(1)?)?;
        let end = self.entries.get(after).map_or(self.end, |next| next.base_offset);
        Some((last.leader_epoch, end))
    }
}
