//! How RocksDB is set up, and why.
//!
//! 1. **One database, one column family.** A batch with its offset is in one memtable then, and so in one file: a crash
//!    shows it whole or not at all. With more families `atomic_flush` would write the memtables of all of them whenever one
//!    is full, mostly tiny files; and nothing here wants other settings for another kind of store. It is on nevertheless:
//!    who adds a family must not lose that property.
//! 2. **No write-ahead log**: what a crash takes from memory, the changelogs have.
//! 3. **One budget**: memtables are charged to the block cache, and so are indexes and filters.
//! 4. **Level compaction, lz4, filters of 10 bits a key**: state is read by key far more often than it is written, since
//!    what is written was gathered by the overlay.

use std::fs;
use std::path::Path;

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, LogLevel, Options, WriteBufferManager};

use super::failure::of_folder;
use crate::error::{Error, Reaction, Result};

/// Less is no use: a few blocks and a memtable.
const LEAST_MEMORY: usize = 4 << 20;
/// The part of the memory that is left to merges of files, which no cache counts.
const MERGE_PART: usize = 5;
/// The part of the memory that memtables may take.
const BUFFER_PART: usize = 3;
/// Measured: small memtables are faster, since their search waits for memory; from here on files get too small.
const LARGEST_MEMTABLE: usize = 16 << 20;
/// Memtables of a database, those that wait for the disk among them.
const FEWEST_MEMTABLES: usize = 4;
const MOST_MEMTABLES: usize = 6;
/// A merge reads so far ahead in each of its files, of which a busy database has dozens: with the default of 2 MiB that took more
/// memory than all that merges are left.
const READ_AHEAD: usize = 256 << 10;
/// RocksDB's default. A key that is not in memory costs a block that is read and unpacked: of 16 KiB, as its tuning guide has
/// it, that takes three times as long. Of files with entries of 30 bytes the indexes are a hundredth.
const BLOCK: usize = 4 << 10;
/// 1 % of misses read a block in vain.
const FILTER_BITS: f64 = 10.0;
/// Threads for flushes and compactions: more only compete with the workers.
const MOST_JOBS: usize = 8;
/// With so many files open, 64 MiB each, no file is opened twice below 256 GiB of state.
const MOST_FILES: usize = 4_096;
/// Without so many RocksDB opens and closes files all the time, and cannot merge them.
const LEAST_FILES: usize = 64;
/// What is assumed where the system does not say: the default of macOS, the lowest of all.
const USUAL_FILES: usize = 256;

/// The settings of a database with what they share.
pub(super) struct Tuning {
    pub(super) options: Options,
    pub(super) cache: Cache,
    pub(super) buffers: WriteBufferManager,
    /// What all of it may take.
    pub(super) memory_bytes: usize,
}

impl Tuning {
    /// Settings for a database at `path` that takes about `memory_bytes`.
    pub(super) fn new(path: &Path, memory_bytes: usize) -> Result<Self> {
        let memory_bytes = memory_bytes.max(LEAST_MEMORY);
        let cache = Cache::new_hyper_clock_cache(memory_bytes - memory_bytes / MERGE_PART, 0);
        let buffer_bytes = memory_bytes / BUFFER_PART;
        let buffers =
            WriteBufferManager::new_write_buffer_manager_with_cache(buffer_bytes, false, cache.clone());
        let jobs = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, MOST_JOBS);

        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_atomic_flush(true);
        options.set_block_based_table_factory(&tables(&cache));
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_level_compaction_dynamic_level_bytes(true);
        options.set_write_buffer_manager(&buffers);
        let memtable = (buffer_bytes / FEWEST_MEMTABLES).clamp(1 << 20, LARGEST_MEMTABLE);
        options.set_write_buffer_size(memtable);
        // The more of them may wait for the disk, the later a slow one holds up a worker; but no more than there is memory for.
        let memtables = (buffer_bytes / memtable).clamp(FEWEST_MEMTABLES, MOST_MEMTABLES);
        options.set_max_write_buffer_number(i32::try_from(memtables).unwrap_or(i32::MAX));
        options.set_memtable_whole_key_filtering(true);
        options.set_memtable_prefix_bloom_ratio(0.02);
        // Twice the default: half as many merges of all that is stored, which were a fifth of the processor time of a restore.
        // Filters spare most look-ups the newest files; a scan may have four more of them to merge.
        options.set_level_zero_file_num_compaction_trigger(8);
        // A restore brings one file for many thousand records, and waits for nobody; writers must not wait for its files
        // to be merged (20 and 36 would be the defaults).
        options.set_level_zero_slowdown_writes_trigger(64);
        options.set_level_zero_stop_writes_trigger(128);
        options.set_compaction_readahead_size(READ_AHEAD);
        options.set_max_background_jobs(i32::try_from(jobs).unwrap_or(2));
        options.set_max_open_files(i32::try_from(open_files(path)?).unwrap_or(i32::MAX));
        // Files are deleted by RocksDB's threads, not by a worker that ends a scan.
        options.set_avoid_unnecessary_blocking_io(true);
        options.set_bytes_per_sync(1 << 20);
        options.set_log_level(LogLevel::Warn);
        options.set_max_log_file_size(16 << 20);
        options.set_keep_log_file_num(4);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        Ok(Self { options, cache, buffers, memory_bytes })
    }
}

fn tables(cache: &Cache) -> BlockBasedOptions {
    let mut tables = BlockBasedOptions::default();
    tables.set_block_cache(cache);
    tables.set_block_size(BLOCK);
    tables.set_bloom_filter(FILTER_BITS, false);
    tables.set_cache_index_and_filter_blocks(true);
    tables.set_cache_index_and_filter_blocks_with_high_priority(true);
    tables.set_pin_l0_filter_and_index_blocks_in_cache(true);
    tables
}

/// How many files RocksDB may keep open: half of what the process may, since sockets and programs need some too.
fn open_files(path: &Path) -> Result<usize> {
    let limit = match fs::read_to_string("/proc/self/limits") {
        Ok(text) => soft_limit(&text).unwrap_or(USUAL_FILES),
        Err(error) if error.raw_os_error() == Some(TOO_MANY) => {
            return Err(of_folder("cannot open files for the state in", path, error));
        }
        Err(_) => USUAL_FILES,
    };
    let files = limit / 2;
    if files < LEAST_FILES {
        let message =
            format!("this process may open {limit} files, too few for the state in `{}`", path.display());
        let least = 2 * LEAST_FILES;
        return Err(Error::new(Reaction::Stop, message).hint(format!(
            "raise the limit to {least} at least, better to some thousand (`ulimit -n`, `LimitNOFILE` of systemd)"
        )));
    }
    if files < MOST_FILES / 16 {
        tracing::warn!(limit, "few files may be open: large state is slow; raise the limit (`ulimit -n`)");
    }
    Ok(files.min(MOST_FILES))
}

/// `EMFILE` of all Unixes.
const TOO_MANY: i32 = 24;

/// The soft limit of open files in Linux's own words; `unlimited` is none.
fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let soft = line.split_whitespace().next()?;
    Some(soft.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::soft_limit;

    #[test]
    fn the_limit_of_open_files_is_read() {
        let cases = [
            ("Max processes  7 8 processes\nMax open files            1024       4096   files\n", Some(1024)),
            ("Max open files            unlimited  unlimited files\n", Some(usize::MAX)),
            ("Max processes  7 8 processes\n", None),
            ("", None),
        ];
        for (text, limit) in cases {
            assert_eq!(soft_limit(text), limit, "{text}");
        }
    }
}
