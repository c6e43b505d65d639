//! Records that are held back because nobody knows yet how many partitions their topic has.

use bytes::Bytes;

use crate::operator::OutRecord;
use crate::record::Headers;
use crate::topic::{TaskId, TopicPartition};

/// A record that is held back, copied.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) task: TaskId,
    key: Option<Bytes>,
    partition_key: Option<Bytes>,
    value: Option<Bytes>,
    timestamp: i64,
    pub(super) headers: Headers,
    pub(super) origin: Origin,
}

/// Where a record comes from.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    pub(super) node: String,
    pub(super) input: Option<(TopicPartition, i64)>,
}

impl Held {
    pub(super) fn new(task: TaskId, origin: Origin, record: &OutRecord<'_>) -> Self {
        Self {
            task,
            key: record.key.map(Bytes::copy_from_slice),
            partition_key: record.partition_key.map(Bytes::copy_from_slice),
            value: record.value.map(Bytes::copy_from_slice),
            timestamp: record.timestamp,
            headers: record.headers.clone(),
            origin,
        }
    }

    pub(super) fn record(&self) -> OutRecord<'_> {
        OutRecord {
            key: self.key.as_deref(),
            partition_key: self.partition_key.as_deref(),
            value: self.value.as_deref(),
            timestamp: self.timestamp,
            headers: &self.headers,
        }
    }
}
