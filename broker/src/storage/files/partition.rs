//! The segments of one partition, and how batches are found in them.
//!
//! 1. Segments stand in order of offset, and the last one is *active*: appends go there. Between two batches
//!    offsets may be missing (compaction), never out of order.
//! 2. A reader that goes on where it stopped costs one read: cursors remember what follows the last reads.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;

use super::handles::Serial;
use super::index::{Index, Summary};
use super::replace::Rewrite;
use super::segment::{Segment, Shelf};
use super::walk::{Stretch, Walk, damaged, read_at, read_batch};
use crate::batch::{Batch, BatchHeader};
use crate::storage::Unit;

/// Readers of one partition that are remembered.
const CURSORS: usize = 4;
/// What is read at a time; a larger batch is read at once.
const CHUNK_BYTES: usize = 4 << 20;
/// Less is not worth a read.
const CHUNK_LEAST: usize = 4 << 10;

/// A segment, an offset, and where in it the batch that contains or follows the offset starts.
type Cursor = (Serial, i64, u64);

/// One partition's files.
#[derive(Debug)]
pub(super) struct Partition {
    pub(super) folder: PathBuf,
    pub(super) start: i64,
    pub(super) cleaned: i64,
    pub(super) segments: VecDeque<Segment>,
    /// Of the active segment.
    pub(super) index: Index,
    /// Whether the active segment has bytes behind its last batch that could not be cut off.
    pub(super) torn: bool,
    pub(super) unflushed: Unflushed,
    pub(super) rewrite: Option<Rewrite>,
    pub(super) cursors: RefCell<VecDeque<Cursor>>,
}

/// What was appended and is not durable yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Unflushed {
    pub(super) records: i64,
    /// When the oldest of it was appended.
    pub(super) since: Option<i64>,
}

/// Batches that were found, and how far to go.
struct Found {
    batches: Vec<Bytes>,
    bytes: usize,
    max_bytes: usize,
    end: i64,
    full: bool,
}

impl Partition {
    pub(super) fn end(&self) -> i64 {
        self.index.summary.next_offset
    }

    pub(super) fn size(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    pub(super) fn active(&self) -> &Segment {
        self.segments.back().expect("a partition has a segment from the start")
    }

    /// Number of the segment that an offset belongs to.
    fn segment_of(&self, offset: i64) -> usize {
        self.segments.partition_point(|segment| segment.base <= offset).saturating_sub(1)
    }

    /// The offset that all of a segment lies below. What claims to stand behind the end is damaged, too: who took it
    /// for what comes next would wait for ever.
    fn below(&self, number: usize) -> i64 {
        self.segments.get(number + 1).map_or(self.end(), |next| next.base)
    }

    fn stretch(&self, number: usize, (position, offset): (u64, i64)) -> Stretch {
        Stretch { position, end: self.segments[number].size, offset, below: self.below(number) }
    }

    /// Runs `ask` on the index of a segment.
    fn with_index<T>(&self, shelf: &Shelf, number: usize, ask: impl Fn(&Index) -> T) -> io::Result<T> {
        if number + 1 == self.segments.len() {
            return Ok(ask(&self.index));
        }
        let segment = &self.segments[number];
        Ok(ask(&*shelf.index(&self.folder, segment, self.below(number))?))
    }

    fn summary(&self, shelf: &Shelf, number: usize) -> io::Result<Summary> {
        if number + 1 == self.segments.len() {
            return Ok(self.index.summary);
        }
        shelf.summary(&self.folder, &self.segments[number], self.below(number))
    }

    /// A walk that starts at or before the batch that contains or follows an offset.
    fn seek(&self, shelf: &Shelf, number: usize, offset: i64) -> io::Result<(Arc<File>, Stretch)> {
        let segment = &self.segments[number];
        let floor = self.with_index(shelf, number, |index| index.floor(offset))?;
        let from = floor.unwrap_or((0, segment.base));
        Ok((shelf.file(&self.folder, segment)?, self.stretch(number, from)))
    }

    /// Where the batch that contains or follows an offset starts in a segment; `None` when there is none.
    fn locate(&self, shelf: &Shelf, number: usize, offset: i64) -> io::Result<Option<Stretch>> {
        let segment = &self.segments[number];
        if segment.size == 0 {
            return Ok(None);
        }
        let remembered = |cursor: &&Cursor| (cursor.0, cursor.1) == (segment.serial, offset);
        if let Some(cursor) = self.cursors.borrow().iter().find(remembered) {
            let stretch = self.stretch(number, (cursor.2, offset));
            return Ok((stretch.position < stretch.end).then_some(stretch));
        }
        let (file, stretch) = self.seek(shelf, number, offset)?;
        let mut walk = Walk::new(&file, stretch);
        let mut before = walk.at;
        while let Some((_, header)) = walk.next()? {
            if header.last_offset() >= offset {
                return Ok(Some(before));
            }
            before = walk.at;
        }
        Ok(None)
    }

    fn remember(&self, cursor: Cursor) {
        let mut cursors = self.cursors.borrow_mut();
        if !cursors.contains(&cursor) {
            cursors.truncate(CURSORS - 1);
            cursors.push_front(cursor);
        }
    }

    pub(super) fn read(
        &self,
        shelf: &Shelf,
        offsets: Range<i64>,
        max_bytes: usize,
    ) -> io::Result<Vec<Bytes>> {
        let mut found = Found { batches: Vec::new(), bytes: 0, max_bytes, end: offsets.end, full: false };
        let mut next = offsets.start;
        for number in self.segment_of(offsets.start)..self.segments.len() {
            if found.full || self.segments[number].base >= offsets.end {
                break;
            }
            match self.read_segment(shelf, number, &mut next, &mut found) {
                Ok(()) => {}
                // What was read is good; the reader comes again for the rest.
                Err(_) if !found.batches.is_empty() => break,
                Err(error) => {
                    let path = self.segments[number].path(&self.folder);
                    if error.kind() == io::ErrorKind::InvalidData {
                        shelf.report(&path, 0, 0, format!("nothing can be read at offset {next}: {error}"));
                    }
                    return Err(error);
                }
            }
        }
        Ok(found.batches)
    }

    fn read_segment(
        &self,
        shelf: &Shelf,
        number: usize,
        next: &mut i64,
        found: &mut Found,
    ) -> io::Result<()> {
        let segment = &self.segments[number];
        let Some(mut at) = self.locate(shelf, number, *next)? else { return Ok(()) };
        let file = shelf.file(&self.folder, segment)?;
        while at.position < at.end && !found.full {
            let room = found.max_bytes.saturating_sub(found.bytes);
            if room == 0 && !found.batches.is_empty() {
                break;
            }
            let left = usize::try_from(at.end - at.position).unwrap_or(usize::MAX);
            let mut chunk = read_at(&file, at.position, left.min(room.clamp(CHUNK_LEAST, CHUNK_BYTES)))?;
            if let Ok(header) = BatchHeader::peek(&chunk)
                && header.size() > chunk.len()
                && header.size() <= left
            {
                chunk = read_at(&file, at.position, header.size())?;
            }
            let before = at;
            found.take(&chunk, &mut at)?;
            *next = at.offset;
            if at.position == before.position {
                break;
            }
        }
        self.remember((segment.serial, at.offset, at.position));
        Ok(())
    }

    /// Visits headers from the batch that contains or follows `from` on, with the bytes of control batches.
    pub(super) fn walk(
        &self,
        shelf: &Shelf,
        from: i64,
        visit: &mut dyn FnMut(&BatchHeader, &[u8]),
    ) -> io::Result<()> {
        for number in self.segment_of(from)..self.segments.len() {
            let segment = &self.segments[number];
            if segment.size == 0 {
                continue;
            }
            let (file, stretch) = self.seek(shelf, number, from)?;
            let mut walk = Walk::new(&file, stretch);
            loop {
                match walk.next() {
                    Ok(None) => break,
                    Ok(Some((_, header))) if header.last_offset() < from => {}
                    Ok(Some((_, header))) if !header.is_control() => visit(&header, &[]),
                    Ok(Some((position, header))) => match read_batch(&file, position, &header) {
                        Ok(bytes) => visit(&header, &bytes),
                        Err(error) => self.skip_damage(shelf, number, position, error)?,
                    },
                    Err(error) => {
                        let position = walk.at.position;
                        self.skip_damage(shelf, number, position, error)?;
                        // The index may know a batch further on.
                        let after = self.with_index(shelf, number, |index| index.after(position))?;
                        let Some(after) = after else { break };
                        walk = Walk::new(&file, self.stretch(number, after));
                    }
                }
            }
        }
        Ok(())
    }

    fn skip_damage(&self, shelf: &Shelf, number: usize, position: u64, error: io::Error) -> io::Result<()> {
        if error.kind() != io::ErrorKind::InvalidData {
            return Err(error);
        }
        let segment = &self.segments[number];
        let what = format!("{error}; it stays as it is, and cannot be read");
        shelf.report(&segment.path(&self.folder), position, segment.size - position, what);
        Ok(())
    }

    pub(super) fn find_time(
        &self,
        shelf: &Shelf,
        offsets: Range<i64>,
        time: i64,
    ) -> io::Result<Option<Bytes>> {
        for number in self.segment_of(offsets.start)..self.segments.len() {
            let segment = &self.segments[number];
            if segment.base >= offsets.end {
                break;
            }
            if segment.size == 0 || self.summary(shelf, number)?.newest_data_ms < time {
                continue;
            }
            let floor = self.with_index(shelf, number, |index| index.time_floor(time))?;
            let from = floor.unwrap_or(segment.base).max(offsets.start);
            let (file, stretch) = self.seek(shelf, number, from)?;
            let mut walk = Walk::new(&file, stretch);
            while let Some((position, header)) = walk.next()? {
                if header.base_offset >= offsets.end {
                    return Ok(None);
                }
                let wanted = !header.is_control() && header.max_timestamp >= time;
                if wanted && header.last_offset() >= offsets.start {
                    return read_batch(&file, position, &header).map(Some);
                }
            }
        }
        Ok(None)
    }

    pub(super) fn newest_time(&self, shelf: &Shelf, below: i64) -> io::Result<Option<i64>> {
        let mut newest = i64::MIN;
        for number in 0..self.segments.len() {
            if self.segments[number].base >= below {
                break;
            }
            let summary = self.summary(shelf, number)?;
            if summary.next_offset <= below {
                newest = newest.max(summary.newest_data_ms);
                continue;
            }
            let file = shelf.file(&self.folder, &self.segments[number])?;
            let mut walk = Walk::new(&file, self.stretch(number, (0, self.segments[number].base)));
            while let Some((_, header)) = walk.next()? {
                if header.last_offset() >= below {
                    break;
                }
                if !header.is_control() {
                    newest = newest.max(header.max_timestamp);
                }
            }
        }
        Ok((newest > i64::MIN).then_some(newest))
    }

    pub(super) fn units(&self, shelf: &Shelf, visit: &mut dyn FnMut(&Unit) -> bool) -> io::Result<()> {
        for (number, segment) in self.segments.iter().enumerate() {
            let open = number + 1 == self.segments.len();
            if open && segment.size == 0 {
                break;
            }
            let summary = self.summary(shelf, number)?;
            let unit = Unit {
                first_offset: segment.base,
                end_offset: if open { summary.next_offset } else { self.below(number) },
                bytes: segment.size,
                oldest_ms: summary.oldest_ms,
                newest_ms: summary.newest_ms,
                control: summary.only_control,
                open,
            };
            if !visit(&unit) {
                break;
            }
        }
        Ok(())
    }
}

impl Found {
    /// Takes whole batches off the front of a chunk; what is damaged is an error unless something was found
    /// before it.
    fn take(&mut self, chunk: &Bytes, at: &mut Stretch) -> io::Result<()> {
        let mut from = 0;
        while from < chunk.len() {
            let rest = &chunk[from..];
            let cut_by_chunk = at.position + (rest.len() as u64) < at.end;
            let header = match BatchHeader::peek(rest) {
                Ok(header) if header.size() > rest.len() && cut_by_chunk && from > 0 => return Ok(()),
                Ok(header) => header,
                Err(_) if rest.len() < crate::batch::HEADER_BYTES && cut_by_chunk => return Ok(()),
                Err(error) => return Err(damaged(error.to_string())),
            };
            let mut next = *at;
            next.pass(&header)?;
            let too_much = !self.batches.is_empty() && self.bytes + header.size() > self.max_bytes;
            if header.base_offset >= self.end || too_much {
                self.full = true;
                return Ok(());
            }
            let batch = Batch::parse(rest).map_err(|error| damaged(error.to_string()))?;
            batch.verify().map_err(|error| damaged(error.to_string()))?;
            self.batches.push(chunk.slice(from..from + header.size()));
            self.bytes += header.size();
            from += header.size();
            *at = next;
        }
        Ok(())
    }
}
