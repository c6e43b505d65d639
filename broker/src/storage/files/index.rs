//! The index of a segment: where some of its batches lie, and how new what lies before them is.
//!
//! ```text
//! .index      offset i64, position u32                          one entry at least every index.interval.bytes
//! .timeindex  largest time stamp of the data before it i64, offset i64             for the same batches
//! both end with: size of the segment u64, next offset i64, oldest i64, newest i64, newest data i64,
//!                flags u32, number of entries u32, CRC-32C of all before u32            (big endian)
//! ```
//! 1. It is kept in memory while the segment is appended to, and written when the segment is closed. For a
//!    closed segment it is read when it is needed.
//! 2. It is a hint. One whose checksum is wrong, or that belongs to a segment of another size, is as good as
//!    none: the segment's headers are read, and it is made again.
//! 3. What is appended after it was read from its files has an entry of its own: it is found whatever has become of
//!    what lies before it.
//! 4. It has a bounded number of entries: when they are full every second goes, and the interval doubles.

use crate::batch::BatchHeader;

/// Most entries: 48 KiB in memory. A segment of 1 GiB then has one every 512 KiB to 1 MiB.
const ENTRIES_MAX: usize = 2_048;
const FOOTER_BYTES: usize = 52;
const ONLY_CONTROL: u32 = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    offset: i64,
    position: u64,
    /// Largest time stamp of the data before this batch.
    newer_than: i64,
}

/// What is known of a segment as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// Bytes of its batches.
    pub(super) size: u64,
    /// The offset after its last batch; its base offset when it is empty.
    pub(super) next_offset: i64,
    /// Largest time stamp of its first batch.
    pub(super) oldest_ms: i64,
    /// Largest time stamp of all its batches.
    pub(super) newest_ms: i64,
    /// Largest time stamp of its batches of data, or `i64::MIN`.
    pub(super) newest_data_ms: i64,
    pub(super) only_control: bool,
}

/// The index of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    entries: Vec<Entry>,
    interval: u64,
    /// Whether the next batch gets an entry in any case.
    resumes: bool,
    pub(super) summary: Summary,
}

impl Index {
    pub(super) fn new(base: i64) -> Self {
        let summary = Summary {
            size: 0,
            next_offset: base,
            oldest_ms: i64::MAX,
            newest_ms: i64::MIN,
            newest_data_ms: i64::MIN,
            only_control: true,
        };
        Self { entries: Vec::new(), interval: 0, resumes: false, summary }
    }

    /// Takes the batch that was appended to the segment.
    pub(super) fn note(&mut self, header: &BatchHeader, interval: u64) {
        let summary = &mut self.summary;
        let since = self.entries.last().map(|last| summary.size - last.position);
        if since.is_none_or(|since| since >= self.interval.max(interval)) || self.resumes {
            self.resumes = false;
            if self.entries.len() == ENTRIES_MAX {
                self.thin_out();
            }
            self.entries.push(Entry {
                offset: header.base_offset,
                position: self.summary.size,
                newer_than: self.summary.newest_data_ms,
            });
        }
        let summary = &mut self.summary;
        if summary.size == 0 {
            summary.oldest_ms = header.max_timestamp;
        }
        summary.size += header.size() as u64;
        summary.next_offset = header.next_offset();
        summary.newest_ms = summary.newest_ms.max(header.max_timestamp);
        if !header.is_control() {
            summary.only_control = false;
            summary.newest_data_ms = summary.newest_data_ms.max(header.max_timestamp);
        }
    }

    fn thin_out(&mut self) {
        let mut keep = false;
        self.entries.retain(|_| {
            keep = !keep;
            keep
        });
        let room = self.summary.size / ENTRIES_MAX as u64;
        self.interval = self.interval.max(room) * 2;
    }

    /// Position from which to look for the batch that contains or follows an offset, and its offset.
    pub(super) fn floor(&self, offset: i64) -> Option<(u64, i64)> {
        let after = self.entries.partition_point(|entry| entry.offset <= offset);
        let entry = self.entries.get(after.saturating_sub(1))?;
        Some((entry.position, entry.offset))
    }

    /// The first offset from which on to look for a batch of data with this time or a later one.
    pub(super) fn time_floor(&self, time: i64) -> Option<i64> {
        let after = self.entries.partition_point(|entry| entry.newer_than < time);
        self.entries.get(after.saturating_sub(1)).map(|entry| entry.offset)
    }

    /// The entry after `position`, to go on behind a damaged batch.
    pub(super) fn after(&self, position: u64) -> Option<(u64, i64)> {
        let after = self.entries.partition_point(|entry| entry.position <= position);
        self.entries.get(after).map(|entry| (entry.position, entry.offset))
    }

    /// What the files `.index` and `.timeindex` hold.
    pub(super) fn encode(&self) -> [Vec<u8>; 2] {
        let mut places = Vec::with_capacity(self.entries.len() * 12 + FOOTER_BYTES);
        let mut times = Vec::with_capacity(self.entries.len() * 16 + FOOTER_BYTES);
        for entry in &self.entries {
            places.extend_from_slice(&entry.offset.to_be_bytes());
            let position = u32::try_from(entry.position).expect("segment.bytes is at most 2 GiB");
            places.extend_from_slice(&position.to_be_bytes());
            times.extend_from_slice(&entry.newer_than.to_be_bytes());
            times.extend_from_slice(&entry.offset.to_be_bytes());
        }
        [self.finish(places), self.finish(times)]
    }

    fn finish(&self, mut out: Vec<u8>) -> Vec<u8> {
        let summary = &self.summary;
        out.extend_from_slice(&summary.size.to_be_bytes());
        for number in [summary.next_offset, summary.oldest_ms, summary.newest_ms, summary.newest_data_ms] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        let flags = if summary.only_control { ONLY_CONTROL } else { 0 };
        out.extend_from_slice(&flags.to_be_bytes());
        let count = u32::try_from(self.entries.len()).expect("entries are bounded");
        out.extend_from_slice(&count.to_be_bytes());
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    /// Reads the two files of a segment of this size.
    pub(super) fn decode(places: &[u8], times: &[u8], size: u64) -> Option<Self> {
        let (places, summary, count) = take_footer(places, 12)?;
        let (times, same, _) = take_footer(times, 16).filter(|(_, _, other)| *other == count)?;
        if summary != same || summary.size != size {
            return None;
        }
        let entry = |(place, time): (&[u8], &[u8])| {
            let (offset, position) = (i64_at(place, 0)?, u32_at(place, 8)?);
            let entry = Entry { offset, position: u64::from(position), newer_than: i64_at(time, 0)? };
            (i64_at(time, 8)? == offset).then_some(entry)
        };
        let entries = places.chunks(12).zip(times.chunks(16)).map(entry).collect::<Option<Vec<Entry>>>()?;
        Some(Self { entries, interval: size / ENTRIES_MAX as u64, resumes: true, summary })
    }
}

fn take_footer(bytes: &[u8], entry_bytes: usize) -> Option<(&[u8], Summary, usize)> {
    let (entries, footer) = bytes.split_at_checked(bytes.len().checked_sub(FOOTER_BYTES)?)?;
    let (content, crc) = bytes.split_at_checked(bytes.len() - 4)?;
    if u32_at(crc, 0)? != crc32c::crc32c(content) {
        return None;
    }
    let summary = Summary {
        size: i64_at(footer, 0)?.cast_unsigned(),
        next_offset: i64_at(footer, 8)?,
        oldest_ms: i64_at(footer, 16)?,
        newest_ms: i64_at(footer, 24)?,
        newest_data_ms: i64_at(footer, 32)?,
        only_control: u32_at(footer, 40)? & ONLY_CONTROL != 0,
    };
    let count = usize::try_from(u32_at(footer, 44)?).ok()?;
    (entries.len() == count * entry_bytes).then_some((entries, summary, count))
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    Some(i64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{ENTRIES_MAX, Index};
    use crate::batch::{BatchHeader, BatchOptions, Record, encode};

    fn header(offset: i64, time: i64) -> BatchHeader {
        let options = BatchOptions { base_offset: offset, ..BatchOptions::default() };
        BatchHeader::parse(&encode(&options, [Record::new(time, None, Some(b"value"))])).unwrap()
    }

    fn index(batches: i64, interval: u64) -> Index {
        let mut index = Index::new(10);
        for i in 0..batches {
            index.note(&header(10 + i, i % 100), interval);
        }
        index
    }

    #[test]
    fn places_are_found_and_come_back_from_files() {
        let size = header(0, 0).size() as u64;
        for (batches, interval) in [(0, 0), (1, 0), (100, 0), (100, 3 * size), (10_000, 0)] {
            let index = index(batches, interval);
            assert!(index.entries.len() <= ENTRIES_MAX);
            for offset in 10..10 + batches {
                let (position, floor) = index.floor(offset).unwrap();
                assert!(floor <= offset && position == (floor.cast_unsigned() - 10) * size);
            }
            let [places, times] = index.encode();
            let read = Index::decode(&places, &times, index.summary.size).unwrap();
            assert_eq!((&read.entries, read.summary), (&index.entries, index.summary));
            assert_eq!(Index::decode(&places, &times, index.summary.size + 1), None);
        }
    }

    #[test]
    fn times_are_found_in_front_of_the_first_that_is_new_enough() {
        let index = index(300, 0);
        for (time, first) in [(-1, 10), (0, 10), (50, 60), (99, 109)] {
            assert_eq!(index.time_floor(time), Some(first), "{time}");
        }
        assert_eq!(index.time_floor(100), Some(309), "only the last batch may be newer");
    }

    #[test]
    fn a_flipped_or_missing_byte_is_noticed() {
        let index = index(20, 0);
        let [places, times] = index.encode();
        let size = index.summary.size;
        for at in 0..places.len() {
            let mut flipped = places.clone();
            flipped[at] ^= 0x10;
            assert_eq!(Index::decode(&flipped, &times, size), None, "byte {at}");
            assert_eq!(Index::decode(&places[..at], &times, size), None, "cut at {at}");
        }
        for at in 0..times.len() {
            let mut flipped = times.clone();
            flipped[at] ^= 0x10;
            assert_eq!(Index::decode(&places, &flipped, size), None, "byte {at}");
        }
    }
}
