//! Windowed keys: a key together with the window of time that an aggregate is about.

use std::fmt;

/// A window of time, in milliseconds since 1970-01-01 UTC.
///
/// The end is exclusive for tumbling and hopping windows, inclusive for sliding windows and sessions.
///
/// ```
/// use headwater::record::Window;
/// assert_eq!(Window { start: 0, end: 60_000 }.to_string(), "0/60000");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// Its first millisecond.
    pub start: i64,
    /// Its end.
    pub end: i64,
}

/// A key and a window: the key of a windowed table. Ordered by key, then by start, then by end.
///
/// On Kafka the bytes of a window depend on its kind: [`TimeWindowedSerde`](crate::codec::TimeWindowedSerde) is for
/// windows of one size, [`SessionWindowedSerde`](crate::codec::SessionWindowedSerde) for sessions. There is no usual
/// one, so it has to be named where such a key is read from a topic.
///
/// ```
/// use headwater::record::{Window, Windowed};
/// let key = Windowed { key: "user-1", window: Window { start: 0, end: 60_000 } };
/// assert_eq!(key.to_string(), "[user-1@0/60000]");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Windowed<K> {
    /// The key within the window.
    pub key: K,
    /// The window.
    pub window: Window,
}

impl<K> Windowed<K> {
    /// `key` in the window from `start` to `end`.
    ///
    /// ```
    /// use headwater::record::Windowed;
    /// assert_eq!(Windowed::new("a", 5, 15).to_string(), "[a@5/15]");
    /// ```
    pub const fn new(key: K, start: i64, end: i64) -> Self {
        Self { key, window: Window { start, end } }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.start, self.end)
    }
}

impl<K: fmt::Display> fmt::Display for Windowed<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}@{}]", self.key, self.window)
    }
}
