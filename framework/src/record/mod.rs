//! The thing that travels: a typed [`Record`] inside operators, several of them in [`Columns`] where that is cheaper,
//! a [`RecordBatch`] of bytes at the edges.

mod arena;
mod batch;
mod columns;
mod encoded;
mod headers;
mod slice;
mod spare;
mod windowed;

pub use arena::Arena;
pub(crate) use arena::Backing;
pub use batch::{BatchIter, RawRecord, RecordBatch, SharedBatch};
pub use columns::Columns;
pub use encoded::Encoded;
pub use headers::{Header, Headers};
pub use slice::{Memory, Slice};
pub use windowed::{Window, Windowed};

/// A record as operators see it.
///
/// Whether a key or value may be null is a matter of its type: use `Option<T>` where null is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<K, V> {
    /// The key.
    pub key: K,
    /// The value.
    pub value: V,
    /// Event time, milliseconds since 1970-01-01 UTC.
    pub timestamp: i64,
    /// Headers, in order; most records have none.
    pub headers: Headers,
}

impl<K, V> Record<K, V> {
    /// A record without headers.
    ///
    /// ```
    /// use headwater::Record;
    /// let record = Record::new("user-1", 7, 1_600_000_000_000);
    /// assert!(record.headers.is_empty());
    /// ```
    pub fn new(key: K, value: V, timestamp: i64) -> Self {
        Self { key, value, timestamp, headers: Headers::default() }
    }

    /// The same record with another value.
    pub fn with_value<W>(self, value: W) -> Record<K, W> {
        Record { key: self.key, value, timestamp: self.timestamp, headers: self.headers }
    }
}
