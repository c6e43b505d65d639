//! Windowed keys on a topic. Both forms start with the inner key's bytes, and both are Kafka Streams' own:
//!
//! ```text
//! windows of one size    key ‖ start:i64              the end is start + size, which the reader has to know
//! sessions               key ‖ end:i64 ‖ start:i64
//! ```

use std::sync::Arc;

use super::fixed::not_null;
use super::store_key::{SessionKey, short};
use super::{ROWS, Serde, SerdeError, gather, serialize_each};
use crate::record::{Encoded, Memory, Window, Windowed};

/// How windowed keys are written: enough to read the window of a key without its type, and to write another key in
/// the same windows.
///
/// ```
/// use headwater::codec::{StringSerde, WindowKind};
/// use headwater::{Serde, Window, Windowed};
/// let serde = WindowKind::Sized(10).serde(StringSerde);
/// let mut key = Vec::new();
/// serde.serialize(&Windowed::new("a".to_owned(), 5, 15), &mut key)?;
/// assert_eq!(serde.windows().and_then(|kind| kind.window(&key)), Some(Window { start: 5, end: 15 }));
/// # Ok::<(), headwater::codec::SerdeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// Windows of this many milliseconds, as [`TimeWindowedSerde`] writes them.
    Sized(i64),
    /// Sessions, as [`SessionWindowedSerde`] writes them.
    Session,
}

impl WindowKind {
    /// The serde of keys in such windows over the serde of the inner key.
    #[must_use]
    pub fn serde<K>(self, inner: impl Serde<K> + 'static) -> Arc<dyn Serde<Windowed<K>>> {
        match self {
            Self::Sized(size_ms) => Arc::new(TimeWindowedSerde::new(inner, size_ms)),
            Self::Session => Arc::new(SessionWindowedSerde::new(inner)),
        }
    }

    /// The window at the end of a serialised key; `None` if the key is too short to have one.
    #[must_use]
    pub fn window(self, key: &[u8]) -> Option<Window> {
        match self {
            Self::Sized(size_ms) => {
                let start = i64::from_be_bytes(*key.last_chunk()?);
                Some(Window { start, end: start.saturating_add(size_ms) })
            }
            Self::Session => {
                SessionKey::decode(key).ok().map(|SessionKey { start, end, .. }| Window { start, end })
            }
        }
    }

    /// The first millisecond after `window`: sessions include their end.
    pub(crate) fn after(self, window: Window) -> i64 {
        match self {
            Self::Sized(_) => window.end,
            Self::Session => window.end.saturating_add(1),
        }
    }
}

const TIME_WINDOWED: &str = "time-windowed key";
const SESSION_WINDOWED: &str = "session-windowed key";

/// Serde of keys in windows of one size: tumbling, hopping, sliding (whose size is their time difference).
///
/// ```
/// use headwater::Serde;
/// use headwater::codec::{StringSerde, TimeWindowedSerde};
/// use headwater::record::Windowed;
/// let serde = TimeWindowedSerde::new(StringSerde, 10);
/// let mut out = Vec::new();
/// serde.serialize(&Windowed::new("a".to_owned(), 5, 15), &mut out)?;
/// assert_eq!(out, b"a\0\0\0\0\0\0\0\x05");
/// assert_eq!(serde.deserialize(Some(&out))?.to_string(), "[a@5/15]");
/// # Ok::<(), headwater::codec::SerdeError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TimeWindowedSerde<S> {
    inner: S,
    size_ms: i64,
}

/// Serde of keys in sessions.
///
/// ```
/// use headwater::Serde;
/// use headwater::codec::{SessionWindowedSerde, StringSerde};
/// use headwater::record::Windowed;
/// let serde = SessionWindowedSerde::new(StringSerde);
/// let mut out = Vec::new();
/// serde.serialize(&Windowed::new("a".to_owned(), 5, 15), &mut out)?;
/// assert_eq!(out, b"a\0\0\0\0\0\0\0\x0f\0\0\0\0\0\0\0\x05");
/// assert_eq!(serde.deserialize(Some(&out))?.to_string(), "[a@5/15]");
/// # Ok::<(), headwater::codec::SerdeError>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionWindowedSerde<S> {
    inner: S,
}

impl<S> TimeWindowedSerde<S> {
    /// A serde for windows of `size_ms` milliseconds over the serde of the inner key.
    ///
    /// # Panics
    /// If `size_ms` is negative.
    #[must_use]
    pub const fn new(inner: S, size_ms: i64) -> Self {
        assert!(size_ms >= 0, "a window's size is not negative");
        Self { inner, size_ms }
    }

    fn window_from(&self, start: i64) -> Window {
        // As in Kafka, a window that would end after the last millisecond ends there.
        Window { start, end: start.saturating_add(self.size_ms) }
    }

    /// A window of another size is refused, as its end would not come back.
    #[inline]
    fn check(&self, window: Window) -> Result<(), SerdeError> {
        if window.start >= 0 && window == self.window_from(window.start) {
            return Ok(());
        }
        let problem = format!("the window {window} does not have the serde's size, {} ms", self.size_ms);
        Err(SerdeError::new(TIME_WINDOWED, problem, None))
    }

    fn split<'a>(&self, bytes: Option<&'a [u8]>) -> Result<(&'a [u8], Window), SerdeError> {
        let bytes = not_null(TIME_WINDOWED, bytes)?;
        let Some((key, start)) = bytes.split_last_chunk() else {
            return Err(short(TIME_WINDOWED, 8, bytes));
        };
        let window = self.window_from(i64::from_be_bytes(*start));
        if window.start < 0 {
            let problem = format!("the window starts at {}, before 1970", window.start);
            return Err(SerdeError::new(TIME_WINDOWED, problem, Some(bytes)));
        }
        Ok((key, window))
    }
}

impl<S> SessionWindowedSerde<S> {
    /// A serde over the serde of the inner key.
    #[must_use]
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }

    fn split(bytes: Option<&[u8]>) -> Result<(&[u8], Window), SerdeError> {
        let bytes = not_null(SESSION_WINDOWED, bytes)?;
        let SessionKey { key, start, end } = SessionKey::decode(bytes)?;
        if start < 0 || end < start {
            let problem = format!("no session lasts from {start} to {end}");
            return Err(SerdeError::new(SESSION_WINDOWED, problem, Some(bytes)));
        }
        Ok((key, Window { start, end }))
    }
}

impl<K, S: Serde<K>> Serde<Windowed<K>> for TimeWindowedSerde<S> {
    fn never_null(&self) -> bool {
        true
    }

    fn windows(&self) -> Option<WindowKind> {
        Some(WindowKind::Sized(self.size_ms))
    }

    fn partition_part<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        self.inner.partition_part(&key[..key.len().saturating_sub(8)])
    }

    fn partition_parts(&self, keys: &mut [Option<&[u8]>]) {
        cut(keys, 8);
        self.inner.partition_parts(keys);
    }

    /// Keys that the inner serde can lend are put together without a call for each.
    fn serialize_all(&self, values: &[Option<&Windowed<K>>], out: &mut Encoded) -> Result<(), SerdeError> {
        for values in values.chunks(ROWS) {
            let keys = gather(values.iter().map(|value| value.map(|value| &value.key)));
            let mut parts = [None; ROWS];
            if !self.inner.borrow_all(&keys[..values.len()], &mut parts) {
                serialize_each(self, values, out)?;
                continue;
            }
            for (value, part) in values.iter().zip(&parts) {
                match (value, part) {
                    (Some(value), Some(part)) => {
                        self.check(value.window)?;
                        out.push_parts([part, &value.window.start.to_be_bytes()]);
                    }
                    // An inner key that is null is refused.
                    (Some(value), None) => out.push_with(|bytes| self.serialize(value, bytes))?,
                    (None, _) => out.push_null(),
                }
            }
        }
        Ok(())
    }

    fn serialize(&self, value: &Windowed<K>, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        let window = value.window;
        self.check(window)?;
        serialize_inner(&self.inner, &value.key, out)?;
        out.extend_from_slice(&window.start.to_be_bytes());
        Ok(true)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Windowed<K>, SerdeError> {
        let (key, window) = self.split(bytes)?;
        Ok(Windowed { key: self.inner.deserialize(Some(key))?, window })
    }

    fn deserialize_shared(&self, bytes: Option<&[u8]>, memory: &Memory) -> Result<Windowed<K>, SerdeError> {
        let (key, window) = self.split(bytes)?;
        Ok(Windowed { key: self.inner.deserialize_shared(Some(key), memory)?, window })
    }
}

impl<K, S: Serde<K>> Serde<Windowed<K>> for SessionWindowedSerde<S> {
    fn never_null(&self) -> bool {
        true
    }

    fn windows(&self) -> Option<WindowKind> {
        Some(WindowKind::Session)
    }

    fn partition_part<'a>(&self, key: &'a [u8]) -> &'a [u8] {
        self.inner.partition_part(&key[..key.len().saturating_sub(16)])
    }

    fn partition_parts(&self, keys: &mut [Option<&[u8]>]) {
        cut(keys, 16);
        self.inner.partition_parts(keys);
    }

    fn serialize(&self, value: &Windowed<K>, out: &mut Vec<u8>) -> Result<bool, SerdeError> {
        let Window { start, end } = value.window;
        if start < 0 || end < start {
            let problem = format!("no session lasts from {start} to {end}");
            return Err(SerdeError::new(SESSION_WINDOWED, problem, None));
        }
        serialize_inner(&self.inner, &value.key, out)?;
        SessionKey::encode_after_key(start, end, out);
        Ok(true)
    }

    fn deserialize(&self, bytes: Option<&[u8]>) -> Result<Windowed<K>, SerdeError> {
        let (key, window) = Self::split(bytes)?;
        Ok(Windowed { key: self.inner.deserialize(Some(key))?, window })
    }

    fn deserialize_shared(&self, bytes: Option<&[u8]>, memory: &Memory) -> Result<Windowed<K>, SerdeError> {
        let (key, window) = Self::split(bytes)?;
        Ok(Windowed { key: self.inner.deserialize_shared(Some(key), memory)?, window })
    }
}

/// Cuts the window, so many bytes, off each key.
#[inline]
fn cut(keys: &mut [Option<&[u8]>], bytes: usize) {
    for key in keys.iter_mut().flatten() {
        *key = &key[..key.len().saturating_sub(bytes)];
    }
}

/// Appends the inner key; null has no place in these forms.
fn serialize_inner<K>(serde: &impl Serde<K>, key: &K, out: &mut Vec<u8>) -> Result<(), SerdeError> {
    if serde.serialize(key, out)? {
        return Ok(());
    }
    Err(SerdeError::new("windowed key", "the key is null, and windows are kept per key", None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{BytesSerde, LongSerde, Nullable, StringSerde, VoidSerde};
    use crate::record::Slice;

    #[test]
    fn a_window_at_the_end_of_time_is_cut_and_comes_back() {
        let serde = TimeWindowedSerde::new(StringSerde, 10);
        let key = Windowed::new(String::new(), i64::MAX - 3, i64::MAX);
        let mut out = Vec::new();
        assert_eq!(serde.serialize(&key, &mut out), Ok(true));
        assert_eq!(serde.deserialize(Some(&out)), Ok(key));
    }

    #[test]
    fn what_would_not_come_back_is_refused() {
        let mut out = Vec::new();
        let time = TimeWindowedSerde::new(StringSerde, 10);
        let error = time.serialize(&Windowed::new("a".to_owned(), 0, 60_000), &mut out).unwrap_err();
        assert_eq!(error.problem, "the window 0/60000 does not have the serde's size, 10 ms");
        let session = SessionWindowedSerde::new(StringSerde);
        let error = session.serialize(&Windowed::new("a".to_owned(), 9, 8), &mut out).unwrap_err();
        assert_eq!(error.problem, "no session lasts from 9 to 8");
        assert!(session.deserialize(Some(b"ab")).is_err());
        assert!(time.deserialize(Some(b"a\xff\xff\xff\xff\xff\xff\xff\xfe")).is_err());
        assert!(time.deserialize(Some(b"1234567")).is_err());
        assert!(time.deserialize(None).is_err());
        assert!(out.is_empty());
        let void = SessionWindowedSerde::new(VoidSerde);
        assert!(void.serialize(&Windowed::new((), 0, 0), &mut out).is_err());
    }

    #[test]
    fn a_column_of_keys_is_written_as_one_by_one_whether_the_inner_key_is_lent_or_not() {
        fn check<K>(serde: &dyn Serde<Windowed<K>>, key: impl Fn(i64) -> K) {
            // More than one run of them, a null among them.
            let keys: Vec<_> = (0..150).map(|n| Windowed::new(key(n), n * 10, n * 10 + 10)).collect();
            let mut all: Vec<_> = keys.iter().map(Some).collect();
            all[70] = None;
            let mut column = Encoded::default();
            serde.serialize_all(&all, &mut column).unwrap();
            assert_eq!(column.len(), all.len());
            for (row, key) in all.iter().enumerate() {
                let mut alone = Vec::new();
                let present = key.map(|key| serde.serialize(key, &mut alone).unwrap());
                assert_eq!(column.get(row), present.map(|_| alone.as_slice()), "key {row}");
            }
            let wrong = Windowed::new(key(1), 10, 30);
            all[3] = Some(&wrong);
            column.clear();
            assert!(serde.serialize_all(&all, &mut column).is_err());
            assert_eq!(column.len(), 3, "those before the one that cannot be written");
        }
        check(&TimeWindowedSerde::new(StringSerde, 10), |n| "k".repeat(usize::try_from(n).unwrap()));
        check(&TimeWindowedSerde::new(LongSerde, 10), |n| n);
        let nullable = TimeWindowedSerde::new(Nullable(StringSerde), 10);
        let mut column = Encoded::default();
        let keyless = Windowed::new(None, 0, 10);
        assert!(nullable.serialize_all(&[Some(&keyless)], &mut column).is_err());
        assert!(column.is_empty());
    }

    #[test]
    fn a_column_of_keys_is_partitioned_by_the_inner_keys() {
        let bytes = *b"key\0\0\0\0\0\0\0\x0f\0\0\0\0\0\0\0\x05";
        let mut keys = [Some(&bytes[..]), None, Some(&bytes[..7])];
        TimeWindowedSerde::new(StringSerde, 10).partition_parts(&mut keys);
        assert_eq!(keys, [Some(&bytes[..11]), None, Some(&b""[..])]);
        let mut keys = [Some(&bytes[..]), None];
        SessionWindowedSerde::new(StringSerde).partition_parts(&mut keys);
        assert_eq!(keys, [Some(&b"key"[..]), None]);
    }

    #[test]
    fn the_inner_key_shares_memory() {
        let memory = Memory::from(b"xxkey\0\0\0\0\0\0\0\x05".to_vec());
        let time = TimeWindowedSerde::new(BytesSerde, 1);
        let part = &memory.as_ref()[2..];
        let key: Windowed<Slice> = time.deserialize_shared(Some(part), &memory).unwrap();
        assert_eq!(key.key.as_ptr(), part.as_ptr());
        assert_eq!(key, Windowed::new(Slice::from("key"), 5, 6));
    }
}
