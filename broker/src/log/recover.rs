//! Recovery: what follows from a log's batches is read back from them, from the last snapshot on.

use super::{PartitionLog, storage_code};
use crate::error::ErrorCode;
use crate::storage::{LogId, Storage};

impl PartitionLog {
    /// Opens the log in storage, under a new leader epoch; makes it when there is none.
    ///
    /// What producers wrote before the log's start is not known any more: they may go on with any sequence.
    pub(crate) fn open(
        id: LogId,
        topic: &str,
        storage: &mut dyn Storage,
        leader_epoch: i32,
    ) -> Result<Self, ErrorCode> {
        let opened = storage.open(id, topic).map_err(|error| storage_code(&error))?;
        let snapshots = storage.snapshots(id).map_err(|error| storage_code(&error))?;
        let known = snapshots
            .iter()
            .find_map(|(offset, state)| Self::from_snapshot(id, *offset, state).map(|log| (*offset, log)));
        let (producers_known, mut log) = known.unwrap_or_else(|| (0, Self::new(id)));
        let from = log.end;
        storage
            .walk(id, from, &mut |header, bytes| {
                log.note(header, bytes);
                if header.base_offset >= producers_known {
                    log.note_producer(header);
                }
            })
            .map_err(|error| storage_code(&error))?;
        log.leader_epoch = leader_epoch;
        log.start = opened.start;
        log.end = opened.end.max(opened.start);
        log.cleaned = opened.cleaned;
        log.transactions.forget_aborted(|marker| marker < log.start);
        log.epochs.forget_below(log.start, log.end);
        Ok(log)
    }

    /// Keeps what is known, so that the next start has nothing to read.
    pub(crate) fn close(&mut self, storage: &mut dyn Storage) {
        self.abort_compaction(storage);
        // Without it the next start reads more, and that is all.
        let _ = storage.save_snapshot(self.id, self.end, &self.snapshot());
    }
}
