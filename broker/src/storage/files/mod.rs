//! Storage in files: a folder per partition, segments of raw batches, found again by sparse indexes.
//!
//! What is promised:
//! 1. By default nothing is made durable on purpose, as by Kafka: what was appended survives the end of the
//!    process (`kill -9` included), because the kernel has it. A power cut may take the last seconds.
//! 2. `flush.messages=N` makes every N-th record of a partition durable before it is acknowledged, with all
//!    before it: with 1 nothing acknowledged is lost to a power cut. `flush.ms` does so after that time.
//! 3. A batch is checked by its CRC whenever it is read: one that is damaged is an error for its reader, and
//!    for nobody else. (The leader epoch of a batch lies outside of its checksum, as in Kafka.)
//! 4. A disk that is full, or fails, refuses; what was written in part is cut off, and appends go on when
//!    there is room.
//!
//! Memory does not grow with the logs: of a closed segment some numbers are kept, files are open and indexes
//! in memory by the dozen, and one 48 KiB index at most stands for the active segment of each partition.

mod append;
mod cluster;
mod disk;
mod folder;
mod handles;
mod index;
mod journal;
mod partition;
mod recover;
mod replace;
mod segment;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;

use super::{Damage, KeepRules, LogId, Opened, Storage, StoredBatch, Unit};
use crate::batch::BatchHeader;
use disk::Disk;
use journal::Journal;
use partition::Partition;
use segment::Shelf;

pub use disk::DiskFaults;

/// Written at an orderly end, as by Kafka.
const CLEAN_END: &str = ".kafka_cleanshutdown";
const LOCK: &str = ".lock";

/// How files are used.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// How many segments may be open at a time; 256 by default, well below the usual limit of a process.
    pub open_files: usize,
    /// Whether every entry of the journal (topics, committed offsets, transactions' states) is made durable
    /// before it is acknowledged. Off by default, as logs are.
    pub flush_journal: bool,
    /// What goes wrong; for tests.
    pub faults: DiskFaults,
}

impl Default for FileOptions {
    fn default() -> Self {
        Self { open_files: 256, flush_journal: false, faults: DiskFaults::default() }
    }
}

/// Storage in the files of a folder, which belongs to it alone.
#[derive(Debug)]
pub struct FileStorage {
    root: PathBuf,
    shelf: Shelf,
    partitions: BTreeMap<LogId, Partition>,
    /// Whether what is opened for the first time was closed in order.
    clean: bool,
    /// Logs that were opened since.
    opened: BTreeSet<LogId>,
    /// When what was appended to a log has to be durable.
    flushes: BTreeMap<LogId, i64>,
    journal: Option<Journal>,
    flush_journal: bool,
    closed: bool,
    _lock: File,
}

impl FileStorage {
    /// Opens the storage in a folder, which is made when there is none.
    ///
    /// # Errors
    /// What the disk answers; [`io::ErrorKind::ResourceBusy`] when another process uses the folder.
    pub fn open(root: impl Into<PathBuf>, options: FileOptions) -> io::Result<Self> {
        let root = root.into();
        let disk = Disk::new(options.faults);
        disk.make_folder(&root)?;
        let lock = disk.create(&root.join(LOCK))?;
        lock.try_lock().map_err(|_| io::Error::new(io::ErrorKind::ResourceBusy, "another broker uses it"))?;
        let shelf = Shelf::new(disk, options.open_files);
        let clean = shelf.disk.size(&root.join(CLEAN_END)).is_ok();
        shelf.disk.remove(&root.join(CLEAN_END))?;
        for path in shelf.disk.list(&root)? {
            if path.is_dir() && path.to_string_lossy().ends_with("-delete") {
                shelf.doomed.borrow_mut().push(path);
            }
        }
        Ok(Self {
            root,
            shelf,
            partitions: BTreeMap::new(),
            clean,
            opened: BTreeSet::new(),
            flushes: BTreeMap::new(),
            journal: None,
            flush_journal: options.flush_journal,
            closed: false,
            _lock: lock,
        })
    }

    fn log(&self, log: LogId) -> io::Result<&Partition> {
        self.partitions.get(&log).ok_or_else(|| not_open(log))
    }

    /// The partition, to change it.
    fn change(&mut self, log: LogId) -> io::Result<(&mut Partition, &Shelf)> {
        if self.closed {
            return Err(io::Error::other("the storage was closed"));
        }
        let partition = self.partitions.get_mut(&log).ok_or_else(|| not_open(log))?;
        Ok((partition, &self.shelf))
    }

    /// Removes one thing that is not needed any more; says whether there is another.
    fn remove_doomed(&self) -> bool {
        let Some(path) = self.shelf.doomed.borrow_mut().pop() else { return false };
        let disk = &self.shelf.disk;
        // What cannot be removed now is found again at the next start.
        let _ = if path.is_dir() { disk.remove_folder(&path) } else { disk.remove(&path) };
        !self.shelf.doomed.borrow().is_empty()
    }
}

fn not_open(log: LogId) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{}-{} is not open", log.topic, log.partition))
}

impl Storage for FileStorage {
    fn open(&mut self, log: LogId, topic: &str) -> io::Result<Opened> {
        if let Some(before) = self.partitions.remove(&log) {
            before.segments.iter().for_each(|segment| self.shelf.forget(segment));
        }
        self.flushes.remove(&log);
        let clean = self.opened.insert(log) && self.clean;
        let name = self.root.join(format!("{topic}-{}", log.partition));
        let partition = folder::claim(&self.shelf, &self.root, topic, log)
            .and_then(|folder| Partition::open(&self.shelf, folder, clean))
            .inspect_err(|error| self.shelf.report(&name, 0, 0, format!("cannot be opened: {error}")))?;
        let opened = Opened { start: partition.start, end: partition.end(), cleaned: partition.cleaned };
        self.partitions.insert(log, partition);
        Ok(opened)
    }

    fn append(&mut self, log: LogId, batch: StoredBatch, rules: &KeepRules) -> io::Result<bool> {
        let (partition, shelf) = self.change(log)?;
        let rolled = partition.append(shelf, &batch, rules)?;
        match partition.unflushed.since {
            Some(since) if rules.flush_ms < i64::MAX => {
                self.flushes.entry(log).or_insert(since.saturating_add(rules.flush_ms));
            }
            _ if rules.flushes() => {
                self.flushes.remove(&log);
            }
            _ => {}
        }
        Ok(rolled)
    }

    fn read(&self, log: LogId, offsets: Range<i64>, max_bytes: usize) -> io::Result<Vec<Bytes>> {
        self.log(log)?.read(&self.shelf, offsets, max_bytes)
    }

    fn walk(&self, log: LogId, from: i64, visit: &mut dyn FnMut(&BatchHeader, &[u8])) -> io::Result<()> {
        self.log(log)?.walk(&self.shelf, from, visit)
    }

    fn find_time(&self, log: LogId, offsets: Range<i64>, time: i64) -> io::Result<Option<Bytes>> {
        self.log(log)?.find_time(&self.shelf, offsets, time)
    }

    fn newest_time(&self, log: LogId, below: i64) -> io::Result<Option<i64>> {
        self.log(log)?.newest_time(&self.shelf, below)
    }

    fn size(&self, log: LogId) -> u64 {
        self.partitions.get(&log).map_or(0, Partition::size)
    }

    fn units(&self, log: LogId, visit: &mut dyn FnMut(&Unit) -> bool) -> io::Result<()> {
        self.log(log)?.units(&self.shelf, visit)
    }

    fn truncate_front(&mut self, log: LogId, start: i64) -> io::Result<()> {
        let (partition, shelf) = self.change(log)?;
        partition.truncate_front(shelf, start)
    }

    fn close_unit(&mut self, log: LogId) -> io::Result<()> {
        let (partition, shelf) = self.change(log)?;
        if partition.active().size > 0 { partition.roll(shelf, partition.end()) } else { Ok(()) }
    }

    fn begin_rewrite(&mut self, log: LogId, offsets: Range<i64>) -> io::Result<()> {
        let (partition, shelf) = self.change(log)?;
        partition.begin_rewrite(shelf, offsets)
    }

    fn rewrite(&mut self, log: LogId, batches: Vec<StoredBatch>) -> io::Result<()> {
        let (partition, shelf) = self.change(log)?;
        partition.rewrite(shelf, &batches)
    }

    fn commit_rewrite(&mut self, log: LogId, snapshot: (i64, &[u8])) -> io::Result<()> {
        let (partition, shelf) = self.change(log)?;
        partition.commit_rewrite(shelf, snapshot)
    }

    fn abort_rewrite(&mut self, log: LogId) {
        if let Ok((partition, shelf)) = self.change(log) {
            partition.abort_rewrite(shelf);
        }
    }

    fn save_cleaned(&mut self, log: LogId, offset: i64) -> io::Result<()> {
        let (partition, shelf) = self.change(log)?;
        partition.save_checkpoint(shelf, partition.start, offset)
    }

    fn save_snapshot(&mut self, log: LogId, offset: i64, state: &[u8]) -> io::Result<()> {
        let (partition, shelf) = self.change(log)?;
        partition.save_snapshot(shelf, offset, state)
    }

    fn snapshots(&self, log: LogId) -> io::Result<Vec<(i64, Vec<u8>)>> {
        self.log(log)?.snapshots(&self.shelf)
    }

    fn remove(&mut self, log: LogId, topic: &str) -> io::Result<()> {
        if let Some(partition) = self.partitions.remove(&log) {
            partition.segments.iter().for_each(|segment| self.shelf.forget(segment));
        }
        self.flushes.remove(&log);
        folder::bury(&self.shelf, &self.root, topic, log)
    }

    fn journal_append(&mut self, entry: &[u8]) -> io::Result<()> {
        if self.closed {
            return Err(io::Error::other("the storage was closed"));
        }
        if self.journal.is_none() {
            self.journal_replay(&mut |_| {})?;
        }
        let journal = self.journal.as_mut().expect("it was opened when it was not open");
        journal.append(&self.shelf, entry).inspect_err(|error| {
            self.shelf.report(&journal.path(), 0, 0, format!("nothing can be added: {error}"));
        })
    }

    fn journal_replay(&mut self, visit: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        self.journal = None;
        let opened = Journal::open(&self.shelf, &self.root, self.flush_journal, visit);
        let journal = opened.inspect_err(|error| {
            self.shelf.report(&self.root, 0, 0, format!("its journal cannot be opened: {error}"));
        })?;
        self.journal = Some(journal);
        Ok(())
    }

    fn journal_is_long(&self) -> bool {
        self.journal.as_ref().is_some_and(Journal::is_long)
    }

    fn journal_rewrite(&mut self, entries: &mut dyn Iterator<Item = Vec<u8>>) -> io::Result<()> {
        let Some(journal) = &mut self.journal else { return Ok(()) };
        journal.rewrite(&self.shelf, entries)
    }

    fn upkeep(&mut self, now: i64) {
        let due = |(log, due): (&LogId, &i64)| (*due <= now).then_some(*log);
        for log in self.flushes.iter().filter_map(due).collect::<Vec<LogId>>() {
            self.flushes.remove(&log);
            let Some(partition) = self.partitions.get_mut(&log) else { continue };
            if let Err(error) = partition.flush(&self.shelf) {
                self.shelf.report(&partition.folder, 0, 0, format!("cannot be made durable: {error}"));
            }
        }
        self.remove_doomed();
    }

    fn next_upkeep(&self) -> Option<i64> {
        let removal = (!self.shelf.doomed.borrow().is_empty()).then_some(i64::MIN);
        removal.or_else(|| self.flushes.values().copied().min())
    }

    fn close(&mut self) -> io::Result<()> {
        for partition in self.partitions.values_mut() {
            partition.settle(&self.shelf)?;
            if partition.unflushed.records > 0 {
                partition.flush(&self.shelf)?;
            }
            self.shelf.store_index(&partition.folder, partition.active().base, &partition.index);
        }
        if let Some(journal) = &self.journal {
            journal.flush(&self.shelf)?;
        }
        while self.remove_doomed() {}
        self.shelf.disk.replace(&self.root.join(CLEAN_END), b"version: 0\n")?;
        self.closed = true;
        Ok(())
    }

    fn take_damages(&mut self) -> Vec<Damage> {
        self.shelf.damages.take()
    }
}
