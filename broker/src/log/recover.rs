//! Recovery: a log read back from its batches after a crash.

use super::PartitionLog;
use crate::batch::Batch;
use crate::error::ErrorCode;
use crate::storage::{LogId, Storage};

/// Bytes to read at a time.
const CHUNK_BYTES: usize = 4 << 20;

impl PartitionLog {
    /// Reads the log from storage, under a new leader epoch.
    ///
    /// What producers wrote before the log's start is not known any more: they may go on with any sequence.
    pub(crate) fn recover(id: LogId, storage: &dyn Storage, leader_epoch: i32) -> Result<Self, ErrorCode> {
        let mut log = Self::new(id);
        log.leader_epoch = leader_epoch;
        let mut next = i64::MIN;
        loop {
            let chunk =
                storage.read(id, next..i64::MAX, CHUNK_BYTES).map_err(|_| ErrorCode::KafkaStorageError)?;
            if chunk.is_empty() {
                break;
            }
            for bytes in &chunk {
                let batch = Batch::parse(bytes).map_err(|_| ErrorCode::KafkaStorageError)?;
                log.note(&batch);
            }
            next = log.end;
        }
        log.start = storage.start(id);
        log.end = log.end.max(log.start);
        Ok(log)
    }
}
