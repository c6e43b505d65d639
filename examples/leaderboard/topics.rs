//! The topics on the in-process broker: sending, and reading what is committed.

use std::cell::RefCell;
use std::collections::BTreeMap;

use headwater::codec::partition::partition_for_key;
use headwater::kafka::memory::MemoryCluster;
use headwater::kafka::{Cluster, Consumer, Isolation};
use headwater::{RecordBatch, TopicPartition};

use crate::Fallible;
use crate::topology::{AIRLINES, BOARDS, COUNTS, FLIGHTS, PLANES, WEATHER};

/// What one fetch brings at most.
const FETCH_BYTES: usize = 1 << 20;
/// A batch is written once it is so large: well below `max.message.bytes` of a topic, 1 MiB by default.
const BATCH_BYTES: usize = 256 << 10;

/// The example's topics.
pub(crate) struct Topics {
    cluster: MemoryCluster,
    partitions: i32,
    waiting: RefCell<BTreeMap<TopicPartition, RecordBatch>>,
}

impl Topics {
    /// Creates them on a broker of their own.
    pub(crate) fn new(partitions: i32) -> Fallible<Self> {
        let cluster = MemoryCluster::new();
        for topic in [FLIGHTS, AIRLINES, PLANES, WEATHER, BOARDS, COUNTS] {
            cluster.create_topic(topic, partitions)?;
        }
        Ok(Self { cluster, partitions, waiting: RefCell::default() })
    }

    /// The cluster that they are on.
    pub(crate) fn cluster(&self) -> &MemoryCluster {
        &self.cluster
    }

    /// Queues a record for the partition of its key; writes what is queued for it if that is much.
    pub(crate) fn send(&self, topic: &str, key: &str, value: &[u8], time: i64) -> Fallible<()> {
        let partition = TopicPartition::new(topic, partition_for_key(key.as_bytes(), self.partitions));
        let mut waiting = self.waiting.borrow_mut();
        if let Some(batch) = waiting.get_mut(&partition)
            && batch.byte_len() >= BATCH_BYTES
        {
            self.cluster.produce(&partition, batch)?;
            batch.clear();
        }
        waiting.entry(partition).or_default().push(time, Some(key.as_bytes()), Some(value), 0);
        Ok(())
    }

    /// Writes what is queued.
    pub(crate) fn flush(&self) -> Fallible<()> {
        for (partition, batch) in self.waiting.borrow_mut().iter_mut().filter(|(_, batch)| !batch.is_empty())
        {
            self.cluster.produce(partition, batch)?;
            batch.clear();
        }
        Ok(())
    }
}

/// Reads the committed records of a topic from its beginning.
pub(crate) struct Reader {
    consumer: Box<dyn Consumer>,
    partitions: Vec<TopicPartition>,
}

impl Reader {
    pub(crate) fn new(topics: &Topics, topic: &str) -> Self {
        let mut consumer = topics.cluster.consumer("view", Isolation::ReadCommitted);
        let partitions: Vec<_> =
            (0..topics.partitions).map(|partition| TopicPartition::new(topic, partition)).collect();
        partitions.iter().for_each(|partition| consumer.add(partition, 0));
        Self { consumer, partitions }
    }

    /// Shows what has arrived, key and value, to `take`; returns how many records.
    pub(crate) fn read(&mut self, mut take: impl FnMut(&[u8], &[u8]) -> Fallible<()>) -> Fallible<usize> {
        let mut records = 0;
        for partition in &self.partitions {
            while let Some(fetched) = self.consumer.fetch(partition, FETCH_BYTES, 0)? {
                for record in &fetched.records {
                    take(record.key.unwrap_or_default(), record.value.unwrap_or_default())?;
                    records += 1;
                }
                if fetched.caught_up {
                    break;
                }
            }
        }
        Ok(records)
    }
}

/// What the application counted, by name.
#[derive(Debug, serde::Serialize)]
#[serde(transparent)]
pub(crate) struct Counts(BTreeMap<String, i64>);

/// A count that never came is zero.
impl Default for Counts {
    fn default() -> Self {
        let names = [
            "flights",
            "no_arr_delay",
            "scored",
            "score",
            "no_airline",
            "no_tailnum",
            "no_plane",
            "no_weather",
            "bad_weather",
        ];
        Self(names.map(|name| (name.to_owned(), 0)).into())
    }
}

impl Counts {
    pub(crate) fn take(&mut self, name: &[u8], count: &[u8]) -> Fallible<()> {
        let name = String::from_utf8(name.to_vec())?;
        self.0.insert(name, i64::from_be_bytes(count.try_into()?));
        Ok(())
    }

    pub(crate) fn of(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }
}
