//! What the database takes, of disk and of memory.

use rocksdb::properties as named;

use super::database::Database;

/// What the database takes. Whoever asks waits for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RocksFigures {
    /// Number of entries, estimated.
    pub keys: u64,
    /// Bytes of entries that are not overwritten or deleted, estimated, in files.
    pub live_bytes: u64,
    /// Bytes of all files of the database.
    pub disk_bytes: u64,
    /// Bytes that have to be merged before the files are in order.
    pub unmerged_bytes: u64,
    /// Files that the next reads have to look into one after the other.
    pub unmerged_files: u64,
    /// Memory of entries that are not in files yet.
    pub memtable_bytes: u64,
    /// Memory of the block cache, memtables among it: they are charged to it.
    pub cache_bytes: u64,
    /// The part of the cache that is in use now and cannot be given back.
    pub pinned_bytes: u64,
    /// Memory of open files beside the cache.
    pub reader_bytes: u64,
    /// What all of it should take at most.
    pub budget_bytes: u64,
    /// Errors in the background since the start: of writes to disk, or of merges.
    pub background_errors: u64,
}

impl RocksFigures {
    /// Each with its name in metrics: Kafka Streams' (KIP-607) where it has one.
    #[must_use]
    pub fn named(&self) -> [(&'static str, u64); 11] {
        [
            ("estimate-num-keys", self.keys),
            ("estimate-live-data-size", self.live_bytes),
            ("total-sst-files-size", self.disk_bytes),
            ("estimate-pending-compaction-bytes", self.unmerged_bytes),
            ("num-files-at-level-0", self.unmerged_files),
            ("size-all-mem-tables", self.memtable_bytes),
            ("block-cache-usage", self.cache_bytes),
            ("block-cache-pinned-usage", self.pinned_bytes),
            ("estimate-table-readers-mem", self.reader_bytes),
            ("block-cache-capacity", self.budget_bytes),
            ("background-errors", self.background_errors),
        ]
    }
}

impl Database {
    pub(super) fn figures(&self) -> RocksFigures {
        // A property without value would be one that this version of RocksDB does not have.
        let number = |name| self.db.property_int_value(name).ok().flatten().unwrap_or(0);
        let files = self.db.property_value(named::num_files_at_level(0)).ok().flatten();
        let count = |bytes: usize| u64::try_from(bytes).unwrap_or(u64::MAX);
        RocksFigures {
            keys: number(named::ESTIMATE_NUM_KEYS),
            live_bytes: number(named::ESTIMATE_LIVE_DATA_SIZE),
            disk_bytes: number(named::TOTAL_SST_FILES_SIZE),
            unmerged_bytes: number(named::ESTIMATE_PENDING_COMPACTION_BYTES),
            unmerged_files: files.and_then(|files| files.parse().ok()).unwrap_or(0),
            memtable_bytes: count(self.tuning.buffers.get_usage()),
            cache_bytes: count(self.tuning.cache.get_usage()),
            pinned_bytes: count(self.tuning.cache.get_pinned_usage()),
            reader_bytes: number(named::ESTIMATE_TABLE_READERS_MEM),
            budget_bytes: count(self.tuning.memory_bytes),
            background_errors: number(named::BACKGROUND_ERRORS),
        }
    }
}
