//! Trimming: moving the log's start forward, on request (`DeleteRecords`) or by age and size (retention).

use super::{PartitionLog, storage_code};
use crate::error::ErrorCode;
use crate::storage::{Storage, Unit};

/// What the topic's `retention.*` settings say; `None` is no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetentionRules {
    pub(crate) max_age_ms: Option<i64>,
    pub(crate) max_bytes: Option<u64>,
    pub(crate) now: i64,
    /// Whether age counts from the newest record, where that is older than now.
    pub(crate) by_newest: bool,
}

/// The time stamp of records that have none.
const NO_TIME: i64 = -1;

impl PartitionLog {
    /// Removes everything below `before` (-1: below the high watermark) and returns the new start.
    pub(crate) fn delete_records(
        &mut self,
        storage: &mut dyn Storage,
        before: i64,
    ) -> Result<i64, ErrorCode> {
        let before = if before == -1 { self.end } else { before };
        if before < 0 || before > self.end {
            return Err(ErrorCode::OffsetOutOfRange);
        }
        if before > self.start {
            self.move_start(storage, before)?;
        }
        Ok(self.start)
    }

    /// Removes the oldest units of storage while they are too old or the log is too large; whole units, and
    /// never beyond the last stable offset. Returns whether the start moved.
    pub(crate) fn retain(
        &mut self,
        storage: &mut dyn Storage,
        rules: &RetentionRules,
    ) -> Result<bool, ErrorCode> {
        if rules.max_age_ms.is_none() && rules.max_bytes.is_none() {
            return Ok(false);
        }
        let stable = self.last_stable_offset();
        let newest = match rules.by_newest {
            true => storage.newest_time(self.id, self.end).map_err(|error| storage_code(&error))?,
            false => None,
        };
        let now = newest.map_or(rules.now, |newest| newest.min(rules.now));
        let mut size = storage.size(self.id);
        let mut start = self.start;
        let mut visit = |unit: &Unit| {
            // A marker has the time of the clock; it goes with what stands before it.
            let too_old = (rules.by_newest && unit.control && rules.max_age_ms.is_some())
                || rules.max_age_ms.is_some_and(|age| unit.newest_ms.saturating_add(age) < now);
            // How old records are that have no time nobody knows.
            let too_old = too_old && unit.newest_ms != NO_TIME;
            // Kafka keeps a segment when the rest alone would be smaller than the limit.
            let too_large = rules.max_bytes.is_some_and(|limit| size - unit.bytes >= limit);
            let goes = unit.end_offset <= stable && (too_old || too_large);
            if goes {
                size -= unit.bytes;
                start = unit.end_offset;
            }
            goes
        };
        storage.units(self.id, &mut visit).map_err(|error| storage_code(&error))?;
        if start <= self.start {
            return Ok(false);
        }
        self.move_start(storage, start)?;
        Ok(true)
    }

    /// Forgets producers that have not written for long and have no transaction open.
    pub(crate) fn expire_producers(&mut self, now: i64, expiration_ms: i64) {
        self.producers.expire(now, expiration_ms, |id| self.transactions.is_open(id));
    }

    fn move_start(&mut self, storage: &mut dyn Storage, start: i64) -> Result<(), ErrorCode> {
        // What is being compacted may be gone by then.
        self.abort_compaction(storage);
        if start >= self.end {
            // All batches go, also those behind the last snapshot: a start from that one would know producers as
            // they were before, and refuse what they send next.
            storage
                .save_snapshot(self.id, self.end, &self.snapshot())
                .map_err(|error| storage_code(&error))?;
        }
        storage.truncate_front(self.id, start).map_err(|error| storage_code(&error))?;
        self.start = start;
        self.transactions.forget_aborted(|marker_offset| marker_offset < start);
        self.epochs.forget_below(start, self.end);
        Ok(())
    }
}
