//! Building a batch: records are appended to one buffer as they come, the header is filled in at the end.

use super::header::{
    APPEND_TIME_FLAG, CONTROL_FLAG, CRC_START, DELETE_HORIZON_FLAG, HEADER_BYTES, LENGTH_OVERHEAD,
    TRANSACTIONAL_FLAG, TimestampType,
};
use super::record::{Record, length, nullable_len, put_nullable};
use super::varint::{Scratch, varint_len, varlong_len};
use super::{NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE};

/// What the header of a new batch says beside what follows from its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// Offset of the first record; producers leave 0, the broker fills it in.
    pub base_offset: i64,
    /// Leader epoch; producers leave -1, the broker fills it in.
    pub leader_epoch: i32,
    /// Producer id, or [`NO_PRODUCER_ID`].
    pub producer_id: i64,
    /// Producer epoch.
    pub producer_epoch: i16,
    /// Sequence number of the first record.
    pub base_sequence: i32,
    /// Whether the batch belongs to a transaction.
    pub transactional: bool,
    /// Whether the batch is a marker.
    pub control: bool,
    /// Whose clock the time stamps come from.
    pub timestamp_type: TimestampType,
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            base_offset: 0,
            leader_epoch: -1,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            transactional: false,
            control: false,
            timestamp_type: TimestampType::CreateTime,
        }
    }
}

impl BatchOptions {
    /// A batch of an idempotent producer.
    #[must_use]
    pub fn idempotent(producer_id: i64, producer_epoch: i16, base_sequence: i32) -> Self {
        Self { producer_id, producer_epoch, base_sequence, ..Self::default() }
    }

    /// A batch of a transaction.
    #[must_use]
    pub fn transactional(producer_id: i64, producer_epoch: i16, base_sequence: i32) -> Self {
        Self { transactional: true, ..Self::idempotent(producer_id, producer_epoch, base_sequence) }
    }

    fn attributes(&self) -> i16 {
        let by_broker = self.timestamp_type == TimestampType::LogAppendTime;
        let flag = |on: bool, flag: i16| if on { flag } else { 0 };
        flag(by_broker, APPEND_TIME_FLAG)
            | flag(self.transactional, TRANSACTIONAL_FLAG)
            | flag(self.control, CONTROL_FLAG)
    }
}

/// Builds one batch in one buffer; no allocation per record beyond the buffer's growth.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    out: Vec<u8>,
    count: i32,
    base_timestamp: Option<i64>,
    max_timestamp: i64,
    last_offset_delta: i32,
    delete_horizon: bool,
}

impl Default for BatchBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl BatchBuilder {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::with_capacity(HEADER_BYTES)
    }

    /// An empty batch with room for this many bytes, header included.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self::reusing(Vec::with_capacity(bytes.max(HEADER_BYTES)))
    }

    /// An empty batch in a buffer that has served before; its content is dropped, its room is kept.
    #[must_use]
    pub fn reusing(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        buffer.resize(HEADER_BYTES, 0);
        Self {
            out: buffer,
            count: 0,
            base_timestamp: None,
            max_timestamp: -1,
            last_offset_delta: -1,
            delete_horizon: false,
        }
    }

    /// Bytes so far, header included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Records so far.
    #[must_use]
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Whether there is no record yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes that this record would take at most, to decide whether it still fits.
    #[must_use]
    pub fn record_bytes(record: &Record<'_>) -> usize {
        // Both deltas and the length at their longest: 5 + 10 + 5.
        1 + 20 + nullable_len(record.key) + nullable_len(record.value) + record.headers.encoded_len()
    }

    /// Appends a record; its offset follows the last one's.
    #[inline]
    pub fn push(&mut self, record: &Record<'_>) {
        self.push_at(self.last_offset_delta + 1, record);
    }

    /// Appends a record with this offset relative to the batch's base offset, which may leave a gap.
    #[inline]
    pub fn push_at(&mut self, offset_delta: i32, record: &Record<'_>) {
        let base = *self.base_timestamp.get_or_insert(record.timestamp);
        let timestamp_delta = record.timestamp.wrapping_sub(base);
        let body = 1
            + varlong_len(timestamp_delta)
            + varint_len(offset_delta)
            + nullable_len(record.key)
            + nullable_len(record.value)
            + record.headers.encoded_len();
        let mut head = Scratch::new();
        head.put_varint(length(body));
        head.put_byte(0);
        head.put_varlong(timestamp_delta);
        head.put_varint(offset_delta);
        head.put_varint(record.key.map_or(-1, |key| length(key.len())));
        self.out.reserve(body + 5);
        self.out.extend_from_slice(head.bytes());
        self.out.extend_from_slice(record.key.unwrap_or_default());
        put_nullable(&mut self.out, record.value);
        record.headers.put(&mut self.out);
        self.count += 1;
        self.max_timestamp =
            if self.count == 1 { record.timestamp } else { self.max_timestamp.max(record.timestamp) };
        self.last_offset_delta = offset_delta;
    }

    /// Says from when on tombstones or the marker in this batch may be removed. Before the first record only.
    pub(crate) fn set_delete_horizon(&mut self, horizon: i64) {
        assert!(self.is_empty(), "the delete horizon is what records' time stamps are relative to");
        self.base_timestamp = Some(horizon);
        self.delete_horizon = true;
    }

    /// Keeps the offsets of a batch that compaction thins out, and its time stamp when nothing is left.
    pub(crate) fn keep_extent(&mut self, last_offset_delta: i32, max_timestamp: i64) {
        self.last_offset_delta = last_offset_delta;
        if self.is_empty() {
            self.base_timestamp = Some(max_timestamp);
            self.max_timestamp = max_timestamp;
            self.delete_horizon = false;
        }
    }

    /// Writes the header with its checksum and returns the batch.
    #[must_use]
    pub fn finish(mut self, options: &BatchOptions) -> Vec<u8> {
        let horizon = if self.delete_horizon { DELETE_HORIZON_FLAG } else { 0 };
        let attributes = options.attributes() | horizon;
        let len = length(self.out.len() - LENGTH_OVERHEAD);
        let out = &mut self.out;
        out[0..8].copy_from_slice(&options.base_offset.to_be_bytes());
        out[8..12].copy_from_slice(&len.to_be_bytes());
        out[12..16].copy_from_slice(&options.leader_epoch.to_be_bytes());
        out[16] = 2;
        out[21..23].copy_from_slice(&attributes.to_be_bytes());
        out[23..27].copy_from_slice(&self.last_offset_delta.to_be_bytes());
        out[27..35].copy_from_slice(&self.base_timestamp.unwrap_or(-1).to_be_bytes());
        out[35..43].copy_from_slice(&self.max_timestamp.to_be_bytes());
        out[43..51].copy_from_slice(&options.producer_id.to_be_bytes());
        out[51..53].copy_from_slice(&options.producer_epoch.to_be_bytes());
        out[53..57].copy_from_slice(&options.base_sequence.to_be_bytes());
        out[57..61].copy_from_slice(&self.count.to_be_bytes());
        let crc = crc32c::crc32c(&out[CRC_START..]);
        out[17..21].copy_from_slice(&crc.to_be_bytes());
        self.out
    }
}

/// Encodes one batch of these records.
#[must_use]
pub fn encode<'a>(options: &BatchOptions, records: impl IntoIterator<Item = Record<'a>>) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for record in records {
        builder.push(&record);
    }
    builder.finish(options)
}
