//! Opening a partition: what a crash has left is made whole.
//!
//! 1. A swap is put in its place; what compaction had not finished is dropped.
//! 2. After an orderly end the active segment's index says where it ends. Otherwise all its batches are
//!    checked (length, magic, checksum, and offsets without a gap: compaction never touches it), and it is cut
//!    at the first that is not as it was written. A segment that was just begun says nothing, so then the one
//!    before is checked too.
//! 3. Older segments were complete before the next one was begun: they are not read here. A batch of theirs
//!    that is damaged is found when it is read.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;

use super::folder::{offset_of, read_checkpoint, swap_of};
use super::index::Index;
use super::partition::{Partition, Unflushed};
use super::segment::{Kind, Segment, Shelf, place};
use super::walk::{Stretch, check, damaged};
use crate::batch::BatchHeader;

impl Partition {
    /// Opens what lies in a folder; `clean` says that the last end was orderly.
    pub(super) fn open(shelf: &Shelf, folder: PathBuf, clean: bool) -> io::Result<Self> {
        let (start, cleaned) = read_checkpoint(&shelf.disk, &folder).unwrap_or((0, 0));
        let mut partition = Self {
            index: Index::new(start),
            folder,
            start,
            cleaned,
            segments: VecDeque::new(),
            torn: false,
            unflushed: Unflushed::default(),
            rewrite: None,
            cursors: RefCell::default(),
        };
        partition.take_stock(shelf)?;
        if partition.segments.is_empty() {
            shelf.disk.create(&place(&partition.folder, start, "log"))?;
            partition.segments.push_back(shelf.segment(start, 0, Kind::Log));
            return Ok(partition);
        }
        partition.start = start.max(partition.segments[0].base);
        let known = shelf.stored_index(&partition.folder, partition.active()).filter(|_| clean);
        match known {
            Some(index) => partition.index = index,
            None => partition.check_tail(shelf)?,
        }
        if partition.start > partition.end() {
            // The medium lost acknowledged batches (a power cut may); offsets never come twice.
            partition.index.summary.next_offset = partition.start;
            partition.roll(shelf, partition.start)?;
            partition.drop_below_start(shelf)?;
        }
        Ok(partition)
    }

    /// Finds the segments, and settles what is half done.
    fn take_stock(&mut self, shelf: &Shelf) -> io::Result<()> {
        for path in shelf.disk.list(&self.folder)? {
            if let Some((base, upto)) = swap_of(&path) {
                self.clear_place(shelf, base..upto)?;
                shelf.disk.rename(&path, &place(&self.folder, base, "log"))?;
            }
        }
        for path in shelf.disk.list(&self.folder)? {
            if path.extension().is_some_and(|extension| extension == "deleted") {
                shelf.doomed.borrow_mut().push(path);
            } else if path.extension().is_some_and(|extension| extension == "cleaned" || extension == "tmp") {
                shelf.disk.remove(&path)?;
            } else if let Some((base, "log")) = offset_of(&path) {
                let size = shelf.disk.size(&path)?;
                self.segments.push_back(shelf.segment(base, size, Kind::Log));
            }
        }
        self.segments.make_contiguous().sort_by_key(|segment| segment.base);
        self.drop_below_start(shelf)
    }

    /// Drops segments that lie below the start.
    fn drop_below_start(&mut self, shelf: &Shelf) -> io::Result<()> {
        while self.segments.len() > 1 && self.segments[1].base <= self.start {
            shelf.doom_segment(&self.folder, &self.segments[0])?;
            self.segments.pop_front();
        }
        Ok(())
    }

    fn check_tail(&mut self, shelf: &Shelf) -> io::Result<()> {
        let last = self.segments.len() - 1;
        let (size, index) = self.check_segment(shelf, last, true)?;
        self.segments[last].size = size;
        self.index = index;
        if size == 0 && last > 0 {
            let (size, index) = self.check_segment(shelf, last - 1, false)?;
            self.segments[last - 1].size = size;
            self.segments[last - 1].summary.set(Some(index.summary));
        }
        Ok(())
    }

    /// Reads a segment and cuts it at the first batch that is not as it was written.
    fn check_segment(&self, shelf: &Shelf, number: usize, gapless: bool) -> io::Result<(u64, Index)> {
        let segment: &Segment = &self.segments[number];
        let below = self.segments.get(number + 1).map_or(i64::MAX, |next| next.base);
        let stretch = Stretch { position: 0, end: segment.size, offset: segment.base, below };
        let file = shelf.file(&self.folder, segment)?;
        let mut index = Index::new(segment.base);
        let mut note = |header: &BatchHeader| {
            if gapless && header.base_offset != index.summary.next_offset {
                let expected = index.summary.next_offset;
                return Err(damaged(format!("offset {} where {expected} follows", header.base_offset)));
            }
            index.note(header, 0);
            Ok(())
        };
        if let Some(why) = check(&file, stretch, &mut note)? {
            let good = index.summary.size;
            let path = segment.path(&self.folder);
            shelf.disk.truncate(&file, good)?;
            shelf.report(&path, good, segment.size - good, format!("{why}; cut off"));
        }
        Ok((index.summary.size, index))
    }
}
