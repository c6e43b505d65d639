//! A batch: records of one partition as bytes, in one arena.
//!
//! 1. All keys, values and headers lie in `data`; an entry holds ranges of it. One allocation serves the batch.
//! 2. Null and empty are kept apart.
//! 3. On the way in `offset` is the record's offset on Kafka; on the way out it is unused.

use std::ops::Range;

use bytes::Bytes;

use super::arena::Arena;
use super::{Headers, Memory, Slice};

/// "null" as the length of a key, value or header value.
const NULL: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Entry {
    offset: i64,
    timestamp: i64,
    start: u32,
    key_len: u32,
    value_len: u32,
    /// Bytes of the encoded headers, which follow the value; 0 where there are none.
    headers_len: u32,
}

impl Entry {
    /// Where the value begins: behind the key.
    #[inline]
    fn value_start(&self) -> u32 {
        self.start + if self.key_len == NULL { 0 } else { self.key_len }
    }
}

/// Records of one partition, in order, as bytes.
///
/// ```
/// use headwater::RecordBatch;
/// let mut batch = RecordBatch::default();
/// batch.push(5, Some(b"key"), None, 0);
/// let record = batch.iter().next().unwrap();
/// assert_eq!((record.key, record.value), (Some(&b"key"[..]), None));
/// ```
#[derive(Clone, Debug, Default)]
pub struct RecordBatch<D = Arena> {
    data: D,
    entries: Vec<Entry>,
    /// Whether a record has a header.
    headers: bool,
}

/// A batch that has arrived: nothing is added any more, and values may share its memory without a copy.
pub type SharedBatch = RecordBatch<Memory>;

/// One record of a batch, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// Offset on Kafka (on the way in).
    pub offset: i64,
    /// Timestamp in milliseconds; -1 where the record has none.
    pub timestamp: i64,
    /// Key bytes, `None` for null.
    pub key: Option<&'a [u8]>,
    /// Value bytes, `None` for null.
    pub value: Option<&'a [u8]>,
    headers: &'a [u8],
}

impl RecordBatch {
    /// An empty batch with room for `records` records of `bytes` bytes in all.
    #[must_use]
    pub fn with_capacity(records: usize, bytes: usize) -> Self {
        Self { data: Arena::with_capacity(bytes), entries: Vec::with_capacity(records), headers: false }
    }

    /// The finished batch, its memory shared from now on; nothing is copied.
    #[must_use]
    pub fn freeze(self) -> SharedBatch {
        RecordBatch { data: Memory::from(Vec::from(self.data)), entries: self.entries, headers: self.headers }
    }

    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.data.clear();
        self.entries.clear();
        self.headers = false;
    }

    /// Appends a record without headers.
    ///
    /// # Panics
    /// If the batch would grow past 4 GiB: whoever fills batches sends them on long before.
    #[inline]
    pub fn push(&mut self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>, offset: i64) {
        let start = low(self.data.len());
        self.data.append_all([key.unwrap_or_default(), value.unwrap_or_default()]);
        let (key_len, value_len) = (key.map_or(NULL, len), value.map_or(NULL, len));
        self.enter(Entry { offset, timestamp, start, key_len, value_len, headers_len: 0 });
    }

    /// Appends a record whose key consists of two parts. For the way out: the offset is 0.
    ///
    /// # Panics
    /// As [`RecordBatch::push`].
    #[inline]
    pub(crate) fn push_parts(&mut self, timestamp: i64, key: [&[u8]; 2], value: Option<&[u8]>) {
        let start = low(self.data.len());
        self.data.append_all([key[0], key[1], value.unwrap_or_default()]);
        let (key_len, value_len) = (low(key[0].len() + key[1].len()), value.map_or(NULL, len));
        self.enter(Entry { offset: 0, timestamp, start, key_len, value_len, headers_len: 0 });
    }

    /// Adds the entry of the bytes that were appended last.
    #[inline]
    fn enter(&mut self, entry: Entry) {
        assert!(self.data.len() < NULL as usize, "a batch stays below 4 GiB");
        self.entries.push(entry);
    }

    /// Appends headers to the record pushed last.
    ///
    /// # Panics
    /// If the batch is empty, or would grow past 4 GiB.
    pub fn push_header(&mut self, name: &str, value: Option<&[u8]>) {
        let before = self.data.len();
        self.data.append(&small(name.len()).to_le_bytes());
        self.data.append(name.as_bytes());
        let value_len = value.map_or(NULL, |bytes| small(bytes.len()));
        self.data.append(&value_len.to_le_bytes());
        self.data.append(value.unwrap_or_default());
        self.headers = true;
        let added = small(self.data.len() - before);
        self.entries.last_mut().expect("a header follows its record").headers_len += added;
    }

    /// Appends all of `headers` to the record pushed last.
    ///
    /// # Panics
    /// As [`RecordBatch::push_header`].
    pub fn push_headers(&mut self, headers: &Headers) {
        for header in headers.as_slice() {
            self.push_header(&header.name, header.value.as_deref());
        }
    }
}

impl<D: AsRef<[u8]>> RecordBatch<D> {
    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all keys, values and headers.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.data.as_ref().len()
    }

    /// The record at `index`.
    ///
    /// # Panics
    /// If there is no such record.
    #[must_use]
    #[inline]
    pub fn get(&self, index: usize) -> RawRecord<'_> {
        let entry = self.entries[index];
        let key_at = entry.start as usize;
        let value_at = entry.value_start() as usize;
        let headers_at = value_at + present(entry.value_len);
        let data = self.data.as_ref();
        RawRecord {
            offset: entry.offset,
            timestamp: entry.timestamp,
            key: (entry.key_len != NULL).then(|| &data[key_at..value_at]),
            value: (entry.value_len != NULL).then(|| &data[value_at..headers_at]),
            headers: &data[headers_at..headers_at + entry.headers_len as usize],
        }
    }

    /// Key bytes of the record at `index`, `None` for null.
    ///
    /// # Panics
    /// As [`RecordBatch::get`].
    #[must_use]
    #[inline]
    pub fn key(&self, index: usize) -> Option<&[u8]> {
        let entry = self.entries[index];
        let start = entry.start as usize;
        (entry.key_len != NULL).then(|| &self.data.as_ref()[start..start + entry.key_len as usize])
    }

    /// Value bytes of the record at `index`, `None` for null.
    ///
    /// # Panics
    /// As [`RecordBatch::get`].
    #[must_use]
    #[inline]
    pub fn value(&self, index: usize) -> Option<&[u8]> {
        let entry = self.entries[index];
        let start = entry.value_start() as usize;
        (entry.value_len != NULL).then(|| &self.data.as_ref()[start..start + entry.value_len as usize])
    }

    /// Timestamp of the record at `index` in milliseconds; -1 where it has none.
    ///
    /// # Panics
    /// As [`RecordBatch::get`].
    #[must_use]
    #[inline]
    pub fn timestamp(&self, index: usize) -> i64 {
        self.entries[index].timestamp
    }

    /// Timestamps of the records at `rows`, as [`RecordBatch::timestamp`].
    ///
    /// # Panics
    /// As [`RecordBatch::get`].
    #[inline]
    pub(crate) fn timestamps(&self, rows: Range<usize>) -> impl Iterator<Item = i64> + '_ {
        self.entries[rows].iter().map(|entry| entry.timestamp)
    }

    /// Whether any of its records has a header.
    #[must_use]
    #[inline]
    pub(crate) fn any_headers(&self) -> bool {
        self.headers
    }

    /// The records in order.
    #[must_use]
    pub fn iter(&self) -> BatchIter<'_, D> {
        BatchIter { batch: self, at: 0 }
    }
}

impl RecordBatch<Memory> {
    /// The memory that all records of the batch lie in.
    #[must_use]
    #[inline]
    pub fn memory(&self) -> &Memory {
        &self.data
    }

    /// Keys of the records at `rows`, up to the first that is null; they share the batch's memory.
    ///
    /// # Panics
    /// As [`RecordBatch::get`].
    #[inline]
    pub(crate) fn key_slices(&self, rows: Range<usize>) -> impl Iterator<Item = Slice> + '_ {
        let rows = &self.entries[rows];
        let present = rows.iter().take_while(|entry| entry.key_len != NULL).count();
        rows[..present].iter().map(|entry| self.data.part(entry.start, entry.key_len))
    }

    /// Values of the records at `rows`, up to the first that is null; they share the batch's memory.
    ///
    /// # Panics
    /// As [`RecordBatch::get`].
    #[inline]
    pub(crate) fn value_slices(&self, rows: Range<usize>) -> impl Iterator<Item = Slice> + '_ {
        let rows = &self.entries[rows];
        let present = rows.iter().take_while(|entry| entry.value_len != NULL).count();
        rows[..present].iter().map(|entry| self.data.part(entry.value_start(), entry.value_len))
    }
}

impl<'a, D: AsRef<[u8]>> IntoIterator for &'a RecordBatch<D> {
    type Item = RawRecord<'a>;
    type IntoIter = BatchIter<'a, D>;

    fn into_iter(self) -> BatchIter<'a, D> {
        self.iter()
    }
}

impl<'a> RawRecord<'a> {
    /// Bytes of key, value and headers.
    #[must_use]
    pub fn byte_len(&self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + self.headers.len()
    }

    /// Whether the record has a header.
    #[must_use]
    pub fn has_headers(&self) -> bool {
        !self.headers.is_empty()
    }

    /// The headers as name and value, in order, borrowed.
    pub fn headers(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let mut rest = self.headers;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let name = take(&mut rest).unwrap_or_default();
            let value = take(&mut rest);
            Some((std::str::from_utf8(name).unwrap_or_default(), value))
        })
    }

    /// The headers, copied.
    #[must_use]
    pub fn to_headers(&self) -> Headers {
        let mut headers = Headers::default();
        for (name, value) in self.headers() {
            headers.push(name, value);
        }
        headers
    }

    /// Key and value, copied: for a dead letter or a test.
    #[must_use]
    pub fn to_bytes(&self) -> (Option<Bytes>, Option<Bytes>) {
        (self.key.map(Bytes::copy_from_slice), self.value.map(Bytes::copy_from_slice))
    }
}

/// Iterator over the records of a batch.
#[derive(Debug)]
pub struct BatchIter<'a, D = Arena> {
    batch: &'a RecordBatch<D>,
    at: usize,
}

impl<'a, D: AsRef<[u8]>> Iterator for BatchIter<'a, D> {
    type Item = RawRecord<'a>;

    fn next(&mut self) -> Option<RawRecord<'a>> {
        (self.at < self.batch.len()).then(|| {
            self.at += 1;
            self.batch.get(self.at - 1)
        })
    }
}

#[inline]
fn present(len: u32) -> usize {
    if len == NULL { 0 } else { len as usize }
}

/// A length or place within a batch, whose end is checked where an entry is added.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "checked at the end of the batch")]
fn low(place: usize) -> u32 {
    place as u32
}

#[inline]
fn len(bytes: &[u8]) -> u32 {
    low(bytes.len())
}

#[inline]
fn small(len: usize) -> u32 {
    u32::try_from(len).ok().filter(|len| *len != NULL).expect("a batch stays below 4 GiB")
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, tail) = rest.split_at(4);
    let len = u32::from_le_bytes([len[0], len[1], len[2], len[3]]);
    let (bytes, tail) = tail.split_at(present(len));
    *rest = tail;
    (len != NULL).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_empty_stay_apart_with_headers() {
        let mut batch = RecordBatch::default();
        batch.push(1, None, Some(b""), 10);
        batch.push_header("a", None);
        batch.push_header("a", Some(b""));
        batch.push_header("b", Some(b"xy"));
        batch.push(2, Some(b""), None, 11);
        let first = batch.get(0);
        assert_eq!((first.offset, first.timestamp, first.key, first.value), (10, 1, None, Some(&b""[..])));
        let headers: Vec<_> = first.headers().collect();
        assert_eq!(headers, [("a", None), ("a", Some(&b""[..])), ("b", Some(&b"xy"[..]))]);
        assert_eq!(first.to_headers().last("b"), Some(&b"xy"[..]));
        let second = batch.get(1);
        assert_eq!((second.key, second.value, second.has_headers()), (Some(&b""[..]), None, false));
    }
}
