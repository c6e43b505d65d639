//! A record: time stamp, key, value and headers, borrowed from the batch that holds it.
//!
//! A null key or value (`None`) is something else than an empty one. Headers keep their order and may repeat
//! a key; a header's value may be null, its key may not.

use super::BatchError;
use super::header::{BatchHeader, Compression, TimestampType};
use super::varint::{put_varint, take_varint, take_varlong, varint_len};

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its place in the partition. Ignored when a batch is built: the broker decides.
    pub offset: i64,
    /// Milliseconds since 1970, UTC.
    pub timestamp: i64,
    /// Its key, or `None` for null.
    pub key: Option<&'a [u8]>,
    /// Its value, or `None` for null (a tombstone, in a compacted topic).
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Headers<'a>,
}

impl<'a> Record<'a> {
    /// A record without headers.
    #[must_use]
    pub fn new(timestamp: i64, key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Self {
        Self { offset: 0, timestamp, key, value, headers: Headers::NONE }
    }

    /// The same record with these headers.
    #[must_use]
    pub fn with_headers(mut self, headers: &'a [Header<'a>]) -> Self {
        self.headers = Headers::from(headers);
        self
    }
}

/// One header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its key; keys may repeat.
    pub key: &'a str,
    /// Its value, or `None` for null.
    pub value: Option<&'a [u8]>,
}

/// The headers of a record: given as a list when writing, as raw bytes when read.
#[derive(Clone, Copy)]
pub struct Headers<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    List(&'a [Header<'a>]),
    Raw { count: usize, bytes: &'a [u8] },
}

impl<'a> Headers<'a> {
    /// No headers.
    pub const NONE: Self = Self(Source::List(&[]));

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.0 {
            Source::List(list) => list.len(),
            Source::Raw { count, .. } => count,
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Walks over them, in their order.
    #[must_use]
    pub fn iter(&self) -> HeadersIter<'a> {
        HeadersIter { left: self.len(), source: self.0 }
    }

    /// The value of the last header with this key, as Kafka's clients look headers up.
    #[must_use]
    pub fn last(&self, key: &str) -> Option<Header<'a>> {
        self.iter().filter(|header| header.key == key).last()
    }

    /// Bytes that [`Headers::put`] appends.
    #[inline]
    pub(super) fn encoded_len(&self) -> usize {
        let content = match self.0 {
            Source::List(list) => list.iter().map(header_len).sum(),
            Source::Raw { bytes, .. } => bytes.len(),
        };
        content + varint_len(length(self.len()))
    }

    #[inline]
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        if self.is_empty() {
            out.push(0);
            return;
        }
        put_varint(out, length(self.len()));
        match self.0 {
            Source::List(list) => {
                for header in list {
                    put_varint(out, length(header.key.len()));
                    out.extend_from_slice(header.key.as_bytes());
                    put_nullable(out, header.value);
                }
            }
            Source::Raw { bytes, .. } => out.extend_from_slice(bytes),
        }
    }
}

impl<'a> From<&'a [Header<'a>]> for Headers<'a> {
    fn from(list: &'a [Header<'a>]) -> Self {
        Self(Source::List(list))
    }
}

impl<'a> IntoIterator for Headers<'a> {
    type Item = Header<'a>;
    type IntoIter = HeadersIter<'a>;

    fn into_iter(self) -> HeadersIter<'a> {
        self.iter()
    }
}

impl PartialEq for Headers<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers<'_> {}

impl std::fmt::Debug for Headers<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The walk of [`Headers::iter`].
#[derive(Clone)]
pub struct HeadersIter<'a> {
    left: usize,
    source: Source<'a>,
}

impl<'a> Iterator for HeadersIter<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        match &mut self.source {
            Source::List(list) => {
                let (first, rest) = list.split_first()?;
                *list = rest;
                Some(*first)
            }
            Source::Raw { bytes, .. } => take_header(bytes),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for HeadersIter<'_> {}

fn header_len(header: &Header<'_>) -> usize {
    varint_len(length(header.key.len())) + header.key.len() + nullable_len(header.value)
}

fn take_header<'a>(bytes: &mut &'a [u8]) -> Option<Header<'a>> {
    let key = std::str::from_utf8(take_nullable(bytes)??).ok()?;
    Some(Header { key, value: take_nullable(bytes)? })
}

/// A length on the wire. Kafka's lengths are signed 32 bit.
#[inline]
pub(super) fn length(len: usize) -> i32 {
    i32::try_from(len).expect("a part of a record is smaller than 2 GiB")
}

#[inline]
pub(super) fn nullable_len(content: Option<&[u8]>) -> usize {
    content.map_or(1, |content| varint_len(length(content.len())) + content.len())
}

#[inline]
pub(super) fn put_nullable(out: &mut Vec<u8>, content: Option<&[u8]>) {
    match content {
        None => out.push(0x01), // -1 in zigzag
        Some(content) => {
            put_varint(out, length(content.len()));
            out.extend_from_slice(content);
        }
    }
}

#[inline]
fn take_nullable<'a>(bytes: &mut &'a [u8]) -> Option<Option<&'a [u8]>> {
    match take_varint(bytes)? {
        -1 => Some(None),
        len => {
            let (content, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
            *bytes = rest;
            Some(Some(content))
        }
    }
}

/// Walks over the records of a batch. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    left: i32,
    base_offset: i64,
    base_timestamp: i64,
    /// The one time stamp of all records, under `LogAppendTime`.
    append_timestamp: Option<i64>,
    compressed: bool,
    bytes: &'a [u8],
}

impl<'a> Records<'a> {
    pub(super) fn new(header: &BatchHeader, bytes: &'a [u8]) -> Self {
        let by_broker = header.timestamp_type() == TimestampType::LogAppendTime;
        Self {
            left: header.records_count.max(0),
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            append_timestamp: by_broker.then_some(header.max_timestamp),
            compressed: header.compression() != Compression::None,
            bytes,
        }
    }

    /// The records of a compressed batch, whose bytes were unpacked.
    pub(super) fn unpacked(header: &BatchHeader, bytes: &'a [u8]) -> Self {
        Self { compressed: false, ..Self::new(header, bytes) }
    }

    #[inline]
    fn take_record(&mut self) -> Option<Record<'a>> {
        let len = usize::try_from(take_varint(&mut self.bytes)?).ok()?;
        let (mut body, rest) = self.bytes.split_at_checked(len)?;
        self.bytes = rest;
        let (_attributes, after) = body.split_first()?;
        body = after;
        let timestamp_delta = take_varlong(&mut body)?;
        let offset_delta = take_varint(&mut body)?;
        let key = take_nullable(&mut body)?;
        let value = take_nullable(&mut body)?;
        let count = usize::try_from(take_varint(&mut body)?).ok()?;
        let headers = Headers(Source::Raw { count, bytes: body });
        if count > 0 && !well_formed(count, body) || count == 0 && !body.is_empty() {
            return None;
        }
        Some(Record {
            // Of a batch that has yet to be placed the base offset may be anything.
            offset: self.base_offset.wrapping_add(i64::from(offset_delta)),
            timestamp: self.append_timestamp.unwrap_or(self.base_timestamp.wrapping_add(timestamp_delta)),
            key,
            value,
            headers,
        })
    }
}

/// Whether the bytes are exactly `count` headers, so that walking over them later cannot end early.
fn well_formed(count: usize, mut bytes: &[u8]) -> bool {
    (0..count).all(|_| take_header(&mut bytes).is_some()) && bytes.is_empty()
}

impl<'a> Iterator for Records<'a> {
    type Item = Result<Record<'a>, BatchError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        if self.compressed {
            self.left = 0;
            return Some(Err(BatchError::Compressed));
        }
        self.left -= 1;
        let record = self.take_record();
        if record.is_none() {
            self.left = 0;
        }
        Some(record.ok_or(BatchError::MalformedRecord))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, usize::try_from(self.left).ok())
    }
}
