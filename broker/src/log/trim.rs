//! Trimming: moving the log's start forward, on request (`DeleteRecords`) or by age and size (retention).

use super::PartitionLog;
use crate::error::ErrorCode;
use crate::storage::Storage;

/// What the topic's `retention.*` settings say; `None` is no limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetentionRules {
    pub(crate) max_age_ms: Option<i64>,
    pub(crate) max_bytes: Option<usize>,
    pub(crate) now: i64,
    /// Whether age counts from the newest record, where that is older than now.
    pub(crate) by_newest: bool,
}

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

    /// Removes the oldest batches while they are too old or the log is too large; whole batches, and never
    /// beyond the last stable offset. Returns whether the start moved.
    pub(crate) fn retain(
        &mut self,
        storage: &mut dyn Storage,
        rules: &RetentionRules,
    ) -> Result<bool, ErrorCode> {
        let stable = self.last_stable_offset();
        let data = self.entries.iter().filter(|entry| rules.by_newest && !entry.control);
        let now =
            data.map(|entry| entry.max_timestamp).max().map_or(rules.now, |newest| newest.min(rules.now));
        let mut size = self.size();
        let mut start = self.start;
        for entry in self.entries.iter().take_while(|entry| entry.last_offset < stable) {
            // A marker has the time of the clock; it goes with what stands before it.
            let too_old = (rules.by_newest && entry.control && rules.max_age_ms.is_some())
                || rules.max_age_ms.is_some_and(|age| entry.max_timestamp.saturating_add(age) < now);
            // Kafka keeps a segment when the rest alone would be smaller than the limit.
            let too_large = rules.max_bytes.is_some_and(|limit| size - entry.size >= limit);
            if !too_old && !too_large {
                break;
            }
            size -= entry.size;
            start = entry.last_offset + 1;
        }
        if start == self.start {
            return Ok(false);
        }
        self.move_start(storage, start)?;
        Ok(true)
    }

    /// Forgets producers that have not written for long and have no transaction open.
    pub(crate) fn expire_producers(&mut self, now: i64) {
        self.producers.expire(now, |id| self.transactions.is_open(id));
    }

    fn move_start(&mut self, storage: &mut dyn Storage, start: i64) -> Result<(), ErrorCode> {
        let gone = self.position(start);
        let first_kept = self.entries.get(gone).map_or(self.end, |entry| entry.base_offset);
        storage.truncate_front(self.id, start, first_kept).map_err(|_| ErrorCode::KafkaStorageError)?;
        self.entries.drain(..gone);
        self.start = start;
        self.transactions.forget_aborted(|marker_offset| marker_offset < start);
        Ok(())
    }
}
