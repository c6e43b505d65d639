//! Storage in memory: it outlives a simulated crash, not the process. Every batch is a unit of its own.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;

use bytes::Bytes;

use super::{JOURNAL_GROWTH, JOURNAL_LEAST_BYTES, KeepRules, LogId, Opened, Storage, StoredBatch, Unit};
use crate::batch::BatchHeader;

/// Storage in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    logs: BTreeMap<LogId, MemoryLog>,
    journal: Vec<Vec<u8>>,
    journal_bytes: u64,
    /// Length from which on the journal is long.
    long_from: u64,
}

#[derive(Clone, Debug, Default)]
struct MemoryLog {
    start: i64,
    cleaned: i64,
    size: u64,
    batches: VecDeque<StoredBatch>,
    rewrite: Option<(Range<i64>, Vec<StoredBatch>)>,
    /// What the last rewrite has left: the batches alone do not say it any more.
    snapshot: Option<(i64, Vec<u8>)>,
}

impl MemoryLog {
    /// Index of the first batch that ends at or after `offset`.
    fn position(&self, offset: i64) -> usize {
        self.batches.partition_point(|batch| batch.header.last_offset() < offset)
    }

    fn within(&self, offsets: Range<i64>) -> impl Iterator<Item = &StoredBatch> {
        let first = self.position(offsets.start);
        self.batches.range(first..).take_while(move |batch| batch.header.base_offset < offsets.end)
    }
}

fn bytes_of<'a>(batches: impl IntoIterator<Item = &'a StoredBatch>) -> u64 {
    batches.into_iter().map(|batch| batch.bytes.len() as u64).sum()
}

impl MemoryStorage {
    /// Empty storage.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn log(&self, log: LogId) -> io::Result<&MemoryLog> {
        self.logs.get(&log).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn log_mut(&mut self, log: LogId) -> io::Result<&mut MemoryLog> {
        self.logs.get_mut(&log).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

impl Storage for MemoryStorage {
    fn open(&mut self, log: LogId, _topic: &str) -> io::Result<Opened> {
        let log = self.logs.entry(log).or_default();
        log.rewrite = None;
        let end = log.batches.back().map_or(0, |last| last.header.next_offset());
        Ok(Opened { start: log.start, end: end.max(log.start), cleaned: log.cleaned })
    }

    fn append(&mut self, log: LogId, batch: StoredBatch, _rules: &KeepRules) -> io::Result<bool> {
        let log = self.log_mut(log)?;
        log.size += batch.bytes.len() as u64;
        log.batches.push_back(batch);
        Ok(false)
    }

    fn read(&self, log: LogId, offsets: Range<i64>, max_bytes: usize) -> io::Result<Vec<Bytes>> {
        let mut found = Vec::new();
        let mut total = 0;
        for batch in self.log(log)?.within(offsets) {
            total += batch.bytes.len();
            if !found.is_empty() && total > max_bytes {
                break;
            }
            found.push(batch.bytes.clone());
        }
        Ok(found)
    }

    fn walk(&self, log: LogId, from: i64, visit: &mut dyn FnMut(&BatchHeader, &[u8])) -> io::Result<()> {
        for batch in self.log(log)?.within(from..i64::MAX) {
            visit(&batch.header, if batch.header.is_control() { &batch.bytes } else { &[] });
        }
        Ok(())
    }

    fn find_time(&self, log: LogId, offsets: Range<i64>, time: i64) -> io::Result<Option<Bytes>> {
        let mut data = self.log(log)?.within(offsets).filter(|batch| !batch.header.is_control());
        let found = data.find(|batch| batch.header.max_timestamp >= time);
        Ok(found.map(|batch| batch.bytes.clone()))
    }

    fn newest_time(&self, log: LogId, below: i64) -> io::Result<Option<i64>> {
        let data = self.log(log)?.batches.iter().filter(|batch| !batch.header.is_control());
        let below = data.take_while(|batch| batch.header.last_offset() < below);
        Ok(below.map(|batch| batch.header.max_timestamp).max())
    }

    fn size(&self, log: LogId) -> u64 {
        self.logs.get(&log).map_or(0, |log| log.size)
    }

    fn units(&self, log: LogId, visit: &mut dyn FnMut(&Unit) -> bool) -> io::Result<()> {
        for StoredBatch { header, bytes } in &self.log(log)?.batches {
            let unit = Unit {
                first_offset: header.base_offset,
                end_offset: header.next_offset(),
                bytes: bytes.len() as u64,
                oldest_ms: header.max_timestamp,
                newest_ms: header.max_timestamp,
                control: header.is_control(),
                open: false,
            };
            if !visit(&unit) {
                break;
            }
        }
        Ok(())
    }

    fn truncate_front(&mut self, log: LogId, start: i64) -> io::Result<()> {
        let log = self.log_mut(log)?;
        log.start = start;
        let gone = log.position(start);
        log.size -= bytes_of(log.batches.range(..gone));
        log.batches.drain(..gone);
        Ok(())
    }

    fn close_unit(&mut self, _log: LogId) -> io::Result<()> {
        Ok(())
    }

    fn begin_rewrite(&mut self, log: LogId, offsets: Range<i64>) -> io::Result<()> {
        self.log_mut(log)?.rewrite = Some((offsets, Vec::new()));
        Ok(())
    }

    fn rewrite(&mut self, log: LogId, batches: Vec<StoredBatch>) -> io::Result<()> {
        if let Some((_, written)) = &mut self.log_mut(log)?.rewrite {
            written.extend(batches);
        }
        Ok(())
    }

    fn commit_rewrite(&mut self, log: LogId, (offset, state): (i64, &[u8])) -> io::Result<()> {
        let log = self.log_mut(log)?;
        let Some((offsets, written)) = log.rewrite.take() else { return Ok(()) };
        log.snapshot = Some((offset, state.to_vec()));
        let after = log.batches.split_off(log.position(offsets.end));
        let replaced = log.batches.split_off(log.position(offsets.start));
        log.size = log.size - bytes_of(&replaced) + bytes_of(&written);
        log.batches.extend(written.into_iter().chain(after));
        Ok(())
    }

    fn abort_rewrite(&mut self, log: LogId) {
        if let Some(log) = self.logs.get_mut(&log) {
            log.rewrite = None;
        }
    }

    fn save_cleaned(&mut self, log: LogId, offset: i64) -> io::Result<()> {
        self.log_mut(log)?.cleaned = offset;
        Ok(())
    }

    /// Reading everything again is as fast.
    fn save_snapshot(&mut self, _log: LogId, _offset: i64, _state: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn snapshots(&self, log: LogId) -> io::Result<Vec<(i64, Vec<u8>)>> {
        Ok(self.log(log)?.snapshot.iter().cloned().collect())
    }

    fn remove(&mut self, log: LogId, _topic: &str) -> io::Result<()> {
        self.logs.remove(&log);
        Ok(())
    }

    fn journal_append(&mut self, entry: &[u8]) -> io::Result<()> {
        self.journal_bytes += entry.len() as u64;
        self.journal.push(entry.to_vec());
        Ok(())
    }

    fn journal_replay(&mut self, visit: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        self.journal.iter().for_each(|entry| visit(entry));
        Ok(())
    }

    fn journal_is_long(&self) -> bool {
        self.journal_bytes > self.long_from.max(JOURNAL_LEAST_BYTES)
    }

    fn journal_rewrite(&mut self, entries: &mut dyn Iterator<Item = Vec<u8>>) -> io::Result<()> {
        self.journal = entries.collect();
        self.journal_bytes = self.journal.iter().map(|entry| entry.len() as u64).sum();
        self.long_from = self.journal_bytes * JOURNAL_GROWTH;
        Ok(())
    }
}
