//! Appending to a partition: when a segment is closed, what a failure leaves, and when bytes become durable.

use std::io;

use super::index::Index;
use super::partition::{Partition, Unflushed};
use super::segment::{Kind, Shelf, place};
use crate::batch::BatchHeader;
use crate::storage::{KeepRules, StoredBatch};

impl Partition {
    /// Appends a batch; says whether it begins a new segment.
    pub(super) fn append(
        &mut self,
        shelf: &Shelf,
        batch: &StoredBatch,
        rules: &KeepRules,
    ) -> io::Result<bool> {
        self.cut_torn_bytes(shelf)?;
        let rolls = self.is_due(&batch.header, rules);
        if rolls {
            if rules.flushes() && self.unflushed.records > 0 {
                self.flush(shelf)?;
            }
            self.roll(shelf, batch.header.base_offset)?;
        }
        let file = shelf.file(&self.folder, self.active())?;
        let position = self.active().size;
        let records = self.unflushed.records.saturating_add(i64::from(batch.header.last_offset_delta) + 1);
        let since = self.unflushed.since.unwrap_or(rules.now);
        let flushes = records >= rules.flush_messages || rules.now.saturating_sub(since) >= rules.flush_ms;
        let written = shelf.disk.write_at(&file, &batch.bytes, position);
        let written = written.and_then(|()| if flushes { shelf.disk.sync(&file) } else { Ok(()) });
        if let Err(error) = written {
            self.torn = true;
            // If it cannot be cut off now, the next append tries again before anything else.
            let _ = self.cut_torn_bytes(shelf);
            return Err(error);
        }
        self.unflushed =
            if flushes { Unflushed::default() } else { Unflushed { records, since: Some(since) } };
        self.index.note(&batch.header, rules.index_interval_bytes);
        let size = self.index.summary.size;
        self.segments.back_mut().expect("a partition has a segment from the start").size = size;
        Ok(rolls)
    }

    fn cut_torn_bytes(&mut self, shelf: &Shelf) -> io::Result<()> {
        if self.torn {
            let file = shelf.file(&self.folder, self.active())?;
            shelf.disk.truncate(&file, self.active().size)?;
            self.torn = false;
        }
        Ok(())
    }

    /// As Kafka: by size, and by the time between the first batch's records and these.
    fn is_due(&self, header: &BatchHeader, rules: &KeepRules) -> bool {
        let summary = &self.index.summary;
        let too_large = summary.size + header.size() as u64 > rules.segment_bytes;
        let too_old = header.max_timestamp.saturating_sub(summary.oldest_ms) > rules.segment_ms;
        summary.size > 0 && (too_large || too_old)
    }

    /// Closes the active segment and begins another at this offset.
    pub(super) fn roll(&mut self, shelf: &Shelf, offset: i64) -> io::Result<()> {
        self.cut_torn_bytes(shelf)?;
        shelf.disk.create(&place(&self.folder, offset, "log"))?;
        shelf.store_index(&self.folder, self.active().base, &self.index);
        self.active().summary.set(Some(self.index.summary));
        self.segments.push_back(shelf.segment(offset, 0, Kind::Log));
        self.index = Index::new(offset);
        Ok(())
    }

    /// Makes everything that was appended durable.
    pub(super) fn flush(&mut self, shelf: &Shelf) -> io::Result<()> {
        let file = shelf.file(&self.folder, self.active())?;
        shelf.disk.sync(&file)?;
        self.unflushed = Unflushed::default();
        Ok(())
    }

    /// Records where the log starts, and puts the segments wholly below out of the way.
    pub(super) fn truncate_front(&mut self, shelf: &Shelf, start: i64) -> io::Result<()> {
        self.save_checkpoint(shelf, start, self.cleaned)?;
        self.start = start;
        if start >= self.end() && self.active().size > 0 {
            // If there is no new segment, the old one is freed the next time.
            let _ = self.roll(shelf, self.end());
        }
        while self.segments.len() > 1 && self.segments[1].base <= start {
            if shelf.doom_segment(&self.folder, &self.segments[0]).is_err() {
                break;
            }
            self.segments.pop_front();
        }
        Ok(())
    }
}
