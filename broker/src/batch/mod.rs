//! Record batches: Kafka's unit of producing, storing and fetching (format v2, magic 2).
//!
//! A batch is a header of 61 bytes and then its records. This module writes one from borrowed records
//! ([`BatchBuilder`], [`encode`]), reads its header ([`BatchHeader`]) and walks over its records without
//! copying ([`Batch::records`]). Compressed batches are passed on as they are; who has to look into one
//! unpacks it with [`Batch::open`].
//!
//! ```
//! use headwater_broker::batch::{self, Batch, BatchOptions, Record};
//!
//! let click = Record::new(1_000, Some(b"user"), Some(b"click"));
//! let tombstone = Record::new(1_005, Some(b"user"), None);
//! let bytes = batch::encode(&BatchOptions::default(), [click, tombstone]);
//!
//! let batch = Batch::parse(&bytes)?;
//! assert!(batch.crc_matches());
//! let decoded: Vec<_> = batch.records().collect::<Result<_, _>>()?;
//! assert_eq!(decoded[1].offset, 1);
//! assert_eq!(decoded[1].value, None);
//! # Ok::<(), headwater_broker::batch::BatchError>(())
//! ```

pub mod codec;
mod committed;
mod encode;
mod header;
mod marker;
mod record;
pub mod varint;

pub use committed::CommittedFilter;
pub use encode::{BatchBuilder, BatchOptions, encode};
pub use header::{Batch, BatchHeader, Batches, Compression, HEADER_BYTES, TimestampType, batches};
pub use marker::{Marker, MarkerKind};
pub use record::{Header, Headers, HeadersIter, Record, Records};

pub(crate) use header::{restamp_append_time, restamp_create_time, set_placement};

/// No producer id: the batch was written without idempotence.
pub const NO_PRODUCER_ID: i64 = -1;
/// No producer epoch.
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// No time stamp.
pub const NO_TIMESTAMP: i64 = -1;
/// No sequence number, as in control batches and batches without idempotence.
pub const NO_SEQUENCE: i32 = -1;

/// The sequence number that lies `increment` records after `sequence`; it wraps from the largest `i32` to 0.
///
/// ```
/// use headwater_broker::batch::advance_sequence;
/// assert_eq!(advance_sequence(5, 3), 8);
/// assert_eq!(advance_sequence(i32::MAX, 1), 0);
/// ```
#[must_use]
pub fn advance_sequence(sequence: i32, increment: i32) -> i32 {
    match sequence.checked_add(increment) {
        Some(sum) => sum,
        None => increment - (i32::MAX - sequence) - 1,
    }
}

/// Why bytes are not a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchError {
    /// Fewer bytes than the header or its length field asks for.
    TooShort {
        /// Bytes needed.
        needed: usize,
        /// Bytes there.
        available: usize,
    },
    /// The format is not v2.
    WrongMagic(i8),
    /// The checksum does not fit the content.
    WrongCrc {
        /// What the header says.
        stored: u32,
        /// What the content gives.
        computed: u32,
    },
    /// The records are compressed; this codec does not look into them.
    Compressed,
    /// A record's lengths contradict its bytes.
    MalformedRecord,
    /// The records are more than any batch may hold when they are unpacked.
    TooLarge,
}

impl std::fmt::Display for BatchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooShort { needed, available } => {
                write!(f, "batch is cut short: {needed} bytes needed, {available} there")
            }
            Self::WrongMagic(magic) => write!(f, "batch has format v{magic}, only v2 is read"),
            Self::WrongCrc { stored, computed } => {
                write!(f, "batch has checksum {stored:#010x}, its content gives {computed:#010x}")
            }
            Self::Compressed => write!(f, "batch is compressed, its records cannot be read here"),
            Self::TooLarge => write!(f, "batch is too large when it is unpacked"),
            Self::MalformedRecord => write!(f, "record is malformed: its lengths contradict its bytes"),
        }
    }
}

impl std::error::Error for BatchError {}
