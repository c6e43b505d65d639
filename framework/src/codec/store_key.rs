//! The bytes of store entries: keys of window and session stores and of their changelog topics, and values with a
//! timestamp. Byte for byte as in Kafka Streams, so that a Java application's changelogs can be restored.
//!
//! ```text
//! window key           key ‖ start:i64 ‖ seq:i32      (WindowKeySchema)
//! session key          key ‖ end:i64 ‖ start:i64      (SessionKeySchema; also the key on a topic)
//! timestamped value    timestamp:i64 ‖ value          (ValueAndTimestampSerializer; in stores only, the changelog
//!                                                     carries the value, and the timestamp as the record's)
//! ```
//! Numbers are big-endian. All three borrow: decoding allocates nothing, encoding appends.

use super::SerdeError;

/// Key of an entry in a window store.
///
/// ```
/// use headwater::codec::store_key::WindowKey;
/// let mut out = Vec::new();
/// let entry = WindowKey { key: b"a", start: 5, seq: 7 };
/// entry.encode(&mut out);
/// assert_eq!(out, b"a\0\0\0\0\0\0\0\x05\0\0\0\x07");
/// assert_eq!(WindowKey::decode(&out), Ok(entry));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowKey<'a> {
    /// The record key's bytes.
    pub key: &'a [u8],
    /// Start of the window, milliseconds.
    pub start: i64,
    /// 0; counts up in stores that keep duplicates (those of stream-stream joins).
    pub seq: i32,
}

/// Key of an entry in a session store.
///
/// ```
/// use headwater::codec::store_key::SessionKey;
/// let mut out = Vec::new();
/// let entry = SessionKey { key: b"a", start: 5, end: 15 };
/// entry.encode(&mut out);
/// assert_eq!(out, b"a\0\0\0\0\0\0\0\x0f\0\0\0\0\0\0\0\x05");
/// assert_eq!(SessionKey::decode(&out), Ok(entry));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionKey<'a> {
    /// The record key's bytes.
    pub key: &'a [u8],
    /// Timestamp of the session's first record, milliseconds.
    pub start: i64,
    /// Timestamp of the session's last record, milliseconds.
    pub end: i64,
}

/// Value of an entry in a store with timestamps.
///
/// ```
/// use headwater::codec::store_key::TimestampedValue;
/// let mut out = Vec::new();
/// let entry = TimestampedValue { timestamp: 1, value: b"x" };
/// entry.encode(&mut out);
/// assert_eq!(out, b"\0\0\0\0\0\0\0\x01x");
/// assert_eq!(TimestampedValue::decode(&out), Ok(entry));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampedValue<'a> {
    /// Timestamp of the record that the value comes from, milliseconds.
    pub timestamp: i64,
    /// The value's bytes.
    pub value: &'a [u8],
}

impl<'a> WindowKey<'a> {
    /// Appends the bytes.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.key);
        Self::encode_after_key(self.start, self.seq, out);
    }

    /// Appends what follows the key, where a serde has written the key into `out` already.
    #[inline]
    pub fn encode_after_key(start: i64, seq: i32, out: &mut Vec<u8>) {
        out.extend_from_slice(&start.to_be_bytes());
        out.extend_from_slice(&seq.to_be_bytes());
    }

    /// The entry's key in `bytes`.
    ///
    /// # Errors
    /// If there are fewer than 12 bytes.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Self, SerdeError> {
        let Some((head, seq)) = bytes.split_last_chunk() else { return Err(short("window key", 12, bytes)) };
        let Some((key, start)) = head.split_last_chunk() else { return Err(short("window key", 12, bytes)) };
        Ok(Self { key, start: i64::from_be_bytes(*start), seq: i32::from_be_bytes(*seq) })
    }
}

impl<'a> SessionKey<'a> {
    /// Appends the bytes.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.key);
        Self::encode_after_key(self.start, self.end, out);
    }

    /// Appends what follows the key, where a serde has written the key into `out` already.
    #[inline]
    pub fn encode_after_key(start: i64, end: i64, out: &mut Vec<u8>) {
        out.extend_from_slice(&end.to_be_bytes());
        out.extend_from_slice(&start.to_be_bytes());
    }

    /// The entry's key in `bytes`.
    ///
    /// # Errors
    /// If there are fewer than 16 bytes.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Self, SerdeError> {
        let Some((head, start)) = bytes.split_last_chunk() else {
            return Err(short("session key", 16, bytes));
        };
        let Some((key, end)) = head.split_last_chunk() else { return Err(short("session key", 16, bytes)) };
        Ok(Self { key, start: i64::from_be_bytes(*start), end: i64::from_be_bytes(*end) })
    }
}

impl<'a> TimestampedValue<'a> {
    /// Appends the bytes.
    #[inline]
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(self.value);
    }

    /// The entry's value in `bytes`.
    ///
    /// # Errors
    /// If there are fewer than 8 bytes.
    #[inline]
    pub fn decode(bytes: &'a [u8]) -> Result<Self, SerdeError> {
        let Some((timestamp, value)) = bytes.split_first_chunk() else {
            return Err(short("value with timestamp", 8, bytes));
        };
        Ok(Self { timestamp: i64::from_be_bytes(*timestamp), value })
    }
}

#[cold]
pub(super) fn short(expected: &str, least: usize, bytes: &[u8]) -> SerdeError {
    SerdeError::new(expected, format!("found {} bytes, fewer than {least}", bytes.len()), Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_stands_where_kafka_puts_it() {
        let mut out = Vec::new();
        WindowKey { key: b"w", start: 1, seq: 2 }.encode(&mut out);
        SessionKey { key: b"s", start: 3, end: 4 }.encode(&mut out);
        TimestampedValue { timestamp: -1, value: b"v" }.encode(&mut out);
        let (window, rest) = out.split_at(13);
        let (session, value) = rest.split_at(17);
        assert_eq!(window, b"w\0\0\0\0\0\0\0\x01\0\0\0\x02");
        assert_eq!(session, b"s\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0\x03");
        assert_eq!(value, b"\xff\xff\xff\xff\xff\xff\xff\xffv");
        assert_eq!(WindowKey::decode(window), Ok(WindowKey { key: b"w", start: 1, seq: 2 }));
        assert_eq!(SessionKey::decode(session), Ok(SessionKey { key: b"s", start: 3, end: 4 }));
        assert_eq!(TimestampedValue::decode(value), Ok(TimestampedValue { timestamp: -1, value: b"v" }));
    }

    #[test]
    fn an_empty_key_is_a_key_and_one_byte_less_is_an_error() {
        assert_eq!(WindowKey::decode(&[0; 12]), Ok(WindowKey { key: b"", start: 0, seq: 0 }));
        assert_eq!(SessionKey::decode(&[0; 16]), Ok(SessionKey { key: b"", start: 0, end: 0 }));
        assert_eq!(TimestampedValue::decode(&[0; 8]), Ok(TimestampedValue { timestamp: 0, value: b"" }));
        for len in [0, 3, 4, 11] {
            assert!(WindowKey::decode(&[0; 11][..len]).is_err());
        }
        for len in [0, 7, 8, 15] {
            assert!(SessionKey::decode(&[0; 15][..len]).is_err());
        }
        let error = TimestampedValue::decode(b"1234567").unwrap_err();
        let expected = "expected value with timestamp: found 7 bytes, fewer than 8; first bytes 1234567";
        assert_eq!(error.to_string(), expected);
    }
}
