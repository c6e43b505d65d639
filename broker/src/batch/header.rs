//! The batch header: 61 bytes that say everything about a batch but the records themselves.
//!
//! | at | field | | at | field |
//! |---|---|---|---|---|
//! | 0 | base offset | | 27 | base time stamp |
//! | 8 | length of what follows | | 35 | largest time stamp |
//! | 12 | leader epoch | | 43 | producer id |
//! | 16 | magic (2) | | 51 | producer epoch |
//! | 17 | CRC-32C of what follows | | 53 | base sequence |
//! | 21 | attributes | | 57 | number of records |
//! | 23 | last offset delta | | 61 | records |
//!
//! Base offset and leader epoch lie outside the checksum: the broker fills them in without touching the rest.

use super::{BatchError, NO_PRODUCER_ID, Records};

/// Bytes before the first record.
pub const HEADER_BYTES: usize = 61;
/// Bytes before the content that the length field counts.
pub(super) const LENGTH_OVERHEAD: usize = 12;
/// Where the content that the checksum covers starts.
pub(super) const CRC_START: usize = 21;
const MAGIC: i8 = 2;

pub(super) const COMPRESSION_MASK: i16 = 0x07;
pub(super) const APPEND_TIME_FLAG: i16 = 0x08;
pub(super) const TRANSACTIONAL_FLAG: i16 = 0x10;
pub(super) const CONTROL_FLAG: i16 = 0x20;
/// KIP-534: the base time stamp is the time from which tombstones and markers may go.
pub(super) const DELETE_HORIZON_FLAG: i16 = 0x40;

/// How the records of a batch are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Snappy.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard.
    Zstd,
    /// A number that no codec has.
    Unknown,
}

impl Compression {
    /// Its number in the attributes of a batch.
    fn number(self) -> i16 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
            Self::Unknown => COMPRESSION_MASK,
        }
    }
}

/// Whose clock the records' time stamps come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TimestampType {
    /// The producer's: each record has its own.
    #[default]
    CreateTime,
    /// The broker's: all records of a batch have the batch's largest time stamp.
    LogAppendTime,
}

/// The fields of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record (kept when compaction removes that record).
    pub base_offset: i64,
    /// Bytes after the length field.
    pub length: i32,
    /// Epoch of the leader that took the batch.
    pub leader_epoch: i32,
    /// CRC-32C from the attributes to the end.
    pub crc: u32,
    /// Compression, time stamp type and flags.
    pub attributes: i16,
    /// Offset of the last record relative to the base offset (kept by compaction).
    pub last_offset_delta: i32,
    /// What records' time stamps are relative to.
    pub base_timestamp: i64,
    /// Largest time stamp of the records.
    pub max_timestamp: i64,
    /// Producer id, or [`NO_PRODUCER_ID`].
    pub producer_id: i64,
    /// Producer epoch.
    pub producer_epoch: i16,
    /// Sequence number of the first record, or [`super::NO_SEQUENCE`].
    pub base_sequence: i32,
    /// Number of records.
    pub records_count: i32,
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("a slice of N bytes makes an array of N bytes")
}

impl BatchHeader {
    /// Reads the header at the start of `bytes`.
    ///
    /// # Errors
    /// [`BatchError::TooShort`] when the header or the batch is cut, [`BatchError::WrongMagic`] for old
    /// formats.
    pub fn parse(bytes: &[u8]) -> Result<Self, BatchError> {
        let header = Self::peek(bytes)?;
        let needed = header.size();
        if bytes.len() < needed {
            return Err(BatchError::TooShort { needed, available: bytes.len() });
        }
        Ok(header)
    }

    /// Reads the header at the start of `bytes`, of a batch whose records need not be there.
    ///
    /// # Errors
    /// As [`BatchHeader::parse`].
    pub fn peek(bytes: &[u8]) -> Result<Self, BatchError> {
        // The magic stands at the same place in all formats, so old ones are told from broken ones.
        if bytes.len() > 16 && bytes[16].cast_signed() != MAGIC {
            return Err(BatchError::WrongMagic(bytes[16].cast_signed()));
        }
        if bytes.len() < HEADER_BYTES {
            return Err(BatchError::TooShort { needed: HEADER_BYTES, available: bytes.len() });
        }
        let header = Self {
            base_offset: i64::from_be_bytes(field(bytes, 0)),
            length: i32::from_be_bytes(field(bytes, 8)),
            leader_epoch: i32::from_be_bytes(field(bytes, 12)),
            crc: u32::from_be_bytes(field(bytes, 17)),
            attributes: i16::from_be_bytes(field(bytes, 21)),
            last_offset_delta: i32::from_be_bytes(field(bytes, 23)),
            base_timestamp: i64::from_be_bytes(field(bytes, 27)),
            max_timestamp: i64::from_be_bytes(field(bytes, 35)),
            producer_id: i64::from_be_bytes(field(bytes, 43)),
            producer_epoch: i16::from_be_bytes(field(bytes, 51)),
            base_sequence: i32::from_be_bytes(field(bytes, 53)),
            records_count: i32::from_be_bytes(field(bytes, 57)),
        };
        if header.size() < HEADER_BYTES {
            return Err(BatchError::TooShort { needed: HEADER_BYTES, available: header.size() });
        }
        Ok(header)
    }

    /// Bytes of the whole batch.
    #[must_use]
    pub fn size(&self) -> usize {
        usize::try_from(self.length).unwrap_or(0) + LENGTH_OVERHEAD
    }

    /// Offset of the last record.
    #[must_use]
    pub fn last_offset(&self) -> i64 {
        self.base_offset.saturating_add(i64::from(self.last_offset_delta))
    }

    /// Offset that the record after this batch gets.
    #[must_use]
    pub fn next_offset(&self) -> i64 {
        self.last_offset().saturating_add(1)
    }

    /// Whether there are offsets for its records, and one for the record after them. Where it stands lies outside of its
    /// checksum, so anything may stand there.
    pub(crate) fn has_offsets(&self) -> bool {
        self.base_offset.checked_add(i64::from(self.last_offset_delta) + 1).is_some()
    }

    /// Sequence number of the last record.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return self.base_sequence;
        }
        super::advance_sequence(self.base_sequence, self.last_offset_delta.max(0))
    }

    /// Whether the producer is idempotent.
    #[must_use]
    pub fn has_producer(&self) -> bool {
        self.producer_id != NO_PRODUCER_ID
    }

    /// Whether the batch belongs to a transaction.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_FLAG != 0
    }

    /// Whether the batch holds a marker instead of records for readers.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_FLAG != 0
    }

    /// How the records are compressed.
    #[must_use]
    pub fn compression(&self) -> Compression {
        match self.attributes & COMPRESSION_MASK {
            0 => Compression::None,
            1 => Compression::Gzip,
            2 => Compression::Snappy,
            3 => Compression::Lz4,
            4 => Compression::Zstd,
            _ => Compression::Unknown,
        }
    }

    /// Whose clock the time stamps come from.
    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & APPEND_TIME_FLAG == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    /// From when on compaction may remove the batch's tombstones or its marker (KIP-534), if it said so.
    #[must_use]
    pub fn delete_horizon(&self) -> Option<i64> {
        (self.attributes & DELETE_HORIZON_FLAG != 0).then_some(self.base_timestamp)
    }
}

/// One batch in borrowed bytes.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    header: BatchHeader,
    bytes: &'a [u8],
}

impl<'a> Batch<'a> {
    /// The batch at the start of `bytes`; what follows it is ignored.
    ///
    /// # Errors
    /// As [`BatchHeader::parse`]. The checksum is not looked at: see [`Batch::verify`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, BatchError> {
        let header = BatchHeader::parse(bytes)?;
        Ok(Self { header, bytes: &bytes[..header.size()] })
    }

    /// Its header.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// All its bytes.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether the checksum fits the content.
    #[must_use]
    pub fn crc_matches(&self) -> bool {
        self.verify().is_ok()
    }

    /// Checks the checksum.
    ///
    /// # Errors
    /// [`BatchError::WrongCrc`] with both sums.
    pub fn verify(&self) -> Result<(), BatchError> {
        let computed = crc32c::crc32c(&self.bytes[CRC_START..]);
        let stored = self.header.crc;
        if computed == stored { Ok(()) } else { Err(BatchError::WrongCrc { stored, computed }) }
    }

    /// Walks over the records, also of a compressed batch: those are unpacked into `room`.
    ///
    /// # Errors
    /// [`BatchError::Compressed`] for a codec that this build lacks, [`BatchError::MalformedRecord`] when the
    /// codec makes nothing of the bytes, [`BatchError::TooLarge`] when it makes more than any batch may hold.
    pub fn open<'r>(&self, room: &'r mut Vec<u8>) -> Result<Records<'r>, BatchError>
    where
        'a: 'r,
    {
        if self.header.compression() == Compression::None {
            return Ok(self.records());
        }
        super::codec::unpack(self.header.compression(), &self.bytes[HEADER_BYTES..], room)?;
        Ok(Records::unpacked(&self.header, room))
    }

    /// Walks over the records; a compressed batch gives one error and ends.
    #[must_use]
    pub fn records(&self) -> Records<'a> {
        Records::new(&self.header, &self.bytes[HEADER_BYTES..])
    }
}

/// Walks over batches that lie one after the other, as a fetch over TCP returns them.
///
/// A batch that is cut off at the end (a fetch may do that) ends the walk without an error.
#[must_use]
pub fn batches(bytes: &[u8]) -> Batches<'_> {
    Batches { rest: bytes }
}

/// The walk of [`batches`].
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<Batch<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        match Batch::parse(self.rest) {
            Ok(batch) => {
                self.rest = &self.rest[batch.bytes.len()..];
                Some(Ok(batch))
            }
            Err(BatchError::TooShort { .. }) => {
                self.rest = &[];
                None
            }
            Err(error) => {
                self.rest = &[];
                Some(Err(error))
            }
        }
    }
}

/// Fills in what the log decides: where the batch stands and under which leader. The checksum stays good.
pub(crate) fn set_placement(batch: &mut [u8], base_offset: i64, leader_epoch: i32) {
    batch[0..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[12..16].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// A batch with the same header and these records, packed with this codec.
pub(super) fn repack(plain: &[u8], records: &[u8], codec: Compression) -> Vec<u8> {
    let mut out = [&plain[..HEADER_BYTES], records].concat();
    let length = super::record::length(out.len() - LENGTH_OVERHEAD);
    out[8..12].copy_from_slice(&length.to_be_bytes());
    let attributes = i16::from_be_bytes(field(plain, CRC_START)) & !COMPRESSION_MASK | codec.number();
    out[21..23].copy_from_slice(&attributes.to_be_bytes());
    let crc = crc32c::crc32c(&out[CRC_START..]);
    out[17..21].copy_from_slice(&crc.to_be_bytes());
    out
}

/// Puts the broker's time over the producer's (`message.timestamp.type=LogAppendTime`); the checksum is made
/// anew.
pub(crate) fn restamp_append_time(batch: &mut [u8], now: i64) {
    let attributes = i16::from_be_bytes(field(batch, CRC_START));
    restamp(batch, attributes | APPEND_TIME_FLAG, now);
}

/// Corrects what a batch says of its records' time stamps, which are the producer's; the checksum is made anew.
pub(crate) fn restamp_create_time(batch: &mut [u8], newest: i64) {
    let attributes = i16::from_be_bytes(field(batch, CRC_START));
    restamp(batch, attributes & !APPEND_TIME_FLAG, newest);
}

fn restamp(batch: &mut [u8], attributes: i16, max_timestamp: i64) {
    batch[21..23].copy_from_slice(&attributes.to_be_bytes());
    batch[35..43].copy_from_slice(&max_timestamp.to_be_bytes());
    let crc = crc32c::crc32c(&batch[CRC_START..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
}
