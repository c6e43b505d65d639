//! Replacing segments: what compaction writes takes the place of what it has read, at once.
//!
//! 1. It is written into a `.cleaned` file, which a crash drops.
//! 2. Once that is durable it is renamed to `<from>-<to>.swap`. From here on it stands for all segments that
//!    start within, whatever happens.
//! 3. Those are put out of the way, the lowest first, and it gets the name of the first of them.
//!
//! What of 3 a crash or an error has left to do is done at the next start, or the next time.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use super::index::Index;
use super::partition::Partition;
use super::segment::{Kind, Segment, Shelf, place};
use crate::storage::StoredBatch;

/// Kafka's default of `index.interval.bytes`: the topic's setting is for appends.
const INDEX_INTERVAL_BYTES: u64 = 4_096;

/// A replacement under way.
#[derive(Debug)]
pub(super) struct Rewrite {
    offsets: Range<i64>,
    file: Arc<File>,
    index: Index,
}

impl Partition {
    pub(super) fn begin_rewrite(&mut self, shelf: &Shelf, offsets: Range<i64>) -> io::Result<()> {
        self.settle(shelf)?;
        let file = Arc::new(shelf.disk.create(&place(&self.folder, offsets.start, "cleaned"))?);
        self.rewrite = Some(Rewrite { index: Index::new(offsets.start), offsets, file });
        Ok(())
    }

    pub(super) fn rewrite(&mut self, shelf: &Shelf, batches: &[StoredBatch]) -> io::Result<()> {
        let Some(rewrite) = &mut self.rewrite else { return Ok(()) };
        let position = rewrite.index.summary.size;
        let bytes = batches.iter().map(|batch| &batch.bytes[..]).collect::<Vec<&[u8]>>().concat();
        shelf.disk.write_at(&rewrite.file, &bytes, position)?;
        for batch in batches {
            rewrite.index.note(&batch.header, INDEX_INTERVAL_BYTES);
        }
        // Bit by bit, so that the commit need not wait for all of it.
        shelf.disk.sync(&rewrite.file)
    }

    pub(super) fn commit_rewrite(&mut self, shelf: &Shelf, snapshot: (i64, &[u8])) -> io::Result<()> {
        let Some(Rewrite { offsets, file, mut index }) = self.rewrite.take() else { return Ok(()) };
        let cleaned = place(&self.folder, offsets.start, "cleaned");
        let segment = shelf.segment(offsets.start, index.summary.size, Kind::Swap(offsets.end));
        let renamed = shelf
            .disk
            .sync(&file)
            .and_then(|()| self.save_snapshot(shelf, snapshot.0, snapshot.1))
            .and_then(|()| self.drop_snapshots(shelf, snapshot.0))
            .and_then(|()| shelf.disk.rename(&cleaned, &segment.path(&self.folder)));
        if let Err(error) = renamed {
            let _ = shelf.disk.remove(&cleaned);
            return Err(error);
        }
        // From here on the swap counts, so nothing below may fail any more.
        let _ = shelf.disk.sync_folder(&self.folder);
        index.summary.next_offset = index.summary.next_offset.max(offsets.start);
        segment.summary.set(Some(index.summary));
        let first = self.segments.partition_point(|old| old.base < offsets.start);
        let after = self.segments.partition_point(|old| old.base < offsets.end);
        let old: Vec<Segment> = self.segments.drain(first..after).collect();
        self.segments.insert(first, segment);
        self.cursors.borrow_mut().clear();
        let cleared = old.iter().try_for_each(|old| shelf.doom_segment(&self.folder, old));
        if cleared.is_ok() && self.put_in_place(shelf, first).is_ok() {
            shelf.store_index(&self.folder, offsets.start, &index);
        }
        Ok(())
    }

    pub(super) fn abort_rewrite(&mut self, shelf: &Shelf) {
        if let Some(rewrite) = self.rewrite.take() {
            // What stays is dropped at the next start.
            let _ = shelf.disk.remove(&place(&self.folder, rewrite.offsets.start, "cleaned"));
        }
    }

    fn put_in_place(&mut self, shelf: &Shelf, number: usize) -> io::Result<()> {
        let segment = &mut self.segments[number];
        let from = segment.path(&self.folder);
        shelf.disk.rename(&from, &place(&self.folder, segment.base, "log"))?;
        segment.kind = Kind::Log;
        Ok(())
    }

    /// Ends what earlier swaps have left to do.
    pub(super) fn settle(&mut self, shelf: &Shelf) -> io::Result<()> {
        for number in 0..self.segments.len() {
            if let Kind::Swap(upto) = self.segments[number].kind {
                let base = self.segments[number].base;
                self.clear_place(shelf, base..upto)?;
                self.put_in_place(shelf, number)?;
            }
        }
        Ok(())
    }

    /// Puts the files of segments out of the way for which a swap stands.
    pub(super) fn clear_place(&self, shelf: &Shelf, offsets: Range<i64>) -> io::Result<()> {
        let mut files = shelf.disk.list(&self.folder)?;
        files.sort();
        for path in files {
            let Some((base, extension)) = super::folder::offset_of(&path) else { continue };
            if !offsets.contains(&base) {
                continue;
            }
            match extension {
                "log" => shelf.doom(&path)?,
                "index" | "timeindex" => shelf.disk.remove(&path)?,
                _ => {}
            }
        }
        Ok(())
    }
}
