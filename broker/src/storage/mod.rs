//! Storage: the port through which partition logs keep their batches, and find them again.
//!
//! A log is known by topic id and partition. Storage knows where its batches lie, by offset and by time; what
//! follows from their content (producers, transactions, leader epochs) is the log's, which may leave
//! *snapshots* of it here so that it need not read everything again.
//!
//! 1. What was appended without an error is there after [`Storage::open`], however the process ended. What a
//!    power cut may take is said by the medium: see [`files`].
//! 2. An append that failed leaves nothing behind.
//! 3. A batch that is not what was appended is never handed out: reading it is an error of kind
//!    [`io::ErrorKind::InvalidData`].

pub mod files;
mod memory;

use std::fmt;
use std::io;
use std::ops::Range;

use bytes::Bytes;

use crate::api::TopicId;
use crate::batch::BatchHeader;

pub use memory::MemoryStorage;

/// A journal is rewritten when it is so many times as long as it was after the last time, ...
const JOURNAL_GROWTH: u64 = 4;
/// ... and at least so long.
const JOURNAL_LEAST_BYTES: u64 = 1 << 20;

/// Which log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// Its topic.
    pub topic: TopicId,
    /// Its partition.
    pub partition: i32,
}

/// A batch with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// Its header, with the base offset that the log has given it.
    pub header: BatchHeader,
    /// All its bytes, header included.
    pub bytes: Bytes,
}

/// How a log is kept, from its topic's settings, and the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepRules {
    /// `segment.bytes`: a segment that would grow beyond it is closed.
    pub segment_bytes: u64,
    /// `segment.ms`: a segment whose first batch is so much older than the one to append is closed.
    pub segment_ms: i64,
    /// `index.interval.bytes`: so many bytes lie between two entries of an index at least.
    pub index_interval_bytes: u64,
    /// `flush.messages`: after so many records the medium is told to make them durable.
    pub flush_messages: i64,
    /// `flush.ms`: after so long it is told, too.
    pub flush_ms: i64,
    /// Now.
    pub now: i64,
}

impl KeepRules {
    /// Whether anything is to be made durable at all.
    #[must_use]
    pub fn flushes(&self) -> bool {
        self.flush_messages < i64::MAX || self.flush_ms < i64::MAX
    }
}

/// What storage knows about a log that it opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Opened {
    /// Where the log starts, as [`Storage::truncate_front`] last said; 0 for a new log.
    pub start: i64,
    /// The offset after the last batch.
    pub end: i64,
    /// Up to where it was compacted, as [`Storage::save_cleaned`] last said.
    pub cleaned: i64,
}

/// What storage removes or rewrites as one piece: a segment in files, a batch in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Where it starts.
    pub first_offset: i64,
    /// Where the next one starts, or the log ends.
    pub end_offset: i64,
    /// Bytes of its batches.
    pub bytes: u64,
    /// Largest time stamp of its first batch.
    pub oldest_ms: i64,
    /// Largest time stamp of all its batches.
    pub newest_ms: i64,
    /// Whether all that it holds is markers.
    pub control: bool,
    /// Whether appends still go into it. Such a unit can be removed, not rewritten.
    pub open: bool,
}

/// Something that was found damaged, and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Which file.
    pub file: String,
    /// From which byte on.
    pub position: u64,
    /// How many bytes; 0 when it concerns all of it.
    pub bytes: u64,
    /// What is wrong with them, and what was done.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bytes {
            0 => write!(f, "{}: {}", self.file, self.what),
            bytes => write!(f, "{}: {bytes} bytes from byte {}: {}", self.file, self.position, self.what),
        }
    }
}

/// Keeps logs. The caller opens a log before anything else, appends in order of base offsets and never hands
/// in a malformed batch.
///
/// An error makes the request fail with `KAFKA_STORAGE_ERROR` (`CORRUPT_MESSAGE` for
/// [`io::ErrorKind::InvalidData`]); unless a method says otherwise everything is then as before.
pub trait Storage: Send {
    /// Opens a log as a crash, or an orderly end, has left it; makes it when there is none. May be called
    /// again at any time: what is known in memory only is then forgotten.
    ///
    /// # Errors
    /// Whatever the medium answers.
    fn open(&mut self, log: LogId, topic: &str) -> io::Result<Opened>;

    /// Adds a batch at the end of a log. Says whether a new segment begins with it: then a snapshot of what
    /// came before is welcome.
    ///
    /// # Errors
    /// Whatever the medium answers; nothing is left behind.
    fn append(&mut self, log: LogId, batch: StoredBatch, rules: &KeepRules) -> io::Result<bool>;

    /// Reads whole batches in order, from the one that contains or follows `offsets.start` on, with base
    /// offsets below `offsets.end`: the first always, more as long as the sum stays within `max_bytes`.
    /// Nothing means that there is nothing; the medium may return less than there is room for.
    ///
    /// # Errors
    /// Whatever the medium answers; [`io::ErrorKind::InvalidData`] when the first batch is damaged.
    fn read(&self, log: LogId, offsets: Range<i64>, max_bytes: usize) -> io::Result<Vec<Bytes>>;

    /// Visits the headers of all batches from the one that contains or follows `from` on, with the batch's
    /// bytes if it is a control batch (nothing else says what a marker decided).
    ///
    /// # Errors
    /// Whatever the medium answers. What is damaged is left out and reported.
    fn walk(&self, log: LogId, from: i64, visit: &mut dyn FnMut(&BatchHeader, &[u8])) -> io::Result<()>;

    /// The first batch of data within `offsets` (as for [`Storage::read`]) that has a record of this time or
    /// a later one.
    ///
    /// # Errors
    /// As [`Storage::read`].
    fn find_time(&self, log: LogId, offsets: Range<i64>, time: i64) -> io::Result<Option<Bytes>>;

    /// The largest time stamp of the batches of data that lie wholly below an offset.
    ///
    /// # Errors
    /// Whatever the medium answers.
    fn newest_time(&self, log: LogId, below: i64) -> io::Result<Option<i64>>;

    /// Bytes of all batches.
    fn size(&self, log: LogId) -> u64;

    /// Visits the units of a log from the front, until `visit` says `false`.
    ///
    /// # Errors
    /// Whatever the medium answers.
    fn units(&self, log: LogId, visit: &mut dyn FnMut(&Unit) -> bool) -> io::Result<()>;

    /// Records that the log starts at `start` and frees the units wholly below. Once the start is recorded
    /// this succeeds: what could not be freed is freed later.
    ///
    /// # Errors
    /// Whatever the medium answers.
    fn truncate_front(&mut self, log: LogId, start: i64) -> io::Result<()>;

    /// Closes the unit that appends go into, so that it can be rewritten.
    ///
    /// # Errors
    /// Whatever the medium answers.
    fn close_unit(&mut self, log: LogId) -> io::Result<()>;

    /// Begins to rewrite the closed units that fill `offsets` exactly; there is one rewrite per log at a
    /// time. Readers see nothing of it before [`Storage::commit_rewrite`], appends go on.
    ///
    /// # Errors
    /// Whatever the medium answers.
    fn begin_rewrite(&mut self, log: LogId, offsets: Range<i64>) -> io::Result<()>;

    /// Adds batches to the rewrite under way.
    ///
    /// # Errors
    /// Whatever the medium answers; the rewrite must then be aborted.
    fn rewrite(&mut self, log: LogId, batches: Vec<StoredBatch>) -> io::Result<()>;

    /// Puts what was written in the place of the units: all of it or, after an error or a crash, nothing.
    /// Of the snapshots of this log only this one is left: the offset, and the bytes.
    ///
    /// # Errors
    /// Whatever the medium answers; the rewrite must then be aborted.
    fn commit_rewrite(&mut self, log: LogId, snapshot: (i64, &[u8])) -> io::Result<()>;

    /// Drops the rewrite under way, if there is one.
    fn abort_rewrite(&mut self, log: LogId);

    /// Remembers up to where the log was compacted. It is a hint: a crash may lose it.
    ///
    /// # Errors
    /// Whatever the medium answers.
    fn save_cleaned(&mut self, log: LogId, offset: i64) -> io::Result<()>;

    /// Keeps what the log knows about everything below an offset. It is a hint: a crash may lose it.
    ///
    /// # Errors
    /// Whatever the medium answers.
    fn save_snapshot(&mut self, log: LogId, offset: i64, state: &[u8]) -> io::Result<()>;

    /// The snapshots that are kept, the latest first.
    ///
    /// # Errors
    /// Whatever the medium answers.
    fn snapshots(&self, log: LogId) -> io::Result<Vec<(i64, Vec<u8>)>>;

    /// Forgets a log, open or not.
    ///
    /// # Errors
    /// Whatever the medium answers.
    fn remove(&mut self, log: LogId, topic: &str) -> io::Result<()>;

    /// Adds an entry to the journal: what the broker knows beside its logs is what the entries say, in order.
    ///
    /// # Errors
    /// Whatever the medium answers; nothing is left behind.
    fn journal_append(&mut self, entry: &[u8]) -> io::Result<()>;

    /// Visits all entries of the journal, as a crash or an orderly end has left it.
    ///
    /// # Errors
    /// Whatever the medium answers. What is damaged is left out and reported.
    fn journal_replay(&mut self, visit: &mut dyn FnMut(&[u8])) -> io::Result<()>;

    /// Whether the journal has grown to a multiple of what it was when it was last rewritten.
    fn journal_is_long(&self) -> bool;

    /// Puts these entries in the place of all others.
    ///
    /// # Errors
    /// Whatever the medium answers.
    fn journal_rewrite(&mut self, entries: &mut dyn Iterator<Item = Vec<u8>>) -> io::Result<()>;

    /// Does what is due: makes durable what [`KeepRules::flush_ms`] promises, frees what was removed.
    fn upkeep(&mut self, _now: i64) {}

    /// When [`Storage::upkeep`] has something to do; a time that has passed is now.
    fn next_upkeep(&self) -> Option<i64> {
        None
    }

    /// Ends in order, so that the next start has nothing to find out.
    ///
    /// # Errors
    /// Whatever the medium answers; the next start then reads more.
    fn close(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// What was found damaged since the last call.
    fn take_damages(&mut self) -> Vec<Damage> {
        Vec::new()
    }
}
