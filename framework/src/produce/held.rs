//! Records that are held back because nobody knows yet how many partitions their topic has.

use bytes::Bytes;

use crate::operator::{Input, Origin, OutRecord};
use crate::record::{Headers, RecordBatch, SharedBatch};
use crate::topic::{TaskId, TopicPartition};

/// A record that is held back, copied.
#[derive(Clone, Debug)]
pub struct Held {
    pub(super) task: TaskId,
    key: Option<Bytes>,
    partition_key: Option<Bytes>,
    value: Option<Bytes>,
    timestamp: i64,
    headers: Headers,
    node: String,
    /// The input record, as a batch of one.
    input: Option<(TopicPartition, SharedBatch)>,
}

impl Held {
    pub(super) fn new(task: TaskId, record: &OutRecord<'_>) -> Self {
        Self {
            task,
            key: record.key.map(Bytes::copy_from_slice),
            partition_key: record.partition_key.map(Bytes::copy_from_slice),
            value: record.value.map(Bytes::copy_from_slice),
            timestamp: record.timestamp,
            headers: record.headers.clone(),
            node: record.origin.node.to_owned(),
            input: record.origin.input.map(|input| (input.partition.clone(), alone(input))),
        }
    }

    /// The node that wrote it.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.node
    }

    /// The input record that it came of, copied.
    #[must_use]
    pub fn input(&self) -> Option<Input<'_>> {
        let (partition, batch) = self.input.as_ref()?;
        Some(Input { partition, batch, row: 0 })
    }

    pub(super) fn record(&self) -> OutRecord<'_> {
        OutRecord {
            key: self.key.as_deref(),
            partition_key: self.partition_key.as_deref(),
            value: self.value.as_deref(),
            timestamp: self.timestamp,
            headers: &self.headers,
            // Its partition is known now: it will not be held again.
            origin: Origin::default(),
        }
    }
}

fn alone(input: &Input<'_>) -> SharedBatch {
    let (raw, mut batch) = (input.raw(), RecordBatch::default());
    batch.push(raw.timestamp, raw.key, raw.value, raw.offset);
    raw.headers().for_each(|(name, value)| batch.push_header(name, value));
    batch.freeze()
}
